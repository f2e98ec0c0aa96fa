//! An account with many load balancers: how much memory it takes, how long a page of it takes.

use std::path::Path;
use std::time::{Duration, Instant};

use landfall_localstack::{World, WorldOptions};

use super::client::{ACCOUNT, Client, ELB, REGION, first};
use super::median;
use super::report::{Goal, Report};
use super::server::Server;

const LOAD_BALANCERS: usize = 1000;
const GROUPS_OF_EACH: usize = 5;
const TARGETS_OF_EACH: usize = 10;

/// How often the page is asked for.
const PAGES: usize = 51;

/// Every group has its listener, and every target is checked as AWS would: each 30 s. Nobody listens at the targets, so each has become
/// unhealthy when memory is read. The journal holds all the calls that made them.
pub async fn measure(report: &mut Report, binary: &Path) {
    let checks = ["--duration", "health_interval=own", "--duration", "health_thresholds=own"];
    let server = Server::emulator(binary, &[&["--address-map", "10.20.0.0/16=127.20.0.0/16"][..], &checks].concat());
    let client = Client::new(server.endpoint());
    let place = format!("account={ACCOUNT}&region={REGION}");
    let world = World::three_zones(WorldOptions { region: REGION.to_owned(), ..WorldOptions::default() });
    let seeded = client.admin("POST", &format!("/_landfall/seed?{place}"), &serde_json::json!(world).to_string()).await;
    let seeded: serde_json::Value = serde_json::from_str(&seeded).expect("JSON");
    let vpc = seeded["vpc_id"].as_str().expect("a VPC");
    let subnet = seeded["subnets"][format!("public-{REGION}a")].as_str().expect("a subnet");
    let groups = LOAD_BALANCERS * GROUPS_OF_EACH;
    let quotas = serde_json::json!({"load_balancers": LOAD_BALANCERS, "target_groups": groups});
    client.admin("PUT", &format!("/_landfall/quotas?{place}"), &quotas.to_string()).await;

    let mut last = String::new();
    for balancer in 0..LOAD_BALANCERS {
        let name = format!("balancer-{balancer}");
        let create = [("Name", name.as_str()), ("Type", "network"), ("Subnets.member.1", subnet)];
        let arn = first(&client.call(ELB, "CreateLoadBalancer", &create).await, "LoadBalancerArn");
        for group in 0..GROUPS_OF_EACH {
            last = group_with_targets(&client, &arn, balancer * GROUPS_OF_EACH + group, vpc).await;
        }
    }
    let begin = Instant::now();
    while client.call(ELB, "DescribeTargetHealth", &[("TargetGroupArn", &last)]).await.matches("unhealthy<").count()
        < TARGETS_OF_EACH
    {
        assert!(begin.elapsed() < Duration::from_secs(300), "the last group's targets were not checked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let what = format!("resident: {LOAD_BALANCERS} load balancers, {groups} target groups, {} targets", groups * TARGETS_OF_EACH);
    report.figure(&what, server.resident(), "MB", Goal::AtMost(250.0));

    let mut times = Vec::new();
    for _ in 0..PAGES {
        let begin = Instant::now();
        let page = client.call(ELB, "DescribeTargetGroups", &[]).await;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        assert_eq!(page.matches("<TargetGroupArn>").count(), 400);
    }
    report.figure("first page (400) of its DescribeTargetGroups", median(times), "ms", Goal::AtMost(5.0));
}

/// A target group, its targets and its listener; its ARN.
async fn group_with_targets(client: &Client, balancer: &str, number: usize, vpc: &str) -> String {
    let (name, port) = (format!("group-{number}"), (8000 + number % GROUPS_OF_EACH).to_string());
    let create = [("Name", name.as_str()), ("Protocol", "TCP"), ("Port", &port), ("VpcId", vpc), ("TargetType", "ip")];
    let arn = first(&client.call(ELB, "CreateTargetGroup", &create).await, "TargetGroupArn");
    let targets: Vec<(String, String)> = (0..TARGETS_OF_EACH)
        .map(|target| {
            let spread = (number * TARGETS_OF_EACH + target) % 600;
            (format!("Targets.member.{}.Id", target + 1), format!("10.20.{}.{}", 1 + spread / 200, 20 + spread % 200))
        })
        .collect();
    let mut register = vec![("TargetGroupArn", arn.as_str())];
    register.extend(targets.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    client.call(ELB, "RegisterTargets", &register).await;
    let listen = [
        ("LoadBalancerArn", balancer),
        ("Protocol", "TCP"),
        ("Port", port.as_str()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", arn.as_str()),
    ];
    client.call(ELB, "CreateListener", &listen).await;
    arn
}
