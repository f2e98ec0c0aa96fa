//! What endpoint and client learn of each other.

use std::time::Duration;

use super::super::testing::*;

/// The head that an endpoint gets of `request`.
async fn seen(plan: &Plan, request: &str) -> String {
    let proxy = Plan { endpoints: Plan::to(&[echo().await]).endpoints, ..plan.clone() }.start();
    let mut client = proxy.connect().await;
    client.send(request.as_bytes()).await;
    client.message().await.1
}

fn check(head: &str, expected: &[(&str, Option<&str>)]) {
    for (name, value) in expected {
        assert_eq!(header(head, name), *value, "{name} in\n{head}");
    }
}

const FORGED: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.9\r\n\
                      X-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\n\
                      X-Scheme: https\r\nX-Forwarded-Scheme: https\r\nX-Request-ID: mine\r\n\r\n";

#[tokio::test]
async fn a_client_cannot_forge_where_it_comes_from() {
    let head = seen(&Plan::to(&[]), FORGED).await;
    check(
        &head,
        &[
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-real-ip", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-scheme", Some("http")),
            ("x-forwarded-scheme", Some("http")),
            ("x-forwarded-host", Some("a.example")),
            ("x-original-forwarded-for", Some("6.6.6.6, 192.0.2.9")),
            ("x-original-forwarded-host", Some("evil.example")),
            ("x-request-id", Some("mine")),
        ],
    );
    assert_ne!(header(&head, "x-forwarded-port"), Some("1"));
    assert_eq!(head.matches("6.6.6.6").count(), 1, "once, in the original list: {head}");
}

#[tokio::test]
async fn forwarded_headers_are_believed_from_trusted_peers_only() {
    let mut plan = Plan::to(&[]);
    plan.global.use_forwarded_headers = true;
    plan.global.proxy_real_ip_cidrs = vec!["10.0.0.0/8".parse().unwrap()];
    check(&seen(&plan, FORGED).await, &[("x-forwarded-for", Some("127.0.0.1")), ("x-forwarded-proto", Some("http"))]);
    plan.global.proxy_real_ip_cidrs.push("127.0.0.1/32".parse().unwrap());
    let believed = [
        ("x-forwarded-for", Some("192.0.2.9")),
        ("x-real-ip", Some("192.0.2.9")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("evil.example")),
        ("x-forwarded-port", Some("1")),
        ("host", Some("a.example")),
    ];
    check(&seen(&plan, FORGED).await, &believed);
    let elsewhere = "GET /healthz HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Host: b.example\r\n\r\n";
    check(&seen(&plan, elsewhere).await, &[("x-forwarded-host", Some("b.example"))]);
    plan.global.compute_full_forwarded_for = true;
    let full = ("x-forwarded-for", Some("6.6.6.6, 192.0.2.9, 127.0.0.1"));
    check(&seen(&plan, FORGED).await, &[full, ("x-real-ip", Some("192.0.2.9"))]);
}

#[tokio::test]
async fn headers_of_one_connection_end_there() {
    let head = seen(
        &Plan::to(&[]),
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-Secret, Host, Cookie\r\nX-Secret: s\r\nCookie: c\r\n\
         Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: gzip\r\nProxy: http://evil\r\nExpect: 100-continue\r\n\
         under_score: x\r\nUpgrade: h2c\r\nX-Kept: k\r\n\r\n",
    )
    .await;
    let gone = ["connection", "x-secret", "keep-alive", "proxy-connection", "te", "proxy", "expect", "under_score", "upgrade"];
    check(&head, &gone.map(|name| (name, None)));
    check(&head, &[("host", Some("a.example")), ("cookie", Some("c")), ("x-kept", Some("k"))]);
    let mut plan = Plan::to(&[]);
    plan.global.drop_underscore_headers = false;
    let head = seen(&plan, "GET / HTTP/1.1\r\nHost: a.example\r\nunder_score: x\r\nTE: trailers\r\n\r\n").await;
    check(&head, &[("under_score", Some("x")), ("te", Some("trailers"))]);
}

#[tokio::test]
async fn the_endpoints_connection_headers_do_not_reach_the_client() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream
        .send(
            b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: h\r\nKeep-Alive: 5\r\nServer: s\r\nContent-Length: 9\r\n\
              Transfer-Encoding: chunked\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-End: e\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    check(&head, &[("connection", None), ("x-hop", None), ("keep-alive", None), ("server", None), ("content-length", None)]);
    check(&head, &[("x-end", Some("e")), ("date", Some("Thu, 01 Jan 1970 00:00:00 GMT"))]);
    assert_eq!(client.until("0\r\n\r\n").await, "2\r\nhi\r\n0\r\n\r\n");
}

#[tokio::test]
async fn https_is_told_to_the_endpoint_and_kept_by_the_client() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = proxy.connect_tls("a.example", &["http/1.1"]).await;
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut upstream = endpoint.accept().await;
    check(&upstream.head().await, &[("x-forwarded-proto", Some("https")), ("x-forwarded-port", Some("443"))]);
    upstream.send(b"HTTP/1.1 204 No Content\r\nStrict-Transport-Security: max-age=1\r\n\r\n").await;
    let hsts = Some("max-age=31536000; includeSubDomains");
    check(&client.head().await, &[("strict-transport-security", hsts)]);
}

#[tokio::test]
async fn a_proxy_header_names_the_client() {
    let mut plan = Plan::to(&[echo().await]);
    plan.global.use_proxy_protocol = true;
    let proxy = plan.start();
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    for (header_text, address, scheme, port) in [
        ("PROXY TCP4 192.0.2.1 10.0.0.1 5000 443\r\n", "192.0.2.1", "https", "443"),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\r\n", "192.0.2.1", "http", "80"),
        ("PROXY UNKNOWN\r\n", "127.0.0.1", "http", ""),
    ] {
        let mut client = proxy.connect().await;
        client.send(header_text.as_bytes()).await;
        client.send(request.as_bytes()).await;
        let (_, head) = client.message().await;
        check(&head, &[("x-forwarded-for", Some(address)), ("x-real-ip", Some(address)), ("x-scheme", Some(scheme))]);
        assert!(port.is_empty() || header(&head, "x-forwarded-port") == Some(port), "{head}");
    }
    let mut without = proxy.connect().await;
    without.send(request.as_bytes()).await;
    assert!(without.is_closed().await, "a header is demanded");
    plan.global.proxy_real_ip_cidrs = vec!["10.0.0.0/8".parse().unwrap()];
    plan.global.proxy_protocol_header_timeout = Duration::from_millis(200);
    let proxy = plan.start();
    let mut untrusted = proxy.connect().await;
    untrusted.send(b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 443\r\n").await;
    untrusted.send(request.as_bytes()).await;
    let (_, head) = untrusted.message().await;
    check(&head, &[("x-forwarded-for", Some("127.0.0.1")), ("x-scheme", Some("http"))]);
    assert!(proxy.connect().await.is_closed().await, "it is not waited for without end");
}

#[tokio::test]
async fn a_v2_header_may_stand_before_tls() {
    use tokio::io::AsyncWriteExt;
    let mut plan = Plan::to(&[echo().await]);
    plan.global.use_proxy_protocol = true;
    let proxy = plan.start();
    let mut stream = tokio::net::TcpStream::connect(proxy.handle.https().unwrap()).await.unwrap();
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend_from_slice(&[192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0x01, 0xbb]);
    stream.write_all(&bytes).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client_config()));
    let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
    let mut client = Raw::new(connector.connect(name, stream).await.unwrap());
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    check(&client.message().await.1, &[("x-real-ip", Some("192.0.2.7")), ("x-scheme", Some("https"))]);
}
