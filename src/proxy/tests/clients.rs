//! Clients that are slow, idle, or told to go; redirects, pages, the log and the metrics.

use std::time::Duration;

use super::super::server::{Drain, Drained, Proxy, Settings};
use super::super::testing::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test]
async fn slow_heads_and_bodies_are_answered_408() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.global.client_header_timeout = Duration::from_millis(300);
    plan.global.client_body_timeout = Duration::from_millis(300);
    let proxy = plan.start();
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.exa").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("408 Request Time-out"), "{answer}");
    let mut client = proxy.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nhalf").await;
    let mut upstream = endpoint.accept().await;
    upstream.until("half").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 408 "));
    assert!(upstream.is_closed().await);
    assert!(proxy.connect().await.is_closed().await, "one that says nothing is not answered");
}

#[tokio::test]
async fn idle_connections_are_closed_but_not_those_that_wait_for_an_answer() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.global.keep_alive = Duration::from_millis(300);
    let proxy = plan.start();
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.message().await.1, "ok");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn plain_requests_are_sent_to_https() {
    let mut plan = Plan::to(&[echo().await]);
    plan.host.tls = true;
    let proxy = plan.start();
    for (path, host, location) in [
        ("/", "a.example", Some("https://a.example")),
        ("/x/?y=z", "a.example:8080", Some("https://a.example/x/?y=z")),
        ("/x/", "A.example", Some("https://A.example/x")),
        ("/x/?y=/", "a.example", Some("https://a.example/x/?y=")),
        ("/", "[::1]:80", Some("https://[::1]")),
        ("/.well-known/acme-challenge/token", "a.example", None),
    ] {
        let answer = proxy.say(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(header(&answer, "location"), location, "{path}: {answer}");
        assert!(answer.starts_with(if location.is_some() { "HTTP/1.1 308 Permanent Redirect" } else { "HTTP/1.1 200" }));
        assert_eq!(header(&answer, "strict-transport-security"), None);
    }
    let mut client = proxy.connect_tls("a.example", &[]).await;
    client.send(GET).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
    plan.global.http_redirect_code = 301;
    plan.generation = 2;
    proxy.table.store(plan.table().into());
    assert!(proxy.get("/").await.starts_with("HTTP/1.1 301 "), "in force at once");
    plan.route.ssl_redirect = false;
    plan.generation = 3;
    proxy.table.store(plan.table().into());
    assert!(proxy.get("/").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn what_has_no_rule_has_a_page_or_the_default_backend() {
    let mut plan = Plan { path: "/app/", ..Plan::to(&[echo().await]) };
    let proxy = plan.start();
    let answer = proxy.get("/other").await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n") && answer.contains("<h1>404 Not Found</h1>"), "{answer}");
    assert_eq!(header(&answer, "content-type"), Some("text/html"));
    let answer = proxy.get("/app?x=y").await;
    assert!(answer.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{answer}");
    assert_eq!(header(&answer, "location"), Some("http://a.example/app/?x=y"));
    let line = proxy.log.lines(1).await.remove(0);
    assert!(line.contains(" [upstream-default-backend] [] - - - - "), "{line}");
    plan.default_backend = true;
    plan.generation = 2;
    proxy.table.store(plan.table().into());
    assert!(proxy.get("/other").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn load_balancers_can_ask_for_health() {
    let proxy = Plan::to(&[]).start();
    let ask = |host: &str| format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(proxy.say(&ask("10.0.0.1")).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(proxy.say("GET /healthz HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200 OK\r\n"));
    assert!(proxy.say(&ask("a.example")).await.starts_with("HTTP/1.1 503 "), "a host's path like any other");
}

#[tokio::test]
async fn each_request_has_a_line_in_the_log() {
    let endpoint = echo().await;
    let proxy = Plan::to(&[endpoint]).start();
    let request = "POST /a\"b\"?c HTTP/1.1\r\nHost: a.example\r\nUser-Agent: me \"too\"\r\nReferer: http://r/\r\n\
                   Authorization: Basic QWxhZGRpbjpvcGVu\r\nX-Request-ID: id1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = proxy.say(request).await;
    let sent = header(&answer, "content-length").unwrap().to_owned();
    let line = proxy.log.lines(1).await.remove(0);
    let (before, rest) = line.split_once(" [").unwrap();
    assert_eq!(before, "127.0.0.1 - Aladdin");
    let (time, rest) = rest.split_once("] ").unwrap();
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
    let length = request.len();
    let expected = format!("\"POST /a\\x22b\\x22?c HTTP/1.1\" 200 {sent} \"http://r/\" \"me \\x22too\\x22\" {length} 0.0");
    assert!(rest.starts_with(&expected), "{rest}");
    let (_, rest) = rest.split_once(" [default-web-80] [] ").unwrap();
    let fields: Vec<_> = rest.split(' ').collect();
    assert_eq!(fields[0], endpoint.to_string());
    assert_eq!((fields[1], fields[3], fields[4]), (sent.as_str(), "200", "id1"));
    proxy.say("GET /bad HTTP/1.1\r\nHost: a b\r\n\r\n").await;
    let line = proxy.log.lines(2).await.remove(1);
    assert!(line.contains("\"GET /bad HTTP/1.1\" 400 ") && line.contains(" [] [] - - - - -"), "{line}");
}

#[tokio::test]
async fn requests_are_counted_under_ingress_nginxs_names() {
    let proxy = Plan::to(&[echo().await]).start();
    let mut client = proxy.connect().await;
    client.send(GET).await;
    client.message().await;
    proxy.get("/").await;
    let labels = "controller_namespace=\"ns\",controller_class=\"c\",controller_pod=\"p\"";
    let route = "host=\"a.example\",status=\"200\",method=\"GET\",path=\"/\",namespace=\"default\",ingress=\"site\",service=\"web\",canary=\"\"";
    let prefix = "nginx_ingress_controller";
    for expected in [
        format!("{prefix}_requests{{{labels},{route}}} 2"),
        format!("{prefix}_request_duration_seconds_count{{{labels},{route}}} 2"),
        format!("{prefix}_request_duration_seconds_bucket{{le=\"10.0\",{labels},{route}}} 2"),
        format!("{prefix}_response_duration_seconds_count{{{labels},{route}}} 2"),
        format!("{prefix}_connect_duration_seconds_count{{{labels},{route}}} 1"),
        format!("{prefix}_response_size_count{{{labels},{route}}} 2"),
        format!("{prefix}_bytes_sent_bucket{{le=\"+Inf\",{labels},{route}}} 2"),
        format!("{prefix}_request_size_sum{{{labels},{route}}} {}.0", GET.len() * 2 + 19),
        format!("{prefix}_nginx_process_connections{{{labels},state=\"active\"}} 1"),
        format!("{prefix}_nginx_process_connections{{{labels},state=\"waiting\"}} 1"),
        format!("{prefix}_nginx_process_connections_total{{{labels},state=\"accepted\"}} 2"),
        format!("{prefix}_nginx_process_requests_total{{{labels}}} 2"),
        format!("landfall_upstream_idle_connections{{{labels}}} 1"),
    ] {
        let found = tokio::time::timeout(LIMIT / 4, until(|| proxy.metrics().lines().any(|line| line == expected).then_some(())));
        assert!(found.await.is_ok(), "{expected} is not in\n{}", proxy.metrics());
    }
}

#[tokio::test]
async fn draining_takes_nothing_away() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let (mut idle, mut busy) = (proxy.connect().await, proxy.connect().await);
    idle.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    idle.message().await;
    busy.send(GET).await;
    upstream.head().await;
    let address = proxy.http();
    let drain = Drain { serve: Duration::from_millis(500), limit: LIMIT };
    let draining = tokio::spawn(proxy.handle.drain(drain));
    // New connections are served still, once.
    let mut late = loop {
        let mut late = Raw::new(tokio::net::TcpStream::connect(address).await.unwrap());
        late.send(b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n").await;
        let (head, _) = late.message().await;
        assert!(head.starts_with("HTTP/1.1 200 "));
        if header(&head, "connection") == Some("close") {
            break late;
        }
    };
    assert!(late.is_closed().await);
    assert!(idle.is_closed().await, "an idle connection goes when the time is over");
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!draining.is_finished());
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let (head, body) = busy.message().await;
    assert_eq!((header(&head, "connection"), body.as_str()), (Some("close"), "ok"));
    assert_eq!(draining.await.unwrap(), Drained { cut: 0 });
    assert!(proxy.log.lines(3).await.len() >= 3, "the log is written to its end");
}

#[tokio::test]
async fn several_workers_serve_and_end_together() {
    let plan = Plan::to(&[echo().await]);
    let table = std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(plan.table()));
    let any = Some("127.0.0.1:0".parse().unwrap());
    let settings = Settings { workers: 3, ..Settings::new(any, any) };
    let handle = Proxy::start(&settings, &table, None).unwrap();
    let address = handle.http().unwrap();
    let ask = async || {
        let mut client = Raw::new(tokio::net::TcpStream::connect(address).await.ok()?);
        client.send(GET).await;
        client.message().await.0.starts_with("HTTP/1.1 200 ").then_some(client)
    };
    let mut open = Vec::new();
    for _ in 0..60 {
        open.push(ask().await.expect("each is served"));
    }
    let taken = handle.stats().iter().filter(|stats| stats.accepted() > 0).count();
    assert_eq!(taken, 3, "each worker takes some");
    let draining = tokio::spawn(handle.drain(Drain { serve: Duration::from_secs(1), limit: LIMIT }));
    for _ in 0..20 {
        ask().await.expect("each is served while they say farewell");
    }
    assert_eq!(draining.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn draining_has_an_end() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut busy = proxy.connect().await;
    busy.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    let drain = Drain { serve: Duration::ZERO, limit: Duration::from_millis(200) };
    assert_eq!(proxy.handle.drain(drain).await, Drained { cut: 1 });
    assert!(busy.is_closed().await && upstream.is_closed().await);
}
