//! The fault layer in front of any other endpoint: moto, LocalStack, another emulator.
//!
//! `proxy/upstream.rs` asks the endpoint. Faults and journal are those of the emulator, served below `/_landfall/` as there; everything else
//! goes upstream. Requests are passed on as they are signed, so the endpoint must not mind a `Host` that is not its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::conditions::{Conditions, ConditionsError, check_for_proxy};
use crate::error::ApiError;
use crate::faults::inject::{self, Effect};
use crate::faults::{Asked, Faults, Subject};
use crate::journal::{Entry, Journal, Outcome, is_write};
use crate::query::Form;
use crate::server::aws::{Caller, SERVICES};
use crate::server::protocol::Protocol;
use crate::server::{self, Answer, Closed, Refusal};
use upstream::Upstream;

mod upstream;

/// How a proxy is set up.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Where it is served; port 0: any free one.
    pub listen: SocketAddr,
    /// As [`crate::Options::allowed_hosts`].
    pub allowed_hosts: Vec<String>,
    /// The endpoint behind it, `http://HOST:PORT`.
    pub to: String,
    /// Fault rules to begin with.
    pub conditions: Conditions,
}

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The address is not to be had.
    #[error("cannot listen on {address} for the proxy: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The endpoint cannot be used.
    #[error("--to {url}: {problem}")]
    To {
        /// The endpoint.
        url: String,
        /// What is wrong, and what can be used.
        problem: String,
    },
    /// The rules cannot be used.
    #[error(transparent)]
    Conditions(#[from] ConditionsError),
}

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    parts: Arc<Shared>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    _guard: DropGuard,
}

#[derive(Debug)]
struct Shared {
    journal: Journal,
    faults: Faults,
    upstream: Upstream,
    /// The last answers to reads, oldest first, for stale ones.
    answers: Mutex<VecDeque<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    query: Query,
    answer: Response<Bytes>,
    when: Instant,
}

/// What makes two reads the same: protocol, account, region, service, and all parameters.
type Query = (Protocol, String, String, String, Form);

/// The request id of what the proxy answers itself.
const REQUEST_ID: &str = "landfall-localstack-proxy";

/// Reads whose last answers are kept.
const REMEMBERED: usize = 1000;

impl Proxy {
    /// Starts a proxy on the present tokio runtime; it is serving when this returns.
    ///
    /// # Errors
    /// When the address cannot be bound, or endpoint or rules cannot be used.
    pub async fn start(options: ProxyOptions) -> Result<Self, ProxyError> {
        let refused = |source| ProxyError::Listen { address: options.listen, source };
        let upstream = Upstream::new(&options.to).map_err(|problem| ProxyError::To { url: options.to.clone(), problem })?;
        let faults = Faults::new(1);
        options.conditions.apply_to_proxy(&faults)?;
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let parts = Arc::new(Shared { journal: Journal::new(), faults, upstream, answers: Mutex::default() });
        let shutdown = CancellationToken::new();
        let (tasks, guard) = (TaskTracker::new(), shutdown.clone().drop_guard());
        let answering = Arc::clone(&parts);
        let answer = move |head: Parts, body: Bytes| {
            let parts = Arc::clone(&answering);
            async move { parts.answer(&head, body).await }
        };
        drop(tasks.spawn(server::listen(listener, options.allowed_hosts.into(), answer, shutdown.clone())));
        tasks.close();
        Ok(Self { address, parts, tasks, shutdown, _guard: guard })
    }

    /// The URL of the proxy: the value of `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The record of all calls.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.parts.journal.clone()
    }

    /// The fault rules.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.parts.faults.clone()
    }

    /// Stops it.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.wait().await;
    }
}

impl Shared {
    async fn answer(&self, head: &Parts, body: Bytes) -> Result<Answer, Closed> {
        if head.uri.path().starts_with("/_landfall/") {
            return Ok(self.own(head, &body).await);
        }
        self.call(head, body).await
    }

    /// Journal and faults.
    async fn own(&self, head: &Parts, body: &[u8]) -> Answer {
        let query = server::query(head);
        if let Some(answer) = server::journal::answer(&self.journal, head, &query).await {
            return answer;
        }
        let (path, method) = (head.uri.path(), head.method.as_str());
        let missing: Refusal =
            (404, format!("{method} {path} does not exist on a proxy; there are /_landfall/journal and /_landfall/faults"));
        let result = match (path, method) {
            ("/_landfall/faults", "PUT") => server::read_conditions(body)
                .and_then(|conditions| conditions.apply_to_proxy(&self.faults).map_err(|error| (400, error.to_string())))
                .map(|()| json!({})),
            ("/_landfall/faults", method) => {
                server::faults::answer(&self.faults, method, &query, body, check_for_proxy).unwrap_or(Err(missing))
            }
            _ => Err(missing),
        };
        server::json(result)
    }

    async fn call(&self, head: &Parts, body: Bytes) -> Result<Answer, Closed> {
        let caller = Caller::read(&head.headers);
        let (protocol, mut form, readable) = Protocol::read(head, &body);
        let version = form.get("Version").cloned().unwrap_or_default();
        let by_version = || SERVICES.iter().find(|service| service.version == version).map(|service| service.name.to_owned());
        let service = caller.service.clone().or_else(by_version).unwrap_or_default();
        let action = form.get("Action").cloned().unwrap_or_default();
        let (arrived, time) = (Instant::now(), Timestamp::now());
        let picked = self.faults.pick(&Subject {
            account: &caller.account,
            region: &caller.region,
            user_agent: &caller.user_agent,
            service: &service,
            action: &action,
            form: &form,
            now: time,
        });
        let query: Query = (protocol, caller.account.clone(), caller.region.clone(), service.clone(), form.clone());
        let asked = Asked { account: &caller.account, service: &service, action: &action };
        let known = SERVICES.iter().copied().find(|known| known.name == service);
        let refuse = |error: &ApiError| protocol.refuse(known, error, REQUEST_ID);
        // What cannot be told from another read is not one of those that are remembered.
        let read = !is_write(&action) && readable.is_ok();
        let (outcome, reply) = match inject::before(&picked, asked, refuse).await {
            Some(spoilt) => spoilt,
            None => inject::after(&picked, self.effect(head, body, query, read, picked.stale()).await, refuse),
        };
        form.retain(|key, _| key != "Action" && key != "Version");
        self.journal.record(Entry {
            sequence: 0,
            time,
            account: caller.account,
            region: caller.region,
            user_agent: caller.user_agent,
            service: service.clone(),
            write: is_write(&action),
            action: action.clone(),
            parameters: form,
            result: outcome,
            fault: inject::describe(&picked),
            duration: arrived.elapsed(),
            request_id: reply.as_ref().map(request_id).unwrap_or_default(),
        });
        reply
    }

    /// Asks the endpoint; a stale read gets the last answer to the same query, if there is one that is not too old.
    async fn effect(&self, head: &Parts, body: Bytes, query: Query, read: bool, stale: Option<Duration>) -> Effect {
        if let Some(answer) = stale.and_then(|lag| self.remembered(&query, lag)) {
            return (Outcome::Ok, answer);
        }
        let answer = match self.upstream.ask(head, body).await {
            Ok(answer) => answer,
            Err(problem) => return (Outcome::Error { code: String::new(), status: 502 }, unreachable(&problem)),
        };
        let outcome = upstream::outcome(&answer);
        if read && outcome == Outcome::Ok && !self.faults.longest_lag().is_zero() {
            self.remember(query, answer.clone());
        }
        (outcome, answer)
    }

    fn remember(&self, query: Query, answer: Response<Bytes>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|known| known.query != query);
        if answers.len() == REMEMBERED {
            answers.pop_front();
        }
        answers.push_back(Remembered { query, answer, when: Instant::now() });
    }

    fn remembered(&self, query: &Query, lag: Duration) -> Option<Response<Bytes>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().find(|known| known.query == *query && known.when.elapsed() <= lag).map(|known| known.answer.clone())
    }
}

fn unreachable(problem: &str) -> Response<Bytes> {
    server::written(502, "text/plain; charset=utf-8", format!("the endpoint behind the proxy: {problem}\n"))
}

fn request_id(answer: &Answer) -> String {
    let headers = ["x-amzn-requestid", "x-amz-request-id"].map(|name| answer.headers().get(name));
    headers.into_iter().flatten().find_map(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
