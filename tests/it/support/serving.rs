//! A proxy in this process that serves objects which no API server has seen, and requests to it in a few words.
//!
//! What an Ingress names and is not among the objects is there all the same: IngressClass `nginx`; and for each Service one with
//! port 80 and a program that answers with its name. But for `none`, which has no endpoints, and `missing`, which is missing.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};

use arc_swap::ArcSwap;
use landfall::ingress::certificate;
use landfall::proxy::{self, Handle, Proxy};
use landfall::routes::RouteTable;
use landfall::routes::certificates::Leaf;
use landfall::routes::compile::{Compiled, Compiler, Settings};
use landfall::routes::explain::{Question, explain};
use landfall_test_cluster::tls;
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::data_plane::Answer;
use super::table::{self, Objects};

/// The default certificate of all: a process makes one, and that takes a moment.
static FALLBACK: LazyLock<Arc<CertifiedKey>> = LazyLock::new(|| certificate::self_signed().expect("a certificate"));

/// A running proxy. Dropping it ends it.
pub struct Serving {
    /// What it serves now, and what there was to tell.
    pub compiled: Compiled,
    compiler: Compiler,
    table: Arc<ArcSwap<RouteTable>>,
    proxy: Handle,
}

impl Serving {
    /// Serves these objects.
    pub async fn start(objects: Vec<Value>, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(Arc::clone(&FALLBACK));
        set(&mut settings);
        let mut compiler = Compiler::new(settings);
        let compiled = compile(&mut compiler, objects).await;
        let table = Arc::new(ArcSwap::from_pointee(compiled.table.clone()));
        let any = Some("127.0.0.1:0".parse().expect("an address"));
        let settings = proxy::Settings { workers: 1, ..proxy::Settings::new(any, any) };
        let proxy = Proxy::start(&settings, &table, None).expect("it starts");
        Self { compiled, compiler, table, proxy }
    }

    /// Serves these objects from now on.
    pub async fn change(&mut self, objects: Vec<Value>) {
        self.compiled = compile(&mut self.compiler, objects).await;
        self.publish(self.compiled.table.clone());
    }

    /// Serves from this table from now on.
    pub fn publish(&self, table: RouteTable) {
        self.table.store(Arc::new(table));
    }

    /// Where it serves http.
    pub fn http(&self) -> SocketAddr {
        self.proxy.http().expect("http")
    }

    /// Where it serves https.
    pub fn https(&self) -> SocketAddr {
        self.proxy.https().expect("https")
    }

    /// Codes of what there was to tell, with the objects' names.
    pub fn told(&self) -> Vec<String> {
        self.compiled.findings.iter().map(|finding| format!("{} {}", finding.object.name, finding.code)).collect()
    }

    /// What a request gets: a Service's name, a status, or a status and a location. The request is one of
    /// `[host]path`, `https [host]path`, `https:server.name [host]path`; the host is `_` if there is none. Or `tls server.name`
    /// (`-` for none): the names of the certificate that is sent.
    pub async fn outcome(&self, request: &str) -> String {
        let (way, host, path) = parts(request);
        if way == "tls" {
            return names(&self.certificates(path).await);
        }
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = match way.split_once(':').unwrap_or((way, host)) {
            ("http", _) => self.ask(&request).await,
            (_, name) => converse(self.handshake(name).await, &request).await,
        };
        match (answer.status, answer.header("service"), answer.header("location")) {
            (200, Some(service), _) => service.to_owned(),
            (status, _, Some(location)) => format!("{status} {location}"),
            (status, ..) => status.to_string(),
        }
    }

    /// The same as `landfall routes explain` tells it; not for certificates.
    pub fn explained(&self, request: &str) -> Option<String> {
        let (way, host, path) = parts(request);
        let path = path.split('?').next().unwrap_or_default();
        let question = Question { https: way.starts_with("https"), authority: host.to_owned(), path: path.to_owned() };
        let told = explain(&self.compiled, self.compiler.settings(), &question);
        let told = match told.status {
            _ if way == "tls" => return None,
            Some(status) => match told.answer.strip_prefix(&format!("{status} to ")) {
                Some(location) => format!("{status} {}", location.split(": ").next()?),
                None => status.to_string(),
            },
            None => told.answer.split("Service default/").nth(1)?.split(' ').next()?.to_owned(),
        };
        Some(told)
    }

    /// The answer to these bytes over http.
    pub async fn ask(&self, request: &str) -> Answer {
        converse(TcpStream::connect(self.http()).await.expect("a connection"), request).await
    }

    /// A TLS connection by this server name; `-` or an IP address: without one.
    pub async fn handshake(&self, name: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
        let name = if name == "-" { "127.0.0.1" } else { name };
        tls::connect(self.https(), name, &[]).await.expect("a handshake")
    }

    /// The certificates that are sent, the host's first.
    pub async fn certificates(&self, name: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        let connected = self.handshake(name).await;
        connected.get_ref().1.peer_certificates().expect("certificates").iter().map(|der| der.clone().into_owned()).collect()
    }
}

/// Way, host and path of a request in the words of [`Serving::outcome`].
fn parts(request: &str) -> (&str, &str, &str) {
    let (way, rest) = request.split_once(' ').unwrap_or(("http", request));
    // A host can be an IPv6 address, with brackets of its own.
    match rest.strip_prefix('[').and_then(|rest| Some(rest.split_at(rest.find("]/")?))) {
        Some((host, path)) => (way, host, path.trim_start_matches(']')),
        None => (way, "_", rest),
    }
}

/// DNS names of the first of these certificates.
fn names(chain: &[rustls::pki_types::CertificateDer<'static>]) -> String {
    let key = CertifiedKey::new(chain.to_vec(), Arc::clone(&FALLBACK.key));
    Leaf::of(&key).expect("a certificate").names.join(" ")
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    let conversation = async {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    Answer::of(conversation).await
}

async fn compile(compiler: &mut Compiler, mut objects: Vec<Value>) -> Compiled {
    for (age, ingress) in (0..).zip(objects.iter_mut().filter(|object| object["kind"] == "Ingress")) {
        let created = json!(format!("2026-01-01T00:00:{age:02}Z"));
        let metadata = ingress["metadata"].as_object_mut().expect("metadata");
        metadata.entry("creationTimestamp").or_insert(created);
    }
    if !objects.iter().any(|object| object["kind"] == "IngressClass") {
        objects.push(table::class("nginx"));
    }
    let defined: BTreeSet<String> = names_of("Service", &objects).collect();
    for name in services(&objects, compiler.settings()).difference(&defined) {
        match name.as_str() {
            "missing" => {}
            "none" => objects.extend(table::service(name, &[])),
            _ => objects.extend(table::service(name, &[program(name).await])),
        }
    }
    compiler.compile(&Objects::of(&objects).inputs())
}

fn names_of<'o>(kind: &'static str, objects: &'o [Value]) -> impl Iterator<Item = String> + 'o {
    let found = objects.iter().filter(move |object| object["kind"] == kind);
    found.filter_map(|object| Some(object["metadata"]["name"].as_str()?.to_owned()))
}

/// Names of the Services that rules and default backends lead to.
fn services(objects: &[Value], settings: &Settings) -> BTreeSet<String> {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let backends = objects.iter().flat_map(|object| {
        let rules = array(&object["spec"]["rules"]).into_iter();
        let paths = rules.flat_map(|rule| array(&rule["http"]["paths"])).map(|path| path["backend"].clone());
        paths.chain([object["spec"]["defaultBackend"].clone()]).collect::<Vec<_>>()
    });
    let named = backends.filter_map(|backend| Some(backend["service"]["name"].as_str()?.to_owned()));
    named.chain(settings.default_backend_service.as_ref().map(|key| key.name.to_string())).collect()
}

/// The port of 127.0.0.1 on which a program answers with this name; started when it is asked for first.
pub async fn program(name: &str) -> u16 {
    static STARTED: LazyLock<Mutex<HashMap<String, u16>>> = LazyLock::new(Mutex::default);
    if let Some(port) = STARTED.lock().expect("no panic").get(name) {
        return *port;
    }
    let port = program_at("127.0.0.1:0", name).await.port();
    // Of two that were started at once both live on.
    STARTED.lock().expect("no panic").insert(name.to_owned(), port);
    port
}

/// A program on this address that answers with this name. It ends with the test process.
pub async fn program_at(address: &str, name: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = format!("HTTP/1.1 200 OK\r\nservice: {name}\r\ncontent-length: 0\r\n\r\n");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer).await, Ok(1..)) && stream.write_all(answer.as_bytes()).await.is_ok() {}
            });
        }
    });
    address
}
