//! What a client says of itself, and whom the endpoint is told: real sockets, from an address that is trusted (127.0.0.1) and one
//! that is not (127.0.0.2), by HTTP/1.1 and HTTP/2, with and without a PROXY header. Settings come from the ConfigMap.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use landfall::proxy::{Handle, Proxy, Settings};
use landfall::routes::options::PathMatching;
use landfall_test_cluster::tls;
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::fixture::block_on;
use crate::support::{table, wait};

const TRUSTED: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.2";

/// Everything by which a client could claim to be somebody else.
const CLAIMS: &[(&str, &str)] = &[
    ("X-Forwarded-For", "6.6.6.6"),
    ("x-FORWARDED-for", "192.0.2.9"),
    ("X-Real-IP", "6.6.6.6"),
    ("X-REAL-ip", "6.6.6.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Scheme", "https"),
    ("X-Scheme", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "1"),
    ("x_forwarded_for", "6.6.6.6"),
    ("X_Real_IP", "6.6.6.6"),
    ("x-forwarded_proto", "https"),
    ("Forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
    ("X-Original-Forwarded-For", "7.7.7.7"),
    ("X-Original-Forwarded-Host", "worse.example"),
    ("Connection", "X-Real-IP, X-Forwarded-For"),
];

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, Check); 6] = [
        ("a_client_is_not_believed", || Box::pin(a_client_is_not_believed())),
        ("tls_is_told_whatever_the_client_says", || Box::pin(tls_is_told_whatever_the_client_says())),
        ("forwarded_headers_are_believed_from_trusted_peers_only", || Box::pin(forwarded_headers())),
        ("proxy_headers_are_believed_from_trusted_peers_only", || Box::pin(proxy_headers())),
        ("a_proxy_header_goes_before_forwarded_headers", || Box::pin(both())),
        ("underscores_pass_only_when_asked_for", || Box::pin(underscores())),
    ];
    let trial = |(name, check): (&str, Check)| {
        Trial::test(format!("forged::{name}"), move || {
            block_on(async { tokio::time::timeout(wait::LIMIT, check()).await.expect("an end in time") });
            Ok(())
        })
    };
    trials.into_iter().map(trial).collect()
}

type Check = fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// A proxy before an endpoint that answers with the head that it got.
async fn serve(config: &[(&str, &str)]) -> Handle {
    let mut objects = vec![table::class("nginx")];
    objects.extend(table::service("web", &[telling().await]));
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    objects.push(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"ingressClassName": "nginx",
            "rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    }));
    let table = table::compile_with(PathMatching::Nginx, &objects, config);
    let any = Some("127.0.0.1:0".parse().expect("an address"));
    let settings = Settings { workers: 1, ..Settings::new(any, any) };
    Proxy::start(&settings, &Arc::new(ArcSwap::new(table)), None).expect("it starts")
}

async fn telling() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut head).await, Ok(1..)) {}
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", head.len());
                let _ = stream.write_all(&[answer.as_bytes(), &head].concat()).await;
            });
        }
    });
    port
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

const BOTH: [Version; 2] = [Version::One, Version::Two];

async fn connect(proxy: SocketAddr, source: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(source.parse().expect("an address"), 0)).expect("an address of this machine");
    socket.connect(proxy).await.expect("connected")
}

/// What the endpoint got of a request with all claims: fields that tell of the client, by name.
async fn seen<S>(mut stream: S, version: Version) -> BTreeMap<String, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = match version {
        Version::One => {
            let fields: String = CLAIMS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = Vec::new();
            while answer.windows(4).filter(|window| window == b"\r\n\r\n").count() < 2 {
                assert!(stream.read_buf(&mut answer).await.expect("read") > 0, "{}", String::from_utf8_lossy(&answer));
            }
            let text = String::from_utf8(answer).expect("text");
            text.split_once("\r\n\r\n").expect("a head").1.to_owned()
        }
        Version::Two => {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.expect("HTTP/2");
            tokio::spawn(connection);
            let mut request = Request::get("http://a.example/").body(Empty::<Bytes>::new()).expect("a request");
            // HTTP/2 has no odd case (RFC 9113, 8.2.1), and no Connection.
            for (name, value) in CLAIMS.iter().filter(|(name, _)| *name != "Connection") {
                let name: hyper::header::HeaderName = name.parse().expect("a name");
                request.headers_mut().append(name, value.parse().expect("a value"));
            }
            let answer = sender.send_request(request).await.expect("an answer");
            assert_eq!(answer.status(), 200);
            String::from_utf8(answer.into_body().collect().await.expect("a body").to_bytes().to_vec()).expect("text")
        }
    };
    let mut told = BTreeMap::new();
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        let name = name.to_ascii_lowercase();
        if name.starts_with('x') && name != "x-request-id" || name == "forwarded" {
            assert_eq!(told.insert(name.clone(), value.to_owned()), None, "{name} comes twice: {head}");
        }
    }
    told
}

/// What an endpoint is told, after what the client had claimed.
fn told(address: &str, scheme: &str, host: &str, port: &str) -> BTreeMap<String, String> {
    let fields = [
        ("x-real-ip", address),
        ("x-forwarded-for", address),
        ("x-forwarded-host", host),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", scheme),
        ("x-forwarded-scheme", scheme),
        ("x-scheme", scheme),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// The same, with what it claimed, told as such.
fn claimed(version: Version, mut told: BTreeMap<String, String>) -> BTreeMap<String, String> {
    // HTTP/1's `Connection` names it, so it ends here.
    if version == Version::Two {
        told.insert("x-original-forwarded-for".into(), "6.6.6.6, 192.0.2.9".into());
    }
    told.insert("x-original-forwarded-host".into(), "evil.example".into());
    told
}

async fn a_client_is_not_believed() {
    let proxy = serve(&[]).await;
    let address = proxy.http().expect("http");
    for (source, version) in [(TRUSTED, BOTH[0]), (TRUSTED, BOTH[1]), (STRANGER, BOTH[0]), (STRANGER, BOTH[1])] {
        let expected = claimed(version, told(source, "http", "a.example", &address.port().to_string()));
        assert_eq!(seen(connect(address, source).await, version).await, expected, "{source} {version:?}");
    }
}

async fn tls_is_told_whatever_the_client_says() {
    let proxy = serve(&[]).await;
    let address = proxy.https().expect("https");
    for (version, protocol) in BOTH.into_iter().zip(["http/1.1", "h2"]) {
        let stream = tls::connect(address, "a.example", &[protocol]).await.expect("a handshake");
        assert_eq!(seen(stream, version).await, claimed(version, told(TRUSTED, "https", "a.example", "443")), "{version:?}");
    }
}

async fn forwarded_headers() {
    let proxy = serve(&[("use-forwarded-headers", "true"), ("proxy-real-ip-cidr", "127.0.0.1/32")]).await;
    let address = proxy.http().expect("http");
    for version in BOTH {
        let mut expected = claimed(version, told("192.0.2.9", "https", "evil.example", "1"));
        expected.insert("forwarded".into(), "for=6.6.6.6;proto=https;host=evil.example".into());
        assert_eq!(seen(connect(address, TRUSTED).await, version).await, expected, "trusted, {version:?}");
        let expected = claimed(version, told(STRANGER, "http", "a.example", &address.port().to_string()));
        assert_eq!(seen(connect(address, STRANGER).await, version).await, expected, "a stranger, {version:?}");
    }
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x13\x88\x01\xbb";

async fn proxy_headers() {
    let proxy = serve(&[("use-proxy-protocol", "true"), ("proxy-real-ip-cidr", "127.0.0.1/32")]).await;
    let address = proxy.http().expect("http");
    let own_port = address.port().to_string();
    for version in BOTH {
        for header in [V1, V2] {
            for (source, expected) in [
                (TRUSTED, told("192.0.2.1", "https", "a.example", "443")),
                (STRANGER, told(STRANGER, "http", "a.example", &own_port)),
            ] {
                let mut stream = connect(address, source).await;
                stream.write_all(header).await.expect("sent");
                assert_eq!(seen(stream, version).await, claimed(version, expected), "{source} {version:?} {}", header.len());
            }
        }
    }
    // Without a header nobody is served, whoever asks.
    for source in [TRUSTED, STRANGER] {
        let mut stream = connect(address, source).await;
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(String::from_utf8_lossy(&answer), "", "{source}");
    }
}

async fn both() {
    let trusted = ("proxy-real-ip-cidr", "127.0.0.1/32");
    let proxy = serve(&[("use-proxy-protocol", "true"), ("use-forwarded-headers", "true"), trusted]).await;
    let address = proxy.http().expect("http");
    for version in BOTH {
        let mut stream = connect(address, TRUSTED).await;
        stream.write_all(V2).await.expect("sent");
        let seen = seen(stream, version).await;
        assert_eq!((&*seen["x-real-ip"], &*seen["x-forwarded-for"]), ("192.0.2.1", "192.0.2.1"), "{version:?}");
        let mut stream = connect(address, STRANGER).await;
        stream.write_all(V1).await.expect("sent");
        let expected = claimed(version, told(STRANGER, "http", "a.example", &address.port().to_string()));
        assert_eq!(self::seen(stream, version).await, expected, "{version:?}");
    }
}

async fn underscores() {
    let proxy = serve(&[("enable-underscores-in-headers", "true")]).await;
    let address = proxy.http().expect("http");
    for version in BOTH {
        let mut expected = claimed(version, told(TRUSTED, "http", "a.example", &address.port().to_string()));
        for (name, value) in CLAIMS.iter().filter(|(name, _)| name.contains('_')) {
            expected.insert(name.to_ascii_lowercase(), (*value).to_owned());
        }
        assert_eq!(seen(connect(address, TRUSTED).await, version).await, expected, "{version:?}");
    }
}
