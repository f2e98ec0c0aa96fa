//! Constant load: clients that keep their connection, clients that open one per request, and (where asked for) clients that
//! speak HTTP/2, against a set of addresses; with one request or many, in the clear or by TLS.
//!
//! They behave as HTTP clients should: whoever is told `Connection: close` or GOAWAY opens another one. What GOAWAY says was not
//! processed is sent there (RFC 9113, 6.8). Nothing else is tried again: every request that gets no 200 is a failed one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::client::conn::http2;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::tls;

/// Clients of each sort.
const CLIENTS: usize = 6;

/// Between a client's answer and its next request.
const PAUSE: Duration = Duration::from_millis(20);

/// What a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How hyper tells of a stream that the server's graceful GOAWAY left out: it was not looked at, or not even sent.
const NOT_PROCESSED: [&str; 2] = ["GoAway(b\"\", NO_ERROR, Remote)", "hyper::Error(Canceled"];

/// What came of the requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests sent, failed ones included.
    pub sent: u64,
    /// Of these by the sort of client.
    pub by_sort: BTreeMap<Sort, u64>,
    /// Of these on connections that had been used before.
    pub reused: u64,
    /// Why requests failed, with the time since the start.
    pub failed: Vec<String>,
    /// Answers by the pod that gave them.
    pub answers: BTreeMap<String, u64>,
}

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Sort {
    /// HTTP/1.1, one connection for as long as the server keeps it.
    Kept,
    /// HTTP/1.1, one connection for each request.
    New,
    /// HTTP/2 with prior knowledge, one connection until GOAWAY.
    Http2,
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "HTTP/1.1 kept",
            Self::New => "new connections",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// A request of the load.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Host, and with TLS the server name of connections that are opened for it.
    pub host: String,
    /// Path.
    pub path: String,
    /// What the answer begins with; anything else is a failure.
    pub answer: String,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where they connect to, each time to the next.
    pub addresses: Vec<SocketAddr>,
    /// What they ask for in turn; nothing: `/` of the address.
    pub requests: Arc<[Asked]>,
    /// Whether they speak TLS.
    pub tls: bool,
    /// How many there are of each sort.
    pub clients: usize,
}

/// Clients at work.
pub struct Load {
    stop: CancellationToken,
    clients: JoinSet<Tally>,
}

impl Load {
    /// Starts clients of HTTP/1.1 that use all `addresses` in turn.
    pub fn start(addresses: &[SocketAddr]) -> Self {
        Self::of(addresses, &[Sort::Kept, Sort::New])
    }

    /// Starts clients of each of these sorts.
    pub fn of(addresses: &[SocketAddr], sorts: &[Sort]) -> Self {
        let plan = Plan { addresses: addresses.to_vec(), requests: Arc::default(), tls: false, clients: CLIENTS };
        Self::begin(&plan, sorts)
    }

    /// Starts clients of each of these sorts that do this.
    pub fn begin(plan: &Plan, sorts: &[Sort]) -> Self {
        let (stop, start) = (CancellationToken::new(), Instant::now());
        let mut clients = JoinSet::new();
        for (number, sort) in (0..plan.clients).flat_map(|_| sorts).enumerate() {
            // Each begins elsewhere among the requests, and goes on by one.
            let asked = number * plan.requests.len() / (plan.clients * sorts.len());
            let client = Client { plan: plan.clone(), next: number, asked, sort: *sort, connection: None };
            clients.spawn(client.run(start, stop.clone()));
        }
        Self { stop, clients }
    }

    /// Ends them and adds up.
    pub async fn stop(self) -> Tally {
        self.stop.cancel();
        let mut total = Tally::default();
        for tally in self.clients.join_all().await {
            total.add(tally);
        }
        total
    }
}

impl Tally {
    /// Takes another one's numbers.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.reused += other.reused;
        self.failed.extend(other.failed);
        for (sort, count) in other.by_sort {
            *self.by_sort.entry(sort).or_default() += count;
        }
        for (pod, count) in other.answers {
            *self.answers.entry(pod).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorts: Vec<String> = self.by_sort.iter().map(|(sort, count)| format!("{sort}: {count}")).collect();
        write!(f, "{} requests sent ({}), {} failed", self.sent, sorts.join(", "), self.failed.len())
    }
}

/// One request on a connection of its own; the name of the pod that answered.
pub async fn ask(address: SocketAddr) -> Result<String, String> {
    let plan = Plan { addresses: vec![address], requests: Arc::default(), tls: false, clients: 1 };
    Client { plan, next: 0, asked: 0, sort: Sort::New, connection: None }.request().await
}

struct Client {
    plan: Plan,
    /// Counts connections.
    next: usize,
    /// Counts requests.
    asked: usize,
    sort: Sort,
    connection: Option<(SocketAddr, Sender)>,
}

enum Sender {
    Http1(SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Whether another request may follow.
    async fn is_open(&mut self) -> bool {
        match self {
            // Told by the answer's head.
            Self::Http1(_) => true,
            Self::Http2(sender) => sender.ready().await.is_ok() && !sender.is_closed(),
        }
    }
}

impl Client {
    async fn run(mut self, start: Instant, stop: CancellationToken) -> Tally {
        let mut tally = Tally::default();
        while !stop.is_cancelled() {
            tally.sent += 1;
            *tally.by_sort.entry(self.sort).or_default() += 1;
            tally.reused += u64::from(self.connection.is_some());
            let address = self.connection.as_ref().map_or_else(|| self.address(), |(address, _)| Ok(*address));
            let address = address.map_or_else(|problem| problem, |address| address.to_string());
            let (kind, begun) = (if self.connection.is_some() { "kept" } else { "new" }, start.elapsed().as_secs_f32());
            match timeout(PATIENCE, self.request()).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(pod) => *tally.answers.entry(pod).or_default() += 1,
                Err(problem) => {
                    self.connection = None;
                    let sort = self.sort;
                    let asked = self.asked().map(|asked| format!("{}{}", asked.host, asked.path)).unwrap_or_default();
                    tally.failed.push(format!("{begun:.2} s: {sort:?}, {kind} connection to {address} {asked}: {problem}"));
                }
            }
            self.asked += 1;
            sleep(PAUSE).await;
        }
        tally
    }

    fn address(&self) -> Result<SocketAddr, String> {
        let addresses = &self.plan.addresses;
        addresses.get(self.next % addresses.len().max(1)).copied().ok_or_else(|| "there is no address to ask".to_owned())
    }

    fn asked(&self) -> Option<&Asked> {
        self.plan.requests.get(self.asked % self.plan.requests.len().max(1))
    }

    async fn request(&mut self) -> Result<String, String> {
        match self.exchange().await {
            Err(problem) if self.sort == Sort::Http2 && NOT_PROCESSED.iter().any(|told| problem.contains(told)) => {
                self.exchange().await
            }
            done => done,
        }
    }

    async fn exchange(&mut self) -> Result<String, String> {
        let mut kept = self.connection.take();
        if let Some((_, connection)) = &mut kept
            && !connection.is_open().await
        {
            kept = None;
        }
        let (address, mut connection) = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let (host, path) =
            self.asked().map_or_else(|| (address.to_string(), "/"), |asked| (asked.host.clone(), asked.path.as_str()));
        let scheme = if self.plan.tls { "https" } else { "http" };
        let mut request = Request::get(format!("{scheme}://{host}{path}"));
        if self.sort != Sort::Http2 {
            request = Request::get(path).header(HOST, host);
        }
        if self.sort == Sort::New {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(Empty::new()).map_err(|problem| problem.to_string())?;
        let answer = connection.send(request).await.map_err(|problem| format!("{problem:?}"))?;
        let (status, closes) = (answer.status(), answer.headers().get(CONNECTION).is_some_and(|value| value == "close"));
        let body = answer.into_body().collect().await.map_err(|problem| format!("{problem:?}"))?.to_bytes();
        if status != StatusCode::OK {
            return Err(status.to_string());
        }
        let body = String::from_utf8_lossy(&body).trim().to_owned();
        if let Some(asked) = self.asked().filter(|asked| !body.starts_with(&asked.answer)) {
            return Err(format!("expected an answer of {}, not of {body}", asked.answer));
        }
        if self.sort != Sort::New && !closes {
            self.connection = Some((address, connection));
        }
        Ok(body)
    }

    async fn connect(&mut self) -> Result<(SocketAddr, Sender), String> {
        let address = self.address()?;
        self.next += 1;
        let failed = |problem: std::io::Error| format!("connect: {problem}");
        let sender = if self.plan.tls {
            let protocol = if self.sort == Sort::Http2 { "h2" } else { "http/1.1" };
            let name = self.asked().map(|asked| asked.host.clone()).unwrap_or_default();
            let stream = tls::connect(address, &name, &[protocol]).await.map_err(failed)?;
            shake_hands(self.sort, stream).await
        } else {
            shake_hands(self.sort, TcpStream::connect(address).await.map_err(failed)?).await
        };
        Ok((address, sender.map_err(|problem| format!("{problem:?}"))?))
    }
}

async fn shake_hands(sort: Sort, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> hyper::Result<Sender> {
    let stream = TokioIo::new(stream);
    // The end of a connection shows as an error of the request.
    if sort == Sort::Http2 {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Sender::Http1(sender))
    }
}
