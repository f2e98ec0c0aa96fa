//! What a caller sees on the wire, and what the journal says of it.

use std::time::Duration;

use crate::testing::{all, first};
use crate::tests::client::{Client, ELB};
use crate::{Emulator, Fault, Options, Outcome, Rule, World, WorldOptions};

async fn start() -> Emulator {
    Emulator::start(Options::default()).await.unwrap()
}

#[tokio::test]
async fn answers_have_the_form_of_their_service() {
    let emulator = start().await;
    let client = Client::new(&emulator);
    let answer = client.call(ELB, "111122223333", "Action=DescribeLoadBalancers&Version=2015-12-01").await.unwrap();
    assert_eq!(answer.status, 200);
    let start = "<DescribeLoadBalancersResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><DescribeLoadBalancersResult>";
    assert!(answer.body.starts_with(start), "{}", answer.body);
    assert_eq!(Some(first(&answer.body, "RequestId")), answer.request_id);

    let answer = client.call(ELB, "111122223333", "Action=DeleteListener&ListenerArn=x").await.unwrap();
    assert_eq!(answer.status, 400);
    let error = "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error><Type>Sender</Type><Code>ListenerNotFound</Code>";
    assert!(answer.body.starts_with(error), "{}", answer.body);

    let answer = client.call("ec2", "111122223333", "Action=DescribeVpcs&VpcId.1=vpc-1").await.unwrap();
    assert!(answer.body.starts_with("<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>"), "{}", answer.body);
    assert!(answer.body.contains("<RequestID>"));
    let answer = client.call("sts", "111122223333", "Action=GetCallerIdentity&Version=2011-06-15").await.unwrap();
    assert_eq!(first(&answer.body, "Account"), "111122223333");
    let answer = client.call("sts", "AKIAEXAMPLE", "Action=GetCallerIdentity&Version=2011-06-15").await.unwrap();
    assert_eq!(first(&answer.body, "Account"), "000000000000");
    let answer = client.call("s3", "111122223333", "Action=ListBuckets").await.unwrap();
    assert!(answer.status == 400 && first(&answer.body, "Message").contains("'s3'"), "{}", answer.body);
}

#[tokio::test]
async fn accounts_are_separate_and_ids_repeat() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let emulator = start().await;
        let world = World::three_zones(WorldOptions::default());
        let vpc = emulator.region("111122223333", "us-west-2").seed(&world).vpc_id;
        let client = Client::new(&emulator);
        let body = format!("Action=CreateSecurityGroup&GroupName=a&GroupDescription=b&VpcId={vpc}");
        seen.push(first(&client.call("ec2", "111122223333", &body).await.unwrap().body, "groupId"));
        let other = client.call("ec2", "444455556666", "Action=DescribeVpcs").await.unwrap();
        assert!(all(&other.body, "vpcId").is_empty());
        emulator.stop().await;
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn faults_before_and_after_the_effect() {
    let emulator = start().await;
    let region = emulator.region("111122223333", "us-west-2");
    let vpc = region.seed(&World::three_zones(WorldOptions::default())).vpc_id;
    let client = Client::new(&emulator);
    let create = |name: &str| format!("Action=CreateSecurityGroup&GroupName={name}&GroupDescription=b&VpcId={vpc}");
    let exists = |name: &str| region.security_groups().iter().any(|group| group.name == name);
    let once = |fault| Rule { times: Some(1), ..Rule::on("CreateSecurityGroup", fault) };

    emulator.faults().add(once(Fault::DropBefore));
    assert!(client.call("ec2", "111122223333", &create("one")).await.is_none() && !exists("one"));
    emulator.faults().add(once(Fault::DropAfter));
    assert!(client.call("ec2", "111122223333", &create("two")).await.is_none() && exists("two"));
    emulator.faults().add(once(Fault::ErrorAfter { code: "InternalError".to_owned(), status: 500, message: "x".to_owned() }));
    assert_eq!(client.call("ec2", "111122223333", &create("three")).await.unwrap().status, 500);
    assert!(exists("three"));
    emulator.faults().add(once(Fault::Throttle));
    let throttled = client.call("ec2", "111122223333", &create("four")).await.unwrap();
    assert_eq!((throttled.status, first(&throttled.body, "Code").as_str()), (503, "RequestLimitExceeded"));
    emulator.faults().add(once(Fault::Denied));
    let denied = client.call("ec2", "111122223333", &create("four")).await.unwrap();
    assert_eq!((denied.status, first(&denied.body, "Code").as_str()), (403, "UnauthorizedOperation"));
    emulator.faults().add(once(Fault::Html500));
    assert!(client.call("ec2", "111122223333", &create("four")).await.unwrap().body.starts_with("<html>") && !exists("four"));
    emulator.faults().add(once(Fault::Delay(Duration::from_millis(30))));
    assert_eq!(client.call("ec2", "111122223333", &create("four")).await.unwrap().status, 200);

    let entries = emulator.journal().entries();
    let results: Vec<(&Outcome, Option<&str>)> = entries.iter().map(|entry| (&entry.result, entry.fault.as_deref())).collect();
    assert_eq!(results[0], (&Outcome::Dropped, Some("drop_before")));
    assert_eq!(results[1], (&Outcome::Dropped, Some("drop_after")));
    assert_eq!(results[3].0, &Outcome::Error { code: "RequestLimitExceeded".to_owned(), status: 503 });
    assert_eq!(results[6], (&Outcome::Ok, Some("delay 30 ms")));
    assert!(entries[6].duration >= Duration::from_millis(30));
}

#[tokio::test]
async fn the_journal_tells_who_asked_what() {
    let emulator = start().await;
    let client = Client::new(&emulator);
    let from = emulator.journal().next_sequence();
    client.call(ELB, "111122223333", "Action=DescribeLoadBalancers&Names.member.1=a%20b&Version=2015-12-01").await.unwrap();
    emulator.region("111122223333", "us-west-2").call("ec2", "DescribeVpcs", &[]).unwrap();
    let entries = emulator.journal().since(from);
    let first = &entries[0];
    assert_eq!((first.account.as_str(), first.region.as_str(), first.service.as_str()), ("111122223333", "us-west-2", ELB));
    assert_eq!((first.user_agent.as_str(), first.write), ("test-client", false));
    assert_eq!(first.parameters, std::collections::BTreeMap::from([("Names.member.1".to_owned(), "a b".to_owned())]));
    assert_eq!(first.result, Outcome::Error { code: "LoadBalancerNotFound".to_owned(), status: 400 });
    assert_eq!(entries[1].user_agent, crate::BY_HAND);
}

#[tokio::test]
async fn dropping_the_last_clone_stops_it() {
    let emulator = start().await;
    let address = emulator.endpoint().trim_start_matches("http://").to_owned();
    let clone = emulator.clone();
    drop(emulator);
    tokio::net::TcpStream::connect(&address).await.expect("a clone is left");
    drop(clone);
    let gone = async {
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("nothing listens any more");
}
