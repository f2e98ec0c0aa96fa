//! A running proxy, backends that do as they are told, and clients that say exactly what they are told: for tests.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};

use super::listen;
use super::server::{Handle, Proxy, Settings};
use super::tls::Tls;
use super::worker::{self, Parts, Phase, Worker};
use crate::routes::RouteTable;
use crate::routes::lookup::Paths;
use crate::routes::options::{GlobalOptions, HostOptions, PathMatching, RouteOptions};
use crate::routes::table::{Backend, BackendIndex, Certificates, Endpoints, Host, Hosts, PathType, Route};

/// What a test waits at most for something that has to come.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// What the access log said so far.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The first `count` lines, once they are there.
    pub(super) async fn lines(&self, count: usize) -> Vec<String> {
        until(|| {
            let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Asks again and again until there is an answer.
pub(super) async fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = probe() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, asking).await.expect("what is waited for comes")
}

/// A table with one route, and what tests change of it.
#[derive(Clone)]
pub(super) struct Plan {
    pub global: GlobalOptions,
    pub host: HostOptions,
    pub route: RouteOptions,
    pub path: &'static str,
    pub endpoints: Endpoints,
    pub default_backend: bool,
    pub generation: u64,
}

impl Plan {
    /// Everything goes to these endpoints.
    pub(super) fn to(endpoints: &[SocketAddr]) -> Self {
        Self {
            global: GlobalOptions::default(),
            host: HostOptions::default(),
            route: RouteOptions::default(),
            path: "/",
            endpoints: Endpoints::Addresses(endpoints.into()),
            default_backend: false,
            generation: 1,
        }
    }

    pub(super) fn table(&self) -> RouteTable {
        let backend =
            Backend { namespace: "default".into(), service: "web".into(), port: "80".into(), endpoints: self.endpoints.clone() };
        let route = Route {
            namespace: "default".into(),
            ingress: "site".into(),
            path: self.path.into(),
            path_type: PathType::Prefix,
            service: "web".into(),
            service_port: "80".into(),
            backend: Some(BackendIndex(0)),
            options: Arc::new(self.route.clone()),
        };
        let named =
            Host { name: "a.example".into(), options: self.host.clone(), paths: Paths::new(vec![route], PathMatching::Nginx) };
        let default = Host { name: "_".into(), ..named.clone() };
        RouteTable {
            generation: self.generation,
            hosts: Arc::new(Hosts {
                exact: HashMap::from([("a.example".into(), Arc::new(named))]),
                wildcard: HashMap::new(),
                default: Arc::new(default),
            }),
            backends: Arc::new([Arc::new(backend)]),
            certificates: Arc::new(Certificates { by_name: HashMap::new(), default: certificate("default.example") }),
            default_backend: self.default_backend.then_some(BackendIndex(0)),
            global: Arc::new(self.global.clone()),
        }
    }

    pub(super) fn start(&self) -> Running {
        let table = Arc::new(ArcSwap::from_pointee(self.table()));
        let any = Some("127.0.0.1:0".parse().unwrap());
        let settings = Settings { workers: 1, allow_local_names: true, ..Settings::new(any, any) };
        let log = Log::default();
        let handle = Proxy::start(&settings, &table, Some(Box::new(log.clone()))).unwrap();
        Running { handle, table, log }
    }

    /// What a worker is made of that listens on these.
    pub(super) fn parts(
        &self,
        listeners: Vec<(std::net::TcpListener, SocketAddr, bool)>,
        phase: watch::Receiver<Phase>,
    ) -> Parts {
        let table = Arc::new(ArcSwap::from_pointee(self.table()));
        Parts {
            tls: Arc::new(Tls::new(Arc::clone(&table)).unwrap()),
            table,
            workers: 1,
            stats: Arc::default(),
            log: None,
            allow_local_names: true,
            closing: Arc::new(Barrier::new(listeners.len())),
            listeners,
            phase,
        }
    }

    /// Runs a worker on the test's own runtime, and the test beside it. With paused time this makes minutes of nothing: time goes
    /// on, from tick to tick, whenever nobody has anything to do.
    pub(super) async fn inside<T>(&self, test: impl AsyncFnOnce(Inside) -> T) -> T {
        // Each connection has two ends here.
        rlimit::increase_nofile_limit(4096).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let [http, https] = [false, true].map(|tls| {
            let (mut listeners, address) = listen::bind(any, 1).unwrap();
            (listeners.remove(0), address, tls)
        });
        let (phase, watched) = watch::channel(Phase::Serving);
        let inside = Inside { http: http.1, https: https.1, phase };
        let parts = self.parts(vec![http, https], watched);
        let local = tokio::task::LocalSet::new();
        local.spawn_local(worker::run(parts));
        local.run_until(test(inside)).await
    }

    /// A worker that does nothing by itself.
    pub(super) fn worker(&self) -> Rc<Worker> {
        Worker::new(&self.parts(Vec::new(), watch::channel(Phase::Serving).1))
    }
}

/// A proxy on the test's own runtime.
pub(super) struct Inside {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub phase: watch::Sender<Phase>,
}

/// A self-signed certificate, the same for the same name.
pub(super) fn certificate(name: &str) -> Arc<CertifiedKey> {
    static MADE: Mutex<Option<HashMap<String, Arc<CertifiedKey>>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap();
    let made = made.get_or_insert_default();
    Arc::clone(made.entry(name.to_owned()).or_insert_with(|| {
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(CertifiedKey::new(vec![cert.der().clone()], key))
    }))
}

/// A proxy of one worker.
pub(super) struct Running {
    pub handle: Handle,
    pub table: Arc<ArcSwap<RouteTable>>,
    pub log: Log,
}

impl Running {
    pub(super) fn http(&self) -> SocketAddr {
        self.handle.http().unwrap()
    }

    /// A new plain connection.
    pub(super) async fn connect(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.http()).await.unwrap())
    }

    /// A TLS connection that offers these protocols.
    pub(super) async fn connect_tls(&self, name: &str, alpn: &[&str]) -> Raw<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut config = client_config();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.handle.https().unwrap()).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        Raw::new(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
    }

    /// One request on a connection of its own: everything that comes back.
    pub(super) async fn say(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request.as_bytes()).await;
        client.rest().await
    }

    /// `GET path` for `a.example`, on a connection of its own.
    pub(super) async fn get(&self, path: &str) -> String {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")).await
    }

    /// The metrics as they are scraped.
    pub(super) fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        let constant = super::metrics::Constant { namespace: "ns".into(), class: "c".into(), pod: "p".into() };
        let workers = super::metrics::Workers::default();
        workers.set(self.handle.stats());
        super::metrics::register(&mut registry, workers, constant);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}

/// Believes every certificate.
pub(super) fn client_config() -> rustls::ClientConfig {
    #[derive(Debug)]
    struct Anyone(Arc<rustls::crypto::CryptoProvider>);
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &[rustls::pki_types::CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth()
}

/// One end of a connection on which HTTP/1 is written and read by hand.
pub(super) struct Raw<S> {
    pub stream: S,
    /// Longest wait for anything.
    pub limit: Duration,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, limit: LIMIT, read: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn more(&mut self) -> usize {
        let reading = self.stream.read_buf(&mut self.read);
        // A reset is an end like any other.
        tokio::time::timeout(self.limit, reading).await.expect("something comes").unwrap_or(0)
    }

    /// Everything up to `end`, inclusive.
    pub(super) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.read.split_off(at + end.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            }
            let so_far = self.read.len();
            assert!(self.more().await > 0, "ended after {:?}", String::from_utf8_lossy(&self.read[..so_far]));
        }
    }

    /// A head, without its empty line.
    pub(super) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await.trim_end().to_owned()
    }

    /// So many bytes.
    pub(super) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await > 0, "ended after {} of {count} bytes", self.read.len());
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// A whole message whose body has a known length (or none).
    pub(super) async fn message(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        (head, String::from_utf8_lossy(&self.exactly(length).await).into_owned())
    }

    /// Everything until the other side closes.
    pub(super) async fn rest(&mut self) -> String {
        while self.more().await > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// The other side has closed, and nothing was left to read.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && self.more().await == 0
    }
}

/// The value of a header field in a head.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A backend whose connections the test takes and answers one by one.
pub(super) struct Endpoint {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Endpoint {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// The next connection of the proxy.
    pub(super) async fn accept(&self) -> Raw<TcpStream> {
        let accepted = tokio::time::timeout(LIMIT, self.listener.accept()).await.expect("the proxy connects").unwrap();
        Raw::new(accepted.0)
    }

    /// Whether a connection waits.
    pub(super) fn is_quiet(&self) -> bool {
        futures::FutureExt::now_or_never(self.listener.accept()).is_none()
    }
}

/// A backend that answers every request (without a body) with its head, on any number of connections.
pub(super) async fn echo() -> SocketAddr {
    let backend = Endpoint::new().await;
    let address = backend.address;
    tokio::spawn(async move {
        loop {
            let mut connection = backend.accept_forever().await;
            tokio::spawn(async move {
                while connection.more_or_end().await {
                    while let Some(at) = connection.read.windows(4).position(|window| window == b"\r\n\r\n") {
                        let rest = connection.read.split_off(at + 4);
                        let head = std::mem::replace(&mut connection.read, rest);
                        let answer = format!("HTTP/1.1 200 OK\r\nServer: echo\r\nContent-Length: {}\r\n\r\n", head.len());
                        connection.send(&[answer.as_bytes(), &head].concat()).await;
                    }
                }
            });
        }
    });
    address
}

impl Endpoint {
    async fn accept_forever(&self) -> Raw<TcpStream> {
        Raw::new(self.listener.accept().await.unwrap().0)
    }
}

impl<S: AsyncRead + Unpin> Raw<S> {
    async fn more_or_end(&mut self) -> bool {
        self.stream.read_buf(&mut self.read).await.unwrap_or(0) > 0
    }
}
