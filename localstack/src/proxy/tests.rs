//! In front of our own emulator, which is an endpoint as good as any.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::*;
use crate::testing::first;
use crate::tests::client::{Client, ELB};
use crate::{Emulator, Fault, Options, Rule, World, WorldOptions};

const KEY: &str = "111122223333";

/// The emulator, a proxy in front of it, and a client of the proxy.
async fn start(rules: &str) -> (Emulator, Proxy, Client) {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let conditions = Conditions::read(rules).unwrap();
    let options = ProxyOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        allowed_hosts: Vec::new(),
        to: emulator.endpoint(),
        conditions,
    };
    let proxy = Proxy::start(options).await.unwrap();
    let client = Client::at(&proxy.endpoint());
    (emulator, proxy, client)
}

#[tokio::test]
async fn faults_before_and_after_the_effect_upstream() {
    let (emulator, proxy, client) =
        start(r#"{"rules": [{"action": "CreateSecurityGroup", "nth": 1, "fault": "drop_before"}]}"#).await;
    let region = emulator.region(KEY, "us-west-2");
    let vpc = region.seed(&World::three_zones(WorldOptions::default())).vpc_id;
    let create =
        |name: &str| format!("Action=CreateSecurityGroup&GroupName={name}&GroupDescription=b&VpcId={vpc}&Version=2016-11-15");
    let exists = |name: &str| region.security_groups().iter().any(|group| group.name == name);
    let once = |fault| Rule { times: Some(1), ..Rule::on("CreateSecurityGroup", fault) };

    assert!(client.call("ec2", KEY, &create("one")).await.is_none() && !exists("one"));
    proxy.faults().clear();
    for (name, fault, status, made) in [
        ("two", Fault::DropAfter, None, true),
        ("three", Fault::ErrorAfter { code: "InternalError".to_owned(), status: 500, message: "x".to_owned() }, Some(500), true),
        ("four", Fault::Throttle, Some(503), false),
        ("five", Fault::Html500, Some(500), false),
        ("six", Fault::Truncate, None, true),
        ("seven", Fault::ExpiredToken, Some(400), false),
    ] {
        proxy.faults().add(once(fault.clone()));
        let answer = client.call("ec2", KEY, &create(name)).await;
        assert_eq!((answer.map(|answer| answer.status), exists(name)), (status, made), "{fault:?}");
    }
    let passed = client.call("ec2", KEY, &create("eight")).await.unwrap();
    assert_eq!((passed.status, exists("eight")), (200, true));
    let refused = client.call("ec2", KEY, &create("eight")).await.unwrap();
    assert_eq!((refused.status, first(&refused.body, "Code").as_str()), (400, "InvalidGroup.Duplicate"));

    let told: Vec<(Outcome, Option<String>)> =
        proxy.journal().entries().into_iter().map(|entry| (entry.result, entry.fault)).collect();
    assert_eq!(told[0], (Outcome::Dropped, Some("drop_before".to_owned())));
    assert_eq!(told[1], (Outcome::Dropped, Some("drop_after".to_owned())));
    assert_eq!(told[7], (Outcome::Ok, None));
    assert_eq!(told[8], (Outcome::Error { code: "InvalidGroup.Duplicate".to_owned(), status: 400 }, None));
    let last = proxy.journal().entries().pop().unwrap();
    assert_eq!((last.account.as_str(), last.user_agent.as_str(), last.service.as_str()), (KEY, "test-client", "ec2"));
    assert!(!last.request_id.is_empty(), "the endpoint's request id");
    let upstream: BTreeMap<String, u64> =
        emulator.journal().counts().actions.into_iter().map(|count| (count.action, count.calls)).collect();
    assert_eq!(upstream["CreateSecurityGroup"], 5, "what was refused before the effect never arrived");
}

#[tokio::test]
async fn a_stale_read_is_the_last_answer_to_the_same_query() {
    let (emulator, proxy, client) =
        start(r#"{"rules": [{"action": "DescribeSecurityGroups", "every": 2, "fault": {"stale_read": 60}}]}"#).await;
    let region = emulator.region(KEY, "us-west-2");
    let vpc = region.seed(&World::three_zones(WorldOptions::default())).vpc_id;
    let query = "Action=DescribeSecurityGroups&Version=2016-11-15";
    let count = async |query: &str| client.call("ec2", KEY, query).await.unwrap().body.matches("<groupId>").count();
    let before = count(query).await;
    region.call("ec2", "CreateSecurityGroup", &[("GroupName", "n"), ("GroupDescription", "d"), ("VpcId", &vpc)]).unwrap();
    assert_eq!(count(query).await, before, "stale");
    assert!(count(query).await > before, "fresh");
    let other = format!("{query}&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    assert!(count(&other).await > 0, "nothing is known of another query, so the endpoint is asked");
    assert_eq!(proxy.journal().entries().iter().filter(|entry| entry.fault.is_some()).count(), 2);
}

#[tokio::test]
async fn its_own_pages_and_what_it_refuses() {
    let (emulator, proxy, client) = start(r#"{"sets": ["aws-like"]}"#).await;
    let (_, rules) = client.admin("GET", "/_landfall/faults", "").await;
    assert_eq!(rules.as_array().unwrap().len(), 7);
    let edit = r#"{"action": "X", "fault": {"edit": {"service": "ec2", "action": "DeleteTags"}}}"#;
    let (status, answer) = client.admin("POST", "/_landfall/faults", edit).await;
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("state"), "{answer}");
    let (status, _) =
        client.admin("PUT", "/_landfall/faults", r#"{"rules": [{"action": "DescribeVpcs", "fault": "throttle"}]}"#).await;
    assert_eq!(status, 200);
    assert_eq!(client.call("ec2", KEY, "Action=DescribeVpcs&Version=2016-11-15").await.unwrap().status, 503);
    let (_, counts) = client.admin("GET", "/_landfall/journal/counts", "").await;
    assert_eq!(counts["actions"][0]["faults"], 1);
    let (status, _) = client.admin("GET", "/_landfall/clock", "").await;
    assert_eq!(status, 404, "that is the emulator's own");
    let (status, health) = client.admin("GET", "/_localstack/health", "").await;
    assert_eq!((status, &health["services"]["ec2"]), (200, &json!("running")), "everything else goes to the endpoint");

    for (to, word) in [("https://localhost", "http://"), ("localhost:1", "http://"), ("http://localhost/x", "path")] {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let error = Proxy::start(ProxyOptions {
            listen,
            allowed_hosts: Vec::new(),
            to: to.to_owned(),
            conditions: Conditions::default(),
        })
        .await
        .unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    emulator.stop().await;
    let answer = client.call(ELB, KEY, "Action=DescribeLoadBalancers&Version=2015-12-01").await.unwrap();
    assert!(answer.status == 502 && answer.body.contains("does not answer"), "{}", answer.body);
    proxy.stop().await;
}
