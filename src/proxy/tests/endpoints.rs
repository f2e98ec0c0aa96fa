//! What endpoints may answer, and what becomes of a connection after it.

use super::super::testing::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// What a client gets (up to the end of the connection) for what an endpoint sends before it closes.
async fn answered(request: &str, answer: &str) -> String {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(format!("{request} / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(answer.as_bytes()).await;
    drop(upstream);
    client.rest().await
}

#[tokio::test]
async fn interim_responses_end_here() {
    let answer =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let got = answered("GET", answer).await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("\r\n\r\nok") && !got.contains("ink"), "{got}");
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_whole() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let got = answered("GET", &format!("{version} 200 OK\r\nX: y\r\n\r\nall of it")).await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
        assert_eq!(header(&got, "transfer-encoding"), Some("chunked"), "{got}");
        assert!(got.contains("all of it") && got.ends_with("0\r\n\r\n"), "{got}");
    }
}

#[tokio::test]
async fn responses_without_a_body_have_none_whatever_they_say() {
    for (request, answer, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Some("5")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", None),
    ] {
        let got = answered(request, answer).await;
        assert!(got.starts_with(answer.split('\r').next().unwrap()), "{answer:?}: {got}");
        assert!(got.ends_with("\r\n\r\n"), "{got}");
        assert_eq!(header(&got, "content-length"), length, "{answer:?}: {got}");
    }
}

#[tokio::test]
async fn a_response_with_two_meanings_is_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ] {
        let got = answered("GET", answer).await;
        assert!(got.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer:?}: {got}");
    }
    let got = answered("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(got.ends_with("ok"), "{got}");
    assert_eq!(got.to_lowercase().matches("content-length").count(), 1, "{got}");
}

#[tokio::test]
async fn a_malformed_chunk_breaks_the_response_off() {
    let got = answered("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n").await;
    assert!(!got.ends_with("0\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn a_connection_with_something_left_on_it_is_not_used_again() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        client.send(GET).await;
        let mut upstream = endpoint.accept().await;
        upstream.head().await;
        upstream.send(answer.as_bytes()).await;
        client.head().await;
        client.until(if answer.contains("chunked") { "0\r\n\r\n" } else { "ok" }).await;
        assert!(upstream.is_closed().await, "{answer}");
    }
    // What comes while it is idle makes it useless, too.
    client.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.message().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
    assert!(upstream.is_closed().await);
    client.send(GET).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await;
    assert_eq!(client.message().await.1, "good");
}

#[tokio::test]
async fn a_request_says_how_long_its_body_is_as_the_client_did() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    for (fields, body, length, coding) in [
        ("", "", None, None),
        ("Content-Length: 0\r\n", "", Some("0"), None),
        ("Content-Length: 2\r\n", "hi", Some("2"), None),
        ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", None, Some("chunked")),
    ] {
        let mut client = proxy.connect().await;
        client.send(format!("POST /?q HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n{body}").as_bytes()).await;
        let mut upstream = endpoint.accept().await;
        let head = upstream.head().await;
        assert!(head.starts_with("POST /?q HTTP/1.1\r\n"), "{head}");
        assert_eq!((header(&head, "content-length"), header(&head, "transfer-encoding")), (length, coding), "{head}");
        upstream.exactly(body.len()).await;
        upstream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.message().await.1, "ok");
    }
}
