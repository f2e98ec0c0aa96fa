//! The journal over HTTP: filters, counts, wait-for, and the stream.

use std::time::Duration;

use serde_json::json;

use crate::tests::client::{Client, ELB};
use crate::{Emulator, Fault, Options, Rule};

const KEY: &str = "111122223333";

#[tokio::test]
async fn calls_are_filtered_counted_and_waited_for() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let client = Client::new(&emulator);
    emulator.faults().add(Rule { times: Some(1), ..Rule::on("DescribeVpcs", Fault::Throttle) });
    client.call("ec2", KEY, "Action=DescribeVpcs").await.unwrap();
    client.call("ec2", KEY, "Action=DescribeVpcs").await.unwrap();
    client.call(ELB, KEY, "Action=DescribeLoadBalancers&Names.member.1=lf-a").await.unwrap();

    let sequences = async |query: &str| -> Vec<u64> {
        let (status, found) = client.admin("GET", &format!("/_landfall/journal?{query}"), "").await;
        assert_eq!(status, 200, "{found}");
        found.as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
    };
    assert_eq!(sequences("").await, [1, 2, 3]);
    assert_eq!(sequences("limit=2").await, [2, 3]);
    assert_eq!(sequences("action=Describe*&outcome=error&fault=*").await, [1]);
    assert_eq!(sequences("parameter=Names.member.1%3Dlf-*").await, [3]);
    assert_eq!(sequences("since=2&service=ec2&write=false").await, [2]);
    for (query, word) in [("acton=x", "acton"), ("write=maybe", "write"), ("outcome=bad", "bad"), ("parameter=x", "parameter")] {
        let (status, answer) = client.admin("GET", &format!("/_landfall/journal?{query}"), "").await;
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(word), "{query}: {status} {answer}");
    }

    let (_, counts) = client.admin("GET", "/_landfall/journal/counts", "").await;
    let vpcs = json!({"service": "ec2", "action": "DescribeVpcs", "calls": 2, "errors": 1, "faults": 1});
    assert_eq!((&counts["kept"], &counts["dropped"], &counts["next_sequence"]), (&json!(3), &json!(0), &json!(4)));
    assert_eq!(counts["actions"][0], vpcs);

    let waiting = client.admin("GET", "/_landfall/journal/wait?action=DescribeVpcs&count=3&timeout=20", "");
    let calling = async {
        client.call("ec2", KEY, "Action=DescribeSubnets").await.unwrap();
        client.call("ec2", KEY, "Action=DescribeVpcs").await.unwrap();
    };
    let ((status, found), ()) = tokio::join!(waiting, calling);
    assert_eq!((status, found.as_array().unwrap().len(), &found[2]["sequence"]), (200, 3, &json!(5)));
    let (status, answer) = client.admin("GET", "/_landfall/journal/wait?action=DescribeVpcs&count=4&timeout=0.01", "").await;
    assert!(status == 408 && answer["error"].as_str().unwrap().contains("3 of 4"), "{status} {answer}");
}

#[tokio::test]
async fn the_stream_tells_calls_as_they_happen() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let client = Client::new(&emulator);
    client.call("ec2", KEY, "Action=DescribeVpcs").await.unwrap();
    let mut live = client.stream("/_landfall/journal/stream?service=ec2", None).await;
    let mut old = client.stream("/_landfall/journal/stream?since=1", None).await;
    assert_eq!(old.event().await["action"], "DescribeVpcs");
    client.call(ELB, KEY, "Action=DescribeLoadBalancers").await.unwrap();
    client.call("ec2", KEY, "Action=DescribeSubnets").await.unwrap();
    let event = live.event().await;
    assert_eq!(
        (&event["action"], &event["result"]["outcome"], &event["sequence"]),
        (&json!("DescribeSubnets"), &json!("ok"), &json!(3))
    );
    assert_eq!(old.event().await["action"], "DescribeLoadBalancers");
    let mut again = client.stream("/_landfall/journal/stream", Some("2")).await;
    assert_eq!(again.event().await["sequence"], 3, "reading on where the browser was");

    drop(live);
    let stopped = tokio::time::timeout(Duration::from_secs(10), emulator.stop());
    stopped.await.expect("readers do not keep it from stopping");
    assert!(old.ended().await && again.ended().await);
}
