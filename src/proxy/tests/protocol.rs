//! HTTP/1 as clients really speak it.

use super::super::testing::*;

#[tokio::test]
async fn requests_may_be_pipelined_and_are_answered_in_order() {
    let proxy = Plan::to(&[echo().await]).start();
    let mut client = proxy.connect().await;
    let requests: String = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a.example\r\n\r\n")).collect();
    client.send(requests.as_bytes()).await;
    for n in 0..50 {
        let (_, body) = client.message().await;
        assert!(body.starts_with(&format!("GET /{n} ")), "{body}");
    }
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let proxy = Plan::to(&[echo().await]).start();
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        for byte in b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n" {
            client.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(client.message().await.1.starts_with("GET /slow "));
    }
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\nHEAD /nothing HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    for _ in 0..2 {
        upstream.head().await;
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!(header(&head, "content-length"), Some("5"), "{head}");
    }
}

#[tokio::test]
async fn http_1_0_is_spoken() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.0\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    let head = upstream.head().await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n") && header(&head, "host") == Some("_"), "{head}");
    upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.message().await.1, "hi");
    client.send(b"GET / HTTP/1.0\r\n\r\n").await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho").await;
    assert!(client.rest().await.ends_with("ho"));
}

#[tokio::test]
async fn a_client_may_close_its_sending_side_and_still_has_its_answer() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    let mut upstream = endpoint.accept().await;
    upstream.message().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho").await;
    assert!(client.rest().await.ends_with("ho"));
}

#[tokio::test]
async fn interim_responses_are_not_the_answer() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn requests_on_a_connection_are_counted() {
    let mut plan = Plan::to(&[echo().await]);
    plan.global.keep_alive_requests = 3;
    let proxy = plan.start();
    let mut client = proxy.connect().await;
    for last in [false, false, true] {
        client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let (head, _) = client.message().await;
        assert_eq!(header(&head, "connection"), last.then_some("close"));
    }
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_protocol_change_makes_a_tunnel() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    for tls in [false, true] {
        if tls {
            tunnel(proxy.connect_tls("a.example", &[]).await, &endpoint).await;
        } else {
            tunnel(proxy.connect().await, &endpoint).await;
        }
    }
    let lines = proxy.log.lines(2).await;
    assert!(lines[0].contains("\" 101 13 \""), "{}", lines[0]);
}

async fn tunnel<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut client: Raw<S>, endpoint: &Endpoint) {
    client.send(b"GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    let head = upstream.head().await;
    assert_eq!((header(&head, "upgrade"), header(&head, "connection")), (Some("websocket"), Some("upgrade")));
    // The first bytes of the new protocol may come with the answer.
    upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x01first").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!((header(&head, "upgrade"), header(&head, "connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!(client.exactly(6).await, b"\x01first");
    client.send(b"\0\r\nup").await;
    assert_eq!(upstream.exactly(5).await, b"\0\r\nup");
    upstream.send(b"down...").await;
    assert_eq!(client.exactly(7).await, b"down...");
    drop(upstream);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn an_endpoint_cannot_change_the_protocol_unasked() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 502 "));
}
