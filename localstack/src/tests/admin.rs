//! The emulator's own endpoints.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tests::client::Client;
use crate::{Conditions, Durations, Emulator, Options, Proxy, ProxyOptions, World, WorldOptions};

#[tokio::test]
async fn everything_in_process_can_be_had_over_http() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let client = Client::new(&emulator);
    let (status, health) = client.admin("GET", "/_localstack/health", "").await;
    assert_eq!((status, &health["services"]["elbv2"]), (200, &json!("running")));

    let world = serde_json::to_string(&World::three_zones(WorldOptions::default())).unwrap();
    let (status, seeded) = client.admin("POST", "/_landfall/seed?account=111122223333&region=us-west-2", &world).await;
    assert_eq!(status, 200);
    let same = emulator.region("111122223333", "us-west-2").seed(&World::three_zones(WorldOptions::default()));
    assert_eq!(seeded["vpc_id"], json!(same.vpc_id));
    let (_, state) = client.admin("GET", "/_landfall/state?account=111122223333&region=us-west-2", "").await;
    assert_eq!(state["interfaces"].as_array().unwrap().len(), 3);

    let before = emulator.clock().now();
    let (_, clock) = client.admin("POST", "/_landfall/clock", r#"{"advance_seconds": 3600}"#).await;
    assert_eq!(clock["ahead_seconds"], json!(3600.0));
    assert!(emulator.clock().now().duration_since(before).as_secs() >= 3600);

    let (_, durations) = client.admin("PUT", "/_landfall/durations", r#"{"provisioning": 5}"#).await;
    assert_eq!(durations["provisioning"], json!(5.0));
    assert_eq!(emulator.durations(), Durations { provisioning: std::time::Duration::from_secs(5), ..Durations::instant() });

    let (_, added) = client.admin("POST", "/_landfall/faults", r#"{"action": "DescribeVpcs", "fault": "throttle"}"#).await;
    assert_eq!(client.call("ec2", "x", "Action=DescribeVpcs").await.unwrap().status, 503);
    let (_, left) = client.admin("DELETE", &format!("/_landfall/faults?id={}", added["id"]), "").await;
    assert_eq!(left, json!([]));
    assert_eq!(client.call("ec2", "x", "Action=DescribeVpcs").await.unwrap().status, 200);

    let (_, journal) = client.admin("GET", "/_landfall/journal?since=2", "").await;
    assert_eq!((journal.as_array().unwrap().len(), &journal[0]["result"]["outcome"]), (1, &json!("ok")));
    client.admin("DELETE", "/_landfall/journal", "").await;
    assert!(emulator.journal().entries().is_empty());
}

#[tokio::test]
async fn wrong_calls_are_told_what_is_wrong() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let client = Client::new(&emulator);
    for (method, path, body, status, word) in [
        ("GET", "/_landfall/jurnal", "", 404, "/_landfall/journal"),
        ("POST", "/_landfall/state", "", 405, "GET"),
        ("POST", "/_landfall/clock", r#"{"advance": 1}"#, 400, "advance_seconds"),
        ("POST", "/_landfall/clock", r#"{"advance_seconds": -1}"#, 400, "advance_seconds"),
        ("GET", "/_landfall/journal?since=x", "", 400, "since"),
        ("POST", "/_landfall/faults", r#"{"fault": "thrtle"}"#, 400, "throttle"),
        ("POST", "/_landfall/seed", r#"{"name": "x", "cidrs": []}"#, 400, "cidrs"),
    ] {
        let (got, answer) = client.admin(method, path, body).await;
        let error = answer["error"].as_str().unwrap();
        assert!(got == status && error.contains(word), "{method} {path}: {got} {error}");
    }
}

#[tokio::test]
async fn harnesses_made_for_localstack_recognise_it() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let client = Client::new(&emulator);
    let (_, health) = client.admin("GET", "/_localstack/health", "").await;
    assert!(["ec2", "elbv2", "sts"].iter().all(|name| health["services"][name] == "running"), "{health}");
    let (_, info) = client.admin("GET", "/_localstack/info", "").await;
    assert_eq!((&info["version"], &info["edition"]), (&health["version"], &health["edition"]));
    let (_, init) = client.admin("GET", "/_localstack/init", "").await;
    assert_eq!(init["completed"]["READY"], json!(true));
    let (_, ready) = client.admin("GET", "/_localstack/init/ready", "").await;
    assert_eq!(ready, json!({"completed": true, "scripts": []}));

    let address = emulator.endpoint().trim_start_matches("http://").parse().unwrap();
    crate::health(address).await.unwrap();
    emulator.stop().await;
    crate::health(address).await.unwrap_err();
}

#[tokio::test]
async fn pages_and_names_of_others_are_refused_unless_allowed() {
    let allowed_hosts = vec!["emulator.example.com".to_owned()];
    let emulator = Emulator::start(Options { allowed_hosts: allowed_hosts.clone(), ..Options::default() }).await.unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = ProxyOptions { listen, allowed_hosts, to: emulator.endpoint(), conditions: Conditions::default() };
    let proxy = Proxy::start(options).await.unwrap();
    for endpoint in [emulator.endpoint(), proxy.endpoint()] {
        let address = endpoint.trim_start_matches("http://");
        for (host, origin, status) in [
            (address, "http://evil.example.net", 403),
            ("evil.example.net", "http://evil.example.net", 403),
            ("emulator.example.com", "https://emulator.example.com", 200),
            (address, endpoint.as_str(), 200),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head =
                format!("DELETE /_landfall/faults HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}, {origin}: {answer}");
            assert!(!answer.contains("access-control"), "{answer}");
        }
    }
}
