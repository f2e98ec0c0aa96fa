//! HTTP/2: by ALPN and with prior knowledge, its limits, and frames that a client should not send.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::server::Drain;
use super::super::testing::*;

type Sender<B> = hyper::client::conn::http2::SendRequest<B>;

async fn speak<S, B>(stream: S) -> Sender<B>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
{
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> http::Request<Full<Bytes>> {
    http::Request::get(format!("https://a.example{path}")).body(Full::default()).unwrap()
}

async fn text(response: http::Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn requests_share_a_connection() {
    let proxy = Plan::to(&[echo().await]).start();
    let tls = proxy.connect_tls("a.example", &["h2", "http/1.1"]).await.stream;
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let sender = speak(tls).await;
    let ask = |n: usize| {
        let mut sender = sender.clone();
        async move {
            let request = http::Request::get(format!("https://a.example/{n}"))
                .header("cookie", "a=b")
                .header("cookie", "c=d")
                .body(Full::<Bytes>::default());
            let response = sender.send_request(request.unwrap()).await.unwrap();
            assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains");
            text(response).await
        }
    };
    for (n, head) in futures::future::join_all((0..100).map(ask)).await.into_iter().enumerate() {
        assert!(head.starts_with(&format!("GET /{n} HTTP/1.1\r\n")), "{head}");
        assert_eq!((header(&head, "host"), header(&head, "cookie")), (Some("a.example"), Some("a=b; c=d")));
    }
    assert!(proxy.log.lines(1).await[0].contains(" HTTP/2.0\" 200 "));
}

#[tokio::test]
async fn http_2_is_offered_as_configured_and_understood_without_tls() {
    let mut plan = Plan::to(&[echo().await]);
    let proxy = plan.start();
    let mut sender = speak(tokio::net::TcpStream::connect(proxy.http()).await.unwrap()).await;
    let head = text(sender.send_request(get("/plain")).await.unwrap()).await;
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    plan.global.use_http2 = false;
    plan.generation = 2;
    proxy.table.store(plan.table().into());
    let tls = proxy.connect_tls("a.example", &["h2", "http/1.1"]).await.stream;
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut sender = speak(tokio::net::TcpStream::connect(proxy.http()).await.unwrap()).await;
    let (pieces, body) = futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, std::convert::Infallible>>();
    let request = http::Request::post("http://a.example/").header("te", "trailers").header("trailer", "x-sum");
    let answer = tokio::spawn(sender.send_request(request.body(StreamBody::new(body)).unwrap()));
    pieces.unbounded_send(Ok(Frame::data("one".into()))).unwrap();
    let mut upstream = endpoint.accept().await;
    upstream.until("3\r\none\r\n").await;
    upstream.send(b"HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n").await;
    let mut response = answer.await.unwrap().unwrap().into_body();
    assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), "uno");
    let trailers = http::HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "up".parse().unwrap())]);
    pieces.unbounded_send(Ok(Frame::trailers(trailers))).unwrap();
    drop(pieces);
    upstream.until("0\r\nx-sum: up\r\n\r\n").await;
    upstream.send(b"0\r\nX-Sum: down\r\n\r\n").await;
    let trailers = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["x-sum"], "down");
}

#[tokio::test]
async fn a_large_body_passes_in_small_windows() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut sender = speak(proxy.connect_tls("a.example", &["h2"]).await.stream).await;
    let answer = tokio::spawn(async move { text(sender.send_request(get("/")).await.unwrap()).await });
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    const SIZE: usize = 3 << 20;
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await;
    upstream.send(&vec![b'x'; SIZE]).await;
    assert_eq!(answer.await.unwrap().len(), SIZE);
}

#[tokio::test]
async fn a_client_is_asked_to_go_and_may_finish() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = by_hand(&proxy).await;
    client.send(&request(1)).await;
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    let draining = tokio::spawn(proxy.handle.drain(Drain { serve: Duration::from_millis(300), limit: LIMIT }));
    let (_, payload) = next(&mut client, &[GOAWAY]).await.unwrap();
    assert_eq!(payload[..8], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], "soon");
    let (_, ping) = next(&mut client, &[PING]).await.unwrap();
    client.send(&frame(PING, 1, 0, &ping)).await;
    let (_, payload) = next(&mut client, &[GOAWAY]).await.unwrap();
    assert_eq!(payload[..8], [0, 0, 0, 1, 0, 0, 0, 0], "after this request");
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(next(&mut client, &[DATA]).await.unwrap().1, b"ok");
    assert!(next(&mut client, &[]).await.is_none(), "and then it is closed");
    drop(client);
    assert_eq!(draining.await.unwrap().cut, 0);
}

#[tokio::test]
async fn slow_bodies_are_answered_408() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.global.client_body_timeout = Duration::from_millis(300);
    let proxy = plan.start();
    let mut sender = speak(tokio::net::TcpStream::connect(proxy.http()).await.unwrap()).await;
    let (pieces, body) = futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, std::convert::Infallible>>();
    let request = http::Request::post("http://a.example/").body(StreamBody::new(body)).unwrap();
    pieces.unbounded_send(Ok(Frame::data("half".into()))).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 408);
    let mut upstream = endpoint.accept().await;
    assert!(upstream.rest().await.ends_with("4\r\nhalf\r\n"));
}

#[tokio::test]
async fn idle_connections_end() {
    let mut plan = Plan::to(&[echo().await]);
    plan.global.keep_alive = Duration::from_millis(300);
    let proxy = plan.start();
    let mut sender = speak(tokio::net::TcpStream::connect(proxy.http()).await.unwrap()).await;
    text(sender.send_request(get("/")).await.unwrap()).await;
    until(|| sender.is_closed().then_some(())).await;
}

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields, without compression.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection on which frames are written by hand.
async fn by_hand(proxy: &Running) -> Raw<tokio::net::TcpStream> {
    begin(proxy.connect().await).await
}

/// Says what an HTTP/2 connection begins with.
pub(super) async fn begin(mut client: Raw<tokio::net::TcpStream>) -> Raw<tokio::net::TcpStream> {
    client.send(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()).await;
    client
}

/// A request for `/`.
pub(super) fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&PSEUDO))
}

/// The next frame of a kind among `kinds`: its kind and its payload. None once the connection is closed.
pub(super) async fn next(client: &mut Raw<tokio::net::TcpStream>, kinds: &[u8]) -> Option<(u8, Vec<u8>)> {
    loop {
        if client.is_closed().await {
            return None;
        }
        let head = client.exactly(9).await;
        let payload = client.exactly(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize).await;
        if kinds.contains(&head[3]) {
            return Some((head[3], payload));
        }
    }
}

const PSEUDO: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")];

#[tokio::test]
async fn requests_with_two_meanings_are_refused() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let with = |name: &'static str, value: &'static str| [&PSEUDO[..], &[(name, value)]].concat();
    let but = |name: &'static str, value: &'static str| {
        PSEUDO.map(|(have, old)| (have, if have == name { value } else { old })).to_vec()
    };
    for fields in [
        with("connection", "close"),
        with("transfer-encoding", "chunked"),
        with("keep-alive", "5"),
        with("proxy-connection", "close"),
        with("upgrade", "websocket"),
        with("te", "gzip"),
        with("X-Upper", "x"),
        with("x-nul", "a\0b"),
        with("x-line", "a\r\nb: c"),
        with("bad name", "x"),
        with("host", "b.example"),
        with(":path", "/again"),
        with("content-length", "+5"),
        with("content-length", "5"),
        but(":path", ""),
        but(":path", "x"),
        but(":path", "*"),
        but(":path", "http://b/"),
        but(":path", "/a b"),
        but(":authority", "a@b"),
        but(":authority", "a/b"),
        but(":method", "GET / HTTP/1.1\r\nX:"),
    ] {
        let mut client = by_hand(&proxy).await;
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))).await;
        match next(&mut client, &[HEADERS, RST_STREAM, GOAWAY]).await {
            // `:status: 400` of HPACK's static table.
            Some((HEADERS, payload)) => assert_eq!(payload[0], 0x8c, "{fields:?}"),
            Some((RST_STREAM | GOAWAY, _)) | None => {}
            Some(other) => panic!("{other:?}"),
        }
        assert!(endpoint.is_quiet(), "{fields:?}");
    }
}

#[tokio::test]
async fn streams_at_a_time_are_bounded() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.global.http2_max_concurrent_streams = 4;
    let proxy = plan.start();
    let mut client = by_hand(&proxy).await;
    let open = |n: u32| request(2 * n + 1);
    client.send(&(0..5).flat_map(open).collect::<Vec<u8>>()).await;
    let (_, error) = next(&mut client, &[RST_STREAM]).await.unwrap();
    assert_eq!(error, [0, 0, 0, 7], "REFUSED_STREAM");
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let endpoint = Endpoint::new().await;
    let proxy = Plan::to(&[endpoint.address]).start();
    let mut client = by_hand(&proxy).await;
    let both = |n: u32| {
        let headers = request(2 * n + 1);
        [headers, frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat()
    };
    client.send(&(0..500).flat_map(both).collect::<Vec<u8>>()).await;
    let (_, payload) = next(&mut client, &[GOAWAY]).await.expect("the client is told why");
    assert_eq!(payload[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
}

#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let proxy = Plan::to(&[]).start();
    let mut client = by_hand(&proxy).await;
    client.send(&frame(HEADERS, END_STREAM, 1, &block(&PSEUDO))).await;
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", &"x".repeat(120))]));
    let flood = async {
        // Until it is refused: nothing but that ends this loop.
        while tokio::io::AsyncWriteExt::write_all(&mut client.stream, &more).await.is_ok() {}
    };
    tokio::time::timeout(LIMIT, flood).await.expect("the connection ends");
}

#[tokio::test]
async fn large_heads_are_refused() {
    let proxy = Plan::to(&[echo().await]).start();
    let sender = speak(tokio::net::TcpStream::connect(proxy.http()).await.unwrap()).await;
    for (fields, status) in [(vec![("x", 9000)], 400), (vec![("x", 8000)], 200), (vec![("x", 10); 101], 431)] {
        let mut request = get("/");
        for (name, size) in fields {
            request.headers_mut().append(name, "y".repeat(size).parse().unwrap());
        }
        assert_eq!(sender.clone().send_request(request).await.unwrap().status(), status);
    }
    let mut trace = get("/");
    *trace.method_mut() = http::Method::TRACE;
    assert_eq!(sender.clone().send_request(trace).await.unwrap().status(), 405);
    let long = get(&format!("/{}", "x".repeat(9000)));
    assert_eq!(sender.clone().send_request(long).await.unwrap().status(), 414);
}

#[tokio::test]
async fn certificates_follow_the_name_and_the_table() {
    let mut plan = Plan::to(&[echo().await]);
    let proxy = plan.start();
    let presented = async |name: &str| {
        let tls = proxy.connect_tls(name, &[]).await.stream;
        tls.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let default = certificate("default.example").cert[0].clone();
    assert_eq!(presented("a.example").await, default);
    let mut table = plan.table();
    let certificates = Arc::make_mut(&mut table.certificates);
    certificates.by_name.insert("a.example".into(), certificate("a.example"));
    certificates.by_name.insert("*.wild.example".into(), certificate("wild.example"));
    plan.generation = 2;
    proxy.table.store(Arc::new(table));
    assert_eq!(presented("A.example").await, certificate("a.example").cert[0]);
    assert_eq!(presented("x.wild.example").await, certificate("wild.example").cert[0]);
    assert_eq!(presented("other.example").await, default);
}

#[tokio::test]
async fn an_upload_that_is_too_large_is_answered_and_stopped_and_the_connection_goes_on() {
    let endpoint = Endpoint::new().await;
    let mut plan = Plan::to(&[endpoint.address]);
    plan.route.body_limit = Some(100_000);
    let proxy = plan.start();
    // It takes everything, and says nothing.
    let listening = tokio::spawn(async move {
        loop {
            endpoint.accept().await.rest().await;
        }
    });
    let mut sender = speak(proxy.connect_tls("a.example", &["h2"]).await.stream).await;
    for _ in 0..2 {
        let (mut pieces, body) = futures::channel::mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
        let uploading = tokio::spawn(async move {
            let piece = || Ok(Frame::data(Bytes::from_static(&[b'x'; 10_000])));
            while futures::SinkExt::send(&mut pieces, piece()).await.is_ok() {}
        });
        let request = http::Request::post("https://a.example/").body(StreamBody::new(body)).unwrap();
        let response = tokio::time::timeout(LIMIT, sender.send_request(request)).await.expect("an answer").unwrap();
        assert_eq!(response.status(), 413);
        assert!(text(response).await.contains("413"));
        tokio::time::timeout(LIMIT, uploading).await.expect("the client is told to stop").unwrap();
    }
    listening.abort();
}
