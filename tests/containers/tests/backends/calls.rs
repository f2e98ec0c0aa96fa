//! Black-box checks by plain HTTP: whatever the back end is, this is what a client sees.

use std::net::SocketAddr;
use std::time::Duration;

use landfall_test_containers::{Aws, Capability as Needs};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::Check;
use crate::network::{ELB, Network, text};

/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn checks() -> Vec<Check> {
    macro_rules! checks {
        ($($check:ident [$($need:ident),*]),* $(,)?) => {
            vec![$(Check {
                name: stringify!($check),
                needs: &[$(Needs::$need),*],
                run: |runtime: &Runtime, aws: &Aws| runtime.block_on($check(aws)),
            }),*]
        };
    }
    checks![
        health_has_the_shape_of_localstack [LocalStackHealth],
        a_load_balancer_lives_and_ends [UnsignedCalls],
        an_unknown_action_is_refused [UnsignedCalls, UnknownIsRefused],
        network_load_balancers_are_real [UnsignedCalls, NetworkLoadBalancers],
        provisioning_takes_its_time [UnsignedCalls, NetworkLoadBalancers, Clock],
        a_call_is_spoilt_and_recorded [UnsignedCalls, Faults, Journal],
        a_world_is_seeded [UnsignedCalls, Seed],
        a_certificate_is_listed [UnsignedCalls, Acm],
        a_tagged_group_is_found [UnsignedCalls, Tagging],
        traffic_reaches_a_target [UnsignedCalls, DataPlane],
    ]
}

async fn health_has_the_shape_of_localstack(aws: &Aws) {
    let answer = aws.client().unwrap().own("GET", "/_localstack/health", "").await.unwrap();
    let health = answer.as_json();
    assert_eq!(answer.status, 200);
    for service in ["ec2", "elbv2", "sts"] {
        let state = health["services"][service].as_str();
        assert!(matches!(state, Some("available" | "running")), "{service} in {health}");
    }
    assert!(health["version"].is_string() && health["edition"].is_string(), "{health}");
}

async fn a_load_balancer_lives_and_ends(aws: &Aws) {
    let network = Network::new(aws, 1).await;
    let balancer = text(&network.load_balancer().await, "LoadBalancerArn");
    let group = network.target_group().await;
    let listener = network.listener(&balancer, &group).await;

    let described = network.elb("DescribeLoadBalancers", &[("LoadBalancerArns.member.1", &balancer)]).await;
    assert_eq!((text(&described, "Type").as_str(), text(&described, "VpcId")), ("network", network.vpc.clone()));
    let described = network.elb("DescribeListeners", &[("LoadBalancerArn", &balancer)]).await;
    assert_eq!((text(&described, "ListenerArn"), text(&described, "Port").as_str()), (listener.clone(), "8080"));

    network.delete("DeleteListener", "ListenerArn", &listener).await;
    network.delete("DeleteLoadBalancer", "LoadBalancerArn", &balancer).await;
    network.delete("DeleteTargetGroup", "TargetGroupArn", &group).await;
    let gone = network.elb("DescribeLoadBalancers", &[("LoadBalancerArns.member.1", &balancer)]).await;
    assert_eq!((gone.status, text(&gone, "Code").as_str()), (400, "LoadBalancerNotFound"));
}

async fn an_unknown_action_is_refused(aws: &Aws) {
    let answer = aws.client().unwrap().query(ELB, "ExplodeLoadBalancer", &[]).await.unwrap();
    assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.body);
    assert_eq!(text(&answer, "Code"), "InvalidAction");
}

async fn network_load_balancers_are_real(aws: &Aws) {
    let network = Network::new(aws, 2).await;
    let created = network.load_balancer().await;
    let arn = text(&created, "LoadBalancerArn");
    assert!(arn.contains(":loadbalancer/net/check-2/"), "{arn}");
    // The same again makes no second one.
    assert_eq!(text(&network.load_balancer().await, "LoadBalancerArn"), arn);
    network.delete("DeleteLoadBalancer", "LoadBalancerArn", &arn).await;
}

async fn provisioning_takes_its_time(aws: &Aws) {
    let network = Network::new(aws, 3).await;
    let own = async |method: &str, path: &str, body: serde_json::Value| {
        let answer = network.client.own(method, path, &body.to_string()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    own("PUT", "/_landfall/durations", json!({"provisioning": 3600})).await;
    let created = network.load_balancer().await;
    own("PUT", "/_landfall/durations", json!({"provisioning": 0})).await;
    let arn = text(&created, "LoadBalancerArn");
    let state = async || text(&network.elb("DescribeLoadBalancers", &[("LoadBalancerArns.member.1", &arn)]).await, "Code");
    assert_eq!(state().await, "provisioning");
    own("POST", "/_landfall/clock", json!({"advance_seconds": 3601})).await;
    assert_eq!(state().await, "active");
    network.delete("DeleteLoadBalancer", "LoadBalancerArn", &arn).await;
}

async fn a_call_is_spoilt_and_recorded(aws: &Aws) {
    let network = Network::new(aws, 4).await;
    let rule = json!({"account": "000000000004", "action": "DescribeTargetGroups", "times": 1, "fault": "throttle"});
    let added = network.client.own("POST", "/_landfall/faults", &rule.to_string()).await.unwrap();
    assert!((200..300).contains(&added.status), "{}", added.body);
    let throttled = network.elb("DescribeTargetGroups", &[]).await;
    assert_eq!((throttled.status, text(&throttled, "Code").as_str()), (400, "Throttling"));
    assert_eq!(network.elb("DescribeTargetGroups", &[]).await.status, 200);

    let journal =
        network.client.own("GET", "/_landfall/journal?account=000000000004&action=DescribeTargetGroups", "").await.unwrap();
    let journal = journal.as_json();
    let entries = journal.as_array().or_else(|| journal["entries"].as_array()).unwrap_or_else(|| panic!("{journal}"));
    let outcomes: Vec<_> = entries.iter().map(|entry| (&entry["fault"], &entry["result"]["outcome"])).collect();
    assert_eq!(outcomes, [(&json!("throttle"), &json!("error")), (&json!(null), &json!("ok"))]);
}

async fn a_world_is_seeded(aws: &Aws) {
    let client = aws.client().unwrap().of_account("000000000005");
    let subnet = json!({"name": "public-a", "zone": "us-east-1a", "cidr": "10.20.5.0/25", "public": true});
    let world = json!({"name": "seeded", "cidrs": ["10.20.5.0/24"], "internet_gateway": true, "subnets": [subnet]});
    let path = "/_landfall/seed?account=000000000005&region=us-east-1";
    let seeded = client.own("POST", path, &world.to_string()).await.unwrap();
    assert_eq!(seeded.status, 200, "{}", seeded.body);
    let vpcs =
        client.query("ec2", "DescribeVpcs", &[("Filter.1.Name", "cidr"), ("Filter.1.Value.1", "10.20.5.0/24")]).await.unwrap();
    assert!(seeded.body.contains(&text(&vpcs, "vpcId")), "{} and {}", seeded.body, vpcs.body);
}

async fn a_certificate_is_listed(aws: &Aws) {
    let client = aws.client().unwrap().of_account("000000000006");
    let request = json!({"DomainName": "check.example.com", "ValidationMethod": "DNS"});
    let requested = client.json("acm", "CertificateManager.RequestCertificate", &request).await.unwrap().as_json();
    let listed = client.json("acm", "CertificateManager.ListCertificates", &json!({})).await.unwrap().as_json();
    let arns: Vec<_> = listed["CertificateSummaryList"].as_array().unwrap().iter().map(|one| &one["CertificateArn"]).collect();
    assert!(requested["CertificateArn"].is_string() && arns.contains(&&requested["CertificateArn"]), "{requested} and {listed}");
}

async fn a_tagged_group_is_found(aws: &Aws) {
    let network = Network::new(aws, 7).await;
    let group = network.target_group().await;
    let tag = [("ResourceArns.member.1", group.as_str()), ("Tags.member.1.Key", "check"), ("Tags.member.1.Value", "seven")];
    assert_eq!(network.elb("AddTags", &tag).await.status, 200);
    let filter = json!({"TagFilters": [{"Key": "check", "Values": ["seven"]}]});
    let found = network.client.json("tagging", "ResourceGroupsTaggingAPI_20170126.GetResources", &filter).await.unwrap();
    assert!(found.status == 200 && found.body.contains(&group), "{}", found.body);
    network.delete("DeleteTargetGroup", "TargetGroupArn", &group).await;
}

async fn traffic_reaches_a_target(aws: &Aws) {
    let network = Network::new(aws, 8).await;
    let target = network.address(100);
    let server = TcpListener::bind((aws.reach(target), 0)).await.unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    // Health checks connect, too, and are told the same.
    let serving = tokio::spawn(async move {
        while let Ok((mut connection, _)) = server.accept().await {
            let _ = connection.write_all(b"from the target").await;
        }
    });
    let balancer = text(&network.load_balancer().await, "LoadBalancerArn");
    let group = network.target_group().await;
    let (id, described) = (target.to_string(), [("TargetGroupArn", group.as_str())]);
    let register = [described[0], ("Targets.member.1.Id", &id), ("Targets.member.1.Port", &port)];
    assert_eq!(network.elb("RegisterTargets", &register).await.status, 200);
    network.listener(&balancer, &group).await;
    let healthy = async {
        while text(&network.elb("DescribeTargetHealth", &described).await, "State") != "healthy" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, healthy).await.expect("a healthy target");

    let listener = SocketAddr::new(aws.reach(network.load_balancer_address().await), 8080);
    let exchange = async {
        let mut said = String::new();
        TcpStream::connect(listener).await.unwrap().read_to_string(&mut said).await.unwrap();
        said
    };
    assert_eq!(timeout(PATIENCE, exchange).await.expect("an answer"), "from the target");
    serving.abort();
    network.delete("DeleteLoadBalancer", "LoadBalancerArn", &balancer).await;
}
