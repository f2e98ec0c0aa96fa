//! Endpoints that fail, connections that are kept, time that runs out.

use std::time::Duration;

use super::super::testing::*;
use crate::routes::table::Endpoints;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    Endpoint::new().await.address
}

#[tokio::test]
async fn a_connection_is_kept_and_used_again() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut first = proxy.connect().await;
    first.send(GET).await;
    let mut upstream = endpoint.accept().await;
    for _ in 0..3 {
        upstream.head().await;
        upstream.send(OK).await;
        first.message().await;
        first.send(GET).await;
    }
    upstream.head().await;
    upstream.send(OK).await;
    first.message().await;
    let mut second = proxy.connect().await;
    second.send(GET).await;
    upstream.head().await;
    upstream.send(OK).await;
    second.message().await;
    assert!(endpoint.is_quiet(), "one connection for all");
}

#[tokio::test]
async fn requests_on_an_upstream_connection_are_counted() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.global.upstream_keepalive_requests = 2;
    let proxy = plan.start();
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.send(GET).await;
        let mut upstream = endpoint.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        client.message().await;
        client.send(GET).await;
        upstream.head().await;
        upstream.send(OK).await;
        client.message().await;
        assert!(upstream.is_closed().await);
    }
}

#[tokio::test]
async fn idle_connections_go_with_their_time_and_with_their_endpoint() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.global.upstream_keepalive_timeout = Duration::from_millis(200);
    let proxy = plan.start();
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.message().await;
    assert!(upstream.is_closed().await, "its time is over");
    plan.global.upstream_keepalive_timeout = Duration::from_secs(60);
    plan.generation = 2;
    proxy.table.store(plan.table().into());
    client.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.message().await;
    let other = Plan { generation: 3, endpoints: Plan::to(&[nobody().await]).endpoints, ..plan };
    proxy.table.store(other.table().into());
    assert!(upstream.is_closed().await, "the endpoint is gone");
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over() {
    let proxy = Plan::to(&[nobody().await, echo().await, nobody().await]).start();
    for _ in 0..6 {
        assert!(proxy.get("/").await.starts_with("HTTP/1.1 200 "));
    }
    let line = proxy.log.lines(6).await.join("\n");
    assert!(line.contains(" 502, 200 ") || line.contains(" 502, 502, 200 "), "{line}");
}

#[tokio::test]
async fn tries_are_counted() {
    let mut plan = Plan::to(&[nobody().await, nobody().await, nobody().await, nobody().await]);
    let proxy = plan.start();
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && answer.contains("<h1>502 Bad Gateway</h1>"), "{answer}");
    let line = proxy.log.lines(1).await.remove(0);
    assert!(line.contains(" 502, 502, 502 "), "{line}");
    plan.route.tries = 1;
    let proxy = plan.start();
    proxy.get("/").await;
    let line = proxy.log.lines(1).await.remove(0);
    assert!(line.contains(" 502 ") && !line.contains("502, 502"), "{line}");
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_unless_the_request_may_have_been_seen() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    for (request, repeated) in [
        (&b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"[..], true),
        (b"DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n", true),
        (b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", false),
        (b"PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx", false),
    ] {
        client.send(GET).await;
        let mut upstream = endpoint.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        client.message().await;
        // The endpoint reads the next request, and dies of it.
        client.send(request).await;
        upstream.head().await;
        drop(upstream);
        if repeated {
            let mut upstream = endpoint.accept().await;
            upstream.head().await;
            upstream.send(OK).await;
            assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
            drop(upstream);
            until(|| proxy.metrics().contains("landfall_upstream_idle_connections{controller_namespace=\"ns\",controller_class=\"c\",controller_pod=\"p\"} 0").then_some(())).await;
        } else {
            assert!(client.message().await.0.starts_with("HTTP/1.1 502 "), "{request:?}");
            assert!(endpoint.is_quiet());
        }
    }
}

#[tokio::test]
async fn a_new_connection_that_dies_is_not_replaced_once_the_request_was_written() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(GET).await;
    endpoint.accept().await.head().await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 502 "));
    assert!(endpoint.is_quiet());
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_given_up() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.route.read_timeout = Duration::from_millis(300);
    let proxy = plan.start();
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 504 Gateway Timeout") && body.contains("504 Gateway Time-out"), "{head}");
    assert!(upstream.is_closed().await);
    // Nor one that stops in the middle: what it has sent is not passed off as whole.
    client.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    assert!(client.rest().await.ends_with("half"));
    // But the time begins anew with each piece, and while the client sends its own it does not count.
    let mut client = proxy.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    for piece in [b"a", b"b", b"c", b"d"] {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.send(piece).await;
    }
    upstream.message().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
    for piece in [b"a", b"b", b"c", b"d"] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        upstream.send(piece).await;
    }
    assert_eq!(client.message().await.1, "abcd");
}

#[tokio::test]
async fn a_tunnel_ends_when_nothing_is_said() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.route.read_timeout = Duration::from_millis(300);
    let proxy = plan.start();
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    client.head().await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send(b"x").await;
        upstream.exactly(1).await;
    }
    assert!(client.is_closed().await && upstream.is_closed().await);
}

#[tokio::test]
async fn nobody_to_ask_is_503() {
    let proxy = Plan::to(&[]).start();
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("<h1>503 Service Temporarily Unavailable</h1>"), "{answer}");
}

#[tokio::test]
async fn external_names_are_resolved_and_this_machine_is_refused() {
    let endpoint = echo().await;
    let name = |host: &str| Endpoints::Name { host: host.into(), port: endpoint.port() };
    let plan = Plan { endpoints: name("localhost"), ..Plan::to(&[]) };
    let proxy = plan.start();
    assert!(proxy.get("/").await.starts_with("HTTP/1.1 200 "));
    let unknown = Plan { endpoints: name("does-not-exist.invalid"), generation: 2, ..plan };
    proxy.table.store(unknown.table().into());
    assert!(proxy.get("/").await.starts_with("HTTP/1.1 503 "));
}
