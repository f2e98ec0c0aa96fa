//! Constant load: clients that keep their connection and clients that open one per request, against a set of addresses.
//!
//! They behave as HTTP clients should: whoever is told `Connection: close` opens another one. Nothing is tried again: every
//! request that gets no 200 is a failed one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
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

/// Clients at work.
pub struct Load {
    stop: CancellationToken,
    clients: JoinSet<Tally>,
}

impl Load {
    /// Starts clients that use all `addresses` in turn.
    pub fn start(addresses: &[SocketAddr]) -> Self {
        let (stop, start) = (CancellationToken::new(), Instant::now());
        let mut clients = JoinSet::new();
        for number in 0..2 * CLIENTS {
            let client = Client { addresses: addresses.to_vec(), next: number, keep: number % 2 == 0, connection: None };
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
    Client { addresses: vec![address], next: 0, keep: false, connection: None }.request().await
}

struct Client {
    addresses: Vec<SocketAddr>,
    next: usize,
    /// Whether it keeps its connection.
    keep: bool,
    connection: Option<(SocketAddr, SendRequest<Empty<Bytes>>)>,
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
                    tally.failed.push(format!("{begun:.2} s: {kind} connection to {address}: {problem}"));
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
        let (address, mut connection) = match self.connection.take() {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let mut request = Request::get("/").header(HOST, address.to_string());
        if !self.keep {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(Empty::new()).map_err(|problem| problem.to_string())?;
        let answer = connection.send_request(request).await.map_err(|problem| format!("{problem:?}"))?;
        let (status, closes) = (answer.status(), answer.headers().get(CONNECTION).is_some_and(|value| value == "close"));
        let body = answer.into_body().collect().await.map_err(|problem| format!("{problem:?}"))?.to_bytes();
        if status != StatusCode::OK {
            return Err(status.to_string());
        }
        if self.keep && !closes {
            self.connection = Some((address, connection));
        }
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    }

    async fn connect(&mut self) -> Result<(SocketAddr, SendRequest<Empty<Bytes>>), String> {
        let address = self.address();
        self.next += 1;
        let stream = TcpStream::connect(address).await.map_err(|problem| format!("connect: {problem}"))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|problem| format!("{problem:?}"))?;
        // Its end shows as an error of the request.
        tokio::spawn(connection);
        Ok((address, sender))
    }
}
