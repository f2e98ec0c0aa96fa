//! What is changed while requests flow, and how long each change takes to be in force: from the API server's answer to the write
//! until the first request is answered by the new state, asked every two milliseconds.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use landfall_test_cluster::tls;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::objects::{INGRESSES, SECRETS, SERVICES, SIDES, answer, endpoints, host, ingress, secret, service};
use crate::support::wait;
use crate::support::world::World;

/// Between two changes of endpoints: 50 a second.
const ENDPOINTS: Duration = Duration::from_millis(20);

/// Of these one in so many is followed, so that following them is a small part of the load.
const FOLLOWED: usize = 4;

/// From the beginning of one rotation of a Secret to the next one.
const ROTATION: Duration = Duration::from_millis(300);

/// From the creation of an Ingress to the next one.
const CREATION: Duration = Duration::from_millis(500);

/// Names of Ingresses that come and go: always the same, as labels of metrics are remembered.
const COMING_AND_GOING: usize = 10;

const POLL: Duration = Duration::from_millis(2);

/// How long changes took.
#[derive(Debug, Default)]
pub struct Changes {
    /// What the API server took for each endpoint change, followed or not: how busy the machine is.
    pub writes: Vec<Duration>,
    /// An address of a Service.
    pub endpoints: Vec<Duration>,
    /// A certificate.
    pub certificates: Vec<Duration>,
    /// An Ingress more.
    pub created: Vec<Duration>,
    /// An Ingress less.
    pub deleted: Vec<Duration>,
}

impl Changes {
    pub fn add(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.endpoints.extend(other.endpoints);
        self.certificates.extend(other.certificates);
        self.created.extend(other.created);
        self.deleted.extend(other.deleted);
    }
}

/// Which endpoint each Service has, and whose turn is next.
#[derive(Debug)]
pub struct Turns {
    sides: Vec<usize>,
    next: usize,
}

impl Turns {
    /// As the Services were created.
    pub fn new() -> Self {
        Self { sides: vec![0; SERVICES], next: 0 }
    }

    /// A Service, spread over them, and its next side. Each has its turn before any has another.
    fn take(&mut self) -> (usize, usize) {
        let number = self.next * 7 % SERVICES;
        self.next += 1;
        self.sides[number] = 1 - self.sides[number];
        (number, self.sides[number])
    }
}

/// Changes endpoints, Secrets and Ingresses, for as long as this.
pub async fn make(world: &World, turns: &mut Turns, http: SocketAddr, https: SocketAddr, length: Duration) -> Changes {
    let end = Instant::now() + length;
    let (of_endpoints, certificates, (created, deleted)) =
        tokio::join!(swap_endpoints(world, turns, http, end), rotate_secrets(world, https, end), come_and_go(world, http, end));
    let (writes, endpoints) = of_endpoints;
    Changes { writes, endpoints, certificates, created, deleted }
}

async fn swap_endpoints(world: &World, turns: &mut Turns, http: SocketAddr, end: Instant) -> (Vec<Duration>, Vec<Duration>) {
    let slices: Api<EndpointSlice> = Api::namespaced(world.client.clone(), &world.namespace);
    let (mut ticks, mut writes, mut written) = (interval(ENDPOINTS), JoinSet::new(), 0);
    while ticks.tick().await < end {
        let (slices, (number, side)) = (slices.clone(), turns.take());
        let followed = written % FOLLOWED == 0;
        writes.spawn(async move {
            let patch = json!({"endpoints": endpoints(side)});
            let name = format!("s{number}");
            let sent = Instant::now();
            slices.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
            let (change, write) = (Acknowledged::now("endpoints"), sent.elapsed());
            if !followed {
                return (write, None);
            }
            // The first path of an Ingress without TLS leads there.
            let at = number + SERVICES;
            assert!(at < INGRESSES && service(at, 0) == number);
            let (mut probe, expected) = (Probe::connect(http).await, format!("{}{}", answer(number), SIDES[side].0));
            (write, Some(probe.follow(&change, &host(at), |(_, body)| body == expected).await))
        });
        written += 1;
    }
    let (writes, followed): (Vec<_>, Vec<_>) = writes.join_all().await.into_iter().unzip();
    (writes, followed.into_iter().flatten().collect())
}

async fn rotate_secrets(world: &World, https: SocketAddr, end: Instant) -> Vec<Duration> {
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut took = Vec::new();
    for number in (0..SECRETS).cycle() {
        let next = Instant::now() + ROTATION;
        if next > end {
            break;
        }
        let (object, certificate) = secret(number);
        let name = format!("tls-{number}");
        secrets.patch(&name, &PatchParams::default(), &Patch::Merge(object)).await.expect("patched");
        let (change, host) = (Acknowledged::now("a certificate"), host(number * 10));
        took.push(loop {
            let connected = tls::connect(https, &host, &[]).await.expect("a handshake");
            let shown = connected.get_ref().1.peer_certificates().is_some_and(|chain| *chain[0] == *certificate);
            if let Some(took) = change.in_force(shown).await {
                break took;
            }
        });
        sleep_until(next).await;
    }
    took
}

async fn come_and_go(world: &World, http: SocketAddr, end: Instant) -> (Vec<Duration>, Vec<Duration>) {
    let api: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    let (mut created, mut deleted) = (Vec::new(), Vec::new());
    let mut probe = Probe::connect(http).await;
    for number in (0..COMING_AND_GOING).cycle() {
        let next = Instant::now() + CREATION;
        if next > end {
            break;
        }
        let host = format!("guest{number}.churn.example.com");
        let object = serde_json::from_value(ingress(world, INGRESSES + number, &host)).expect("an Ingress");
        api.create(&PostParams::default(), &object).await.expect("created");
        let change = Acknowledged::now("an Ingress");
        created.push(probe.follow(&change, &host, |(status, _)| status == StatusCode::OK).await);
        api.delete(&host, &DeleteParams::default()).await.expect("deleted");
        let change = Acknowledged::now("an Ingress less");
        deleted.push(probe.follow(&change, &host, |(status, _)| status == StatusCode::NOT_FOUND).await);
        sleep_until(next).await;
    }
    (created, deleted)
}

/// A change that the API server has taken.
struct Acknowledged {
    what: &'static str,
    at: Instant,
}

impl Acknowledged {
    fn now(what: &'static str) -> Self {
        Self { what, at: Instant::now() }
    }

    /// How long it took, if it is in force; otherwise waits a little.
    async fn in_force(&self, so: bool) -> Option<Duration> {
        let took = self.at.elapsed();
        if so {
            return Some(took);
        }
        assert!(took < wait::LIMIT, "{}: not in force after {took:?}", self.what);
        sleep(POLL).await;
        None
    }
}

/// One connection, asked again and again.
pub struct Probe {
    connection: SendRequest<Empty<Bytes>>,
    address: SocketAddr,
    server_name: Option<String>,
}

impl Probe {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        Self { connection: Self::over(stream).await, address, server_name: None }
    }

    pub async fn connect_tls(address: SocketAddr, name: &str) -> Self {
        let stream = tls::connect(address, name, &["http/1.1"]).await.expect("a handshake");
        Self { connection: Self::over(stream).await, address, server_name: Some(name.to_owned()) }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> SendRequest<Empty<Bytes>> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        sender
    }

    /// Asks for `/` of a host until the answer shows that the change is in force; how long that took.
    async fn follow(&mut self, change: &Acknowledged, host: &str, so: impl Fn((StatusCode, String)) -> bool) -> Duration {
        loop {
            let answer = self.ask(host, "/").await;
            if let Some(took) = change.in_force(so(answer)).await {
                return took;
            }
        }
    }

    /// Status and body.
    pub async fn ask(&mut self, host: &str, path: &str) -> (StatusCode, String) {
        // After a thousand requests it is closed.
        if self.connection.ready().await.is_err() {
            *self = match self.server_name.clone() {
                Some(name) => Self::connect_tls(self.address, &name).await,
                None => Self::connect(self.address).await,
            };
        }
        let request = Request::get(path).header(HOST, host).body(Empty::new()).expect("a request");
        let answer = self.connection.send_request(request).await.expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).trim().to_owned())
    }
}
