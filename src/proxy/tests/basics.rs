//! A request and its response.

use super::super::testing::*;

#[tokio::test]
async fn a_request_goes_to_the_endpoint_and_its_response_to_the_client() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"GET /a/b?c=d HTTP/1.1\r\nHost: A.example:8080\r\nUser-Agent: t\r\nX-Any: thing\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    let head = upstream.head().await;
    assert!(head.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{head}");
    let port = proxy.http().port().to_string();
    for (name, value) in [
        ("host", "A.example:8080"),
        ("x-any", "thing"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "A.example:8080"),
        ("x-forwarded-port", &port),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-scheme", "http"),
        ("x-scheme", "http"),
    ] {
        assert_eq!(header(&head, name), Some(value), "{name} in {head}");
    }
    let id = header(&head, "x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    upstream.send(b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Own: y\r\nContent-Length: 5\r\n\r\nhello").await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!((header(&head, "server"), header(&head, "x-own")), (None, Some("y")));
    assert_eq!(body, "hello");
}
