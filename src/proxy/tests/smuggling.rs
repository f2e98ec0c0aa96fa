//! The corpus of requests that two servers could read in two ways, against the running proxy: each is answered 400 on a
//! connection that is closed, and nothing of it reaches an endpoint.

use super::super::guard::tests::SMUGGLING;
use super::super::testing::*;

/// Answers that came, as statuses.
fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)).collect()
}

#[tokio::test]
async fn heads_with_two_meanings_are_refused() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    for case in SMUGGLING {
        // A second request, which a server that read the first otherwise would see.
        let answer = proxy.say(&format!("{case}GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        assert_eq!(statuses(&answer), ["400"], "{case:?}: {answer}");
        assert_eq!(header(&answer, "connection"), Some("close"), "{case:?}: {answer}");
    }
    assert!(endpoint.is_quiet(), "nothing reaches the endpoint");
}

#[tokio::test]
async fn bodies_with_two_meanings_are_refused() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    for body in [
        "x\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "1;\0\r\na\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\na\r\n0\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
    ] {
        let mut client = proxy.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{body}GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes()).await;
        let mut upstream = endpoint.accept().await;
        let answer = client.rest().await;
        assert_eq!(statuses(&answer), ["400"], "{body:?}: {answer}");
        let seen = upstream.rest().await;
        assert!(!seen.contains("smuggled") && !seen.contains("\r\n0\r\n"), "{body:?}: {seen}");
    }
}

#[tokio::test]
async fn what_came_before_is_answered_first() {
    let proxy = Plan::to(&[echo().await]).start();
    let good = "GET /good HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let answer = proxy.say(&format!("{good}{good}GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n{good}")).await;
    assert_eq!(statuses(&answer), ["200", "200", "400"], "{answer}");
}

#[tokio::test]
async fn sizes_are_bounded() {
    let proxy = Plan::to(&[echo().await]).start();
    let x = |count: usize| "x".repeat(count);
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}Connection: close\r\n\r\n");
    let huge = format!("X: {}\r\n", x(8000)).repeat(5);
    for (request, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n", x(9000)), "414"),
        (format!("GET /{} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", x(8000)), "200"),
        (with(&format!("X: {}\r\n", x(9000))), "400"),
        (with(&format!("X: {}\r\n", x(8000))), "200"),
        (with(&huge), "400"),
        (with(&"X: y\r\n".repeat(99)), "431"),
        (with(&"X: y\r\n".repeat(98)), "200"),
        ("GET / HTTP/3.0\r\nHost: a.example\r\n\r\n".to_owned(), "505"),
        ("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "405"),
    ] {
        let answer = proxy.say(&request).await;
        assert_eq!(statuses(&answer)[0], status, "{}", &answer[..answer.len().min(300)]);
    }
}

#[tokio::test]
async fn nothing_follows_a_request_to_change_the_protocol_before_that_is_decided() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client
        .send(
            b"GET /up HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\
              GET /next HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        )
        .await;
    let mut upstream = endpoint.accept().await;
    let head = upstream.head().await;
    assert_eq!((header(&head, "upgrade"), header(&head, "connection")), (Some("x"), Some("upgrade")));
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.message().await;
    // It was not: the next request is one like any other.
    let head = upstream.head().await;
    assert!(head.starts_with("GET /next "), "{head}");
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(statuses(&client.rest().await), ["200"]);
}
