//! Bodies both ways: streamed, limited, broken off.

use super::super::testing::*;

const POST: &str = "POST / HTTP/1.1\r\nHost: a.example\r\n";

#[tokio::test]
async fn both_bodies_stream() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n").as_bytes()).await;
    let mut upstream = endpoint.accept().await;
    upstream.until("one\r\n").await;
    // The response begins while the request goes on.
    upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n").await;
    client.until("uno\r\n").await;
    client.send(b"3\r\ntwo\r\n").await;
    upstream.until("two\r\n").await;
    upstream.send(b"3\r\ndos\r\n").await;
    client.until("dos\r\n").await;
    client.send(b"0\r\n\r\n").await;
    upstream.until("0\r\n\r\n").await;
    upstream.send(b"0\r\n\r\n").await;
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    let fields = "TE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{POST}{fields}1\r\na\r\n0\r\nX-Sum: up\r\n\r\n").as_bytes()).await;
    let mut upstream = endpoint.accept().await;
    upstream.until("0\r\nx-sum: up\r\n\r\n").await;
    let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX-Sum: down\r\n\r\n";
    upstream.send(answer.as_bytes()).await;
    client.until("0\r\nx-sum: down\r\n\r\n").await;
}

#[tokio::test]
async fn a_client_may_ask_whether_to_go_on() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(format!("{POST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n").as_bytes()).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue");
    client.send(b"hello").await;
    let mut upstream = endpoint.accept().await;
    assert_eq!(upstream.message().await.1, "hello");
    upstream.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 204"));
    // Too large: the answer comes instead.
    let mut client = proxy.connect().await;
    client.send(format!("{POST}Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n").as_bytes()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn the_limit_counts_whatever_the_framing() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.route.body_limit = Some(10);
    let proxy = plan.start();
    let answer = proxy.say(&format!("{POST}Content-Length: 11\r\n\r\nhello world")).await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
    assert!(answer.contains("<h1>413 Request Entity Too Large</h1>"), "{answer}");
    assert!(endpoint.is_quiet());
    let answer = proxy.say(&format!("{POST}Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    endpoint.accept().await.rest().await;
    let mut client = proxy.connect().await;
    client.send(format!("{POST}Content-Length: 10\r\n\r\n0123456789").as_bytes()).await;
    assert_eq!(endpoint.accept().await.message().await.1, "0123456789");
}

#[tokio::test]
async fn an_answer_before_the_body_has_come_reaches_the_client() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.route.body_limit = None;
    let proxy = plan.start();
    for closes in [false, true] {
        let mut client = proxy.connect().await;
        client.send(format!("{POST}Content-Length: 10000000\r\n\r\nstart").as_bytes()).await;
        let mut upstream = endpoint.accept().await;
        upstream.until("start").await;
        upstream.send(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno").await;
        if closes {
            drop(upstream);
        }
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 403 ") && body == "no", "{head}");
    }
}

#[tokio::test]
async fn a_large_body_passes_and_a_slow_reader_holds_the_sender_back() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    const SIZE: usize = 64 << 20;
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await;
    let piece = vec![b'x'; 1 << 16];
    // Nobody reads: sockets and buffers fill up, and then no more is taken.
    let mut sent = 0;
    while let Ok(count) =
        tokio::time::timeout(std::time::Duration::from_millis(500), tokio::io::AsyncWriteExt::write(&mut upstream.stream, &piece))
            .await
    {
        sent += count.unwrap();
        assert!(sent < SIZE, "everything was taken while nobody reads");
    }
    let rest = tokio::spawn(async move { upstream.send(&vec![b'x'; SIZE - sent]).await });
    client.head().await;
    assert_eq!(client.exactly(SIZE).await.len(), SIZE);
    rest.await.unwrap();
}

#[tokio::test]
async fn a_broken_response_is_not_passed_off_as_whole() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let mut client = proxy.connect().await;
        client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let mut upstream = endpoint.accept().await;
        upstream.head().await;
        upstream.send(answer.as_bytes()).await;
        client.until("half").await;
        drop(upstream);
        let rest = client.rest().await;
        assert!(!rest.contains("0\r\n\r\n"), "{rest}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_upstream_connection_with_it() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(format!("{POST}Content-Length: 10\r\n\r\nhalf").as_bytes()).await;
    let mut upstream = endpoint.accept().await;
    upstream.until("half").await;
    drop(client);
    assert!(upstream.is_closed().await, "in the middle of a request");
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhalf").await;
    client.until("half").await;
    drop(client);
    // A client that has closed might only have stopped sending; its system says so once more is sent to it.
    let sending = async {
        while tokio::io::AsyncWriteExt::write_all(&mut upstream.stream, b"x").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, sending).await.expect("closed in the middle of a response");
    assert_eq!(proxy.log.lines(2).await.len(), 2);
}
