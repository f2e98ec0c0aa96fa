//! Constant load: clients that keep their connection, clients that open one per request, and (where asked for) clients that
//! speak HTTP/2, against a set of addresses.
//!
//! They behave as HTTP clients should: whoever is told `Connection: close` or GOAWAY opens another one. What GOAWAY says was not
//! processed is sent there (RFC 9113, 6.8). Nothing else is tried again: every request that gets no 200 is a failed one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::client::conn::http2;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

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
    /// Of these on connections that had been used before.
    pub reused: u64,
    /// Why requests failed, with the time since the start.
    pub failed: Vec<String>,
    /// Answers by the pod that gave them.
    pub answers: BTreeMap<String, u64>,
}

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// HTTP/1.1, one connection for as long as the server keeps it.
    Kept,
    /// HTTP/1.1, one connection for each request.
    New,
    /// HTTP/2 with prior knowledge, one connection until GOAWAY.
    Http2,
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
        let (stop, start) = (CancellationToken::new(), Instant::now());
        let mut clients = JoinSet::new();
        for (number, sort) in (0..CLIENTS).flat_map(|_| sorts).enumerate() {
            let client = Client { addresses: addresses.to_vec(), next: number, sort: *sort, connection: None };
            clients.spawn(client.run(start, stop.clone()));
        }
        Self { stop, clients }
    }

    /// Ends them and adds up.
    pub async fn stop(self) -> Tally {
        self.stop.cancel();
        let mut total = Tally::default();
        for tally in self.clients.join_all().await {
            total.sent += tally.sent;
            total.reused += tally.reused;
            total.failed.extend(tally.failed);
            for (pod, count) in tally.answers {
                *total.answers.entry(pod).or_default() += count;
            }
        }
        total
    }
}

/// One request on a connection of its own; the name of the pod that answered.
pub async fn ask(address: SocketAddr) -> Result<String, String> {
    Client { addresses: vec![address], next: 0, sort: Sort::New, connection: None }.request().await
}

struct Client {
    addresses: Vec<SocketAddr>,
    next: usize,
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
            tally.reused += u64::from(self.connection.is_some());
            let address = self.connection.as_ref().map_or_else(|| self.address(), |(address, _)| *address);
            let (kind, begun) = (if self.connection.is_some() { "kept" } else { "new" }, start.elapsed().as_secs_f32());
            match timeout(PATIENCE, self.request()).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(pod) => *tally.answers.entry(pod).or_default() += 1,
                Err(problem) => {
                    self.connection = None;
                    let sort = self.sort;
                    tally.failed.push(format!("{begun:.2} s: {sort:?}, {kind} connection to {address}: {problem}"));
                }
            }
            sleep(PAUSE).await;
        }
        tally
    }

    fn address(&self) -> SocketAddr {
        self.addresses[self.next % self.addresses.len()]
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
        let mut request = Request::get(format!("http://{address}/"));
        if self.sort != Sort::Http2 {
            request = Request::get("/").header(HOST, address.to_string());
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
        if self.sort != Sort::New && !closes {
            self.connection = Some((address, connection));
        }
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    }

    async fn connect(&mut self) -> Result<(SocketAddr, Sender), String> {
        let address = self.address();
        self.next += 1;
        let stream = TcpStream::connect(address).await.map_err(|problem| format!("connect: {problem}"))?;
        let stream = TokioIo::new(stream);
        // The end of a connection shows as an error of the request.
        let sender = if self.sort == Sort::Http2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), stream).await.map_err(|problem| format!("{problem:?}"))?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(|problem| format!("{problem:?}"))?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok((address, sender))
    }
}
