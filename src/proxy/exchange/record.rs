//! What is remembered of a request until it is over: for the access log and the metrics.
//!
//! Dropping a [`Record`] ends the exchange, whichever way that comes about.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue, REFERER, USER_AGENT};
use http::{Request, StatusCode, Version};

use super::super::access_log::line::{Attempt, Line, UpstreamName, escape};
use super::super::client::Client;
use super::super::metrics::{Measured, Series};
use super::super::worker::Snapshot;
use super::Arrival;
use super::body::Progress;
use crate::clock::{self, Instant};
use crate::routes::table::BackendIndex;

/// nginx's word for a client that did not wait for the answer.
const CLIENT_CLOSED: u16 = 499;

/// `$req_id`.
#[derive(Debug)]
pub(super) enum RequestId {
    None,
    /// By the client, or by a proxy before us.
    Given(HeaderValue),
    /// 32 hexadecimal digits.
    Made([u8; 32]),
}

impl RequestId {
    /// A random one.
    pub(super) fn made() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| DIGITS.get(usize::from(value & 0xf)).copied().unwrap_or(b'0');
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(fastrand::u128(..).to_le_bytes()) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte)]);
        }
        Self::Made(text)
    }

    /// Empty for none.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => b"",
            Self::Given(id) => id.as_bytes(),
            Self::Made(id) => id,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Record {
    client: Rc<Client>,
    started: Instant,
    address: IpAddr,
    /// The request line, user, referer and user agent, escaped; where each ends.
    text: Vec<u8>,
    ends: [usize; 4],
    request_id: RequestId,
    /// Bytes of the head.
    length: u64,
    body: Option<Rc<Progress>>,
    upstream: Option<(Rc<Snapshot>, BackendIndex)>,
    /// No rule matched, and there is nobody for that.
    unmatched: bool,
    attempts: Vec<Attempt>,
    attempt_started: Instant,
    times: Measured,
    status: Option<StatusCode>,
    sent: u64,
    series: Option<Arc<Series>>,
}

impl Record {
    /// A request was read.
    pub(super) fn new<B>(client: &Rc<Client>, arrival: Option<&Arrival>, request: &Request<B>) -> Box<Self> {
        let started = arrival.map_or_else(clock::now, |arrival| arrival.started);
        let mut record = Self {
            client: Rc::clone(client),
            started,
            address: client.address,
            text: Vec::new(),
            ends: [0; 4],
            request_id: RequestId::None,
            length: arrival.map_or_else(|| head_length(request), |arrival| arrival.length as u64),
            body: None,
            upstream: None,
            unmatched: false,
            attempts: Vec::new(),
            attempt_started: started,
            times: Measured::default(),
            status: None,
            sent: 0,
            series: None,
        };
        if client.worker.log.is_on() {
            match arrival.and_then(|arrival| arrival.refused.as_ref()) {
                Some((_, line)) => record.write(&[line], [&[]; 3]),
                None => record.describe(request),
            }
        }
        Box::new(record)
    }

    fn describe<B>(&mut self, request: &Request<B>) {
        let (mut authorization, mut referer, mut agent) = (None, None, None);
        for (name, value) in request.headers() {
            match *name {
                AUTHORIZATION => _ = authorization.get_or_insert(value),
                REFERER => _ = referer.get_or_insert(value),
                USER_AGENT => _ = agent.get_or_insert(value),
                _ => {}
            }
        }
        let user = authorization.and_then(basic_user).unwrap_or_default();
        let [referer, agent] = [referer, agent].map(|value| value.map_or(&b""[..], HeaderValue::as_bytes));
        let uri = request.uri();
        let (scheme, authority) = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) if request.version() < Version::HTTP_2 => (scheme, authority.as_str()),
            _ => ("", ""),
        };
        let line = [
            request.method().as_str(),
            " ",
            scheme,
            if scheme.is_empty() { "" } else { "://" },
            authority,
            uri.path_and_query().map_or("/", |it| it.as_str()),
            match request.version() {
                Version::HTTP_10 => " HTTP/1.0",
                Version::HTTP_11 => " HTTP/1.1",
                _ => " HTTP/2.0",
            },
        ];
        self.write(&line.map(str::as_bytes), [&user, referer, agent]);
    }

    /// The request line (in pieces), and the other texts.
    fn write(&mut self, line: &[&[u8]], others: [&[u8]; 3]) {
        let texts = [line, &[others[0]], &[others[1]], &[others[2]]];
        self.text.reserve(texts.iter().flat_map(|pieces| pieces.iter()).map(|piece| piece.len()).sum());
        for (end, pieces) in self.ends.iter_mut().zip(texts) {
            pieces.iter().for_each(|piece| escape(piece, &mut self.text));
            *end = self.text.len();
        }
    }

    pub(super) fn client(&self) -> &Rc<Client> {
        &self.client
    }

    /// Who asks.
    pub(super) fn asked_by(&mut self, address: IpAddr) {
        self.address = address;
    }

    /// By which name it can be found again.
    pub(super) fn identified_by(&mut self, id: RequestId) {
        self.request_id = id;
    }

    pub(super) fn request_id(&self) -> &[u8] {
        self.request_id.as_bytes()
    }

    /// Who is to answer.
    pub(super) fn goes_to(&mut self, snapshot: &Rc<Snapshot>, backend: BackendIndex) {
        self.upstream = Some((Rc::clone(snapshot), backend));
    }

    /// Nobody is to answer.
    pub(super) fn goes_nowhere(&mut self) {
        self.unmatched = true;
    }

    pub(super) fn carries(&mut self, body: &Rc<Progress>) {
        self.body = Some(Rc::clone(body));
    }

    /// An endpoint is tried.
    pub(super) fn attempt(&mut self, address: SocketAddr) {
        self.attempt_started = clock::now();
        self.times = Measured::default();
        self.attempts.push(Attempt { address, length: 0, took: Duration::ZERO, status: None });
    }

    /// It is connected to, anew.
    pub(super) fn connected(&mut self) {
        self.times.connect_time = Some(self.since_attempt());
    }

    /// The attempt has led to nothing but this status.
    pub(super) fn failed(&mut self, status: StatusCode) {
        let took = self.since_attempt();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.took = took;
            attempt.status = Some(status.as_u16());
        }
    }

    /// The endpoint's head has come.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.times.header_time = Some(self.since_attempt());
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = Some(status.as_u16());
        }
    }

    /// This goes to the client, and is counted under these numbers.
    pub(super) fn respond(&mut self, status: StatusCode, series: Option<Arc<Series>>) {
        self.status = Some(status);
        self.series = series;
    }

    /// Bytes of the endpoint's body came, and go to the client.
    pub(crate) fn received(&mut self, bytes: u64) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.length += bytes;
        }
        self.sent += bytes;
    }

    /// Bytes of a body go to the client.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    fn since_attempt(&self) -> Duration {
        clock::now().saturating_duration_since(self.attempt_started)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = clock::now();
        let worker = &self.client.worker;
        let request_time = now.saturating_duration_since(self.started);
        let took = now.saturating_duration_since(self.attempt_started);
        let request_size = self.length + self.body.as_ref().map_or(0, |body| body.bytes());
        if self.times.header_time.is_some()
            && let Some(attempt) = self.attempts.last_mut()
        {
            attempt.took = took;
            self.times.response_time = Some(took);
        }
        if let Some(series) = &self.series {
            series.observe(&Measured { request_time, request_size, response_size: self.sent, ..self.times });
        }
        if worker.log.is_on() {
            let [line, user, referer, agent] = self.ends;
            let text = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
            let name = match &self.upstream {
                Some((snapshot, backend)) => snapshot.backend(*backend).map_or(UpstreamName::None, UpstreamName::Backend),
                None if self.unmatched => UpstreamName::Default,
                None => UpstreamName::None,
            };
            worker.log.add(now, |out, time_local| {
                Line {
                    remote_addr: self.address,
                    remote_user: text(line, user),
                    time_local,
                    request: text(0, line),
                    status: self.status.map_or(CLIENT_CLOSED, |status| status.as_u16()),
                    body_bytes_sent: self.sent,
                    referer: text(user, referer),
                    user_agent: text(referer, agent),
                    request_length: request_size,
                    request_time,
                    upstream_name: name,
                    attempts: &self.attempts,
                    request_id: self.request_id.as_bytes(),
                }
                .write(out);
            });
        }
        self.client.end();
    }
}

/// Bytes of a head that came by HTTP/2, as HTTP/1 would have written it.
fn head_length<B>(request: &Request<B>) -> u64 {
    let fields: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let path = request.uri().path_and_query().map_or(0, |it| it.as_str().len());
    (request.method().as_str().len() + path + fields + 14) as u64
}

/// The user of `Authorization: Basic …`.
fn basic_user(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64(encoded.trim_ascii())?;
    decoded.split(|byte| *byte == b':').next().map(<[u8]>::to_vec)
}

/// Decodes as much as is well-formed.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.iter().take_while(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_basic_authentication_is_read() {
        for (value, expected) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("basic YTo=", Some("a")),
            ("Bearer QWxhZGRpbg==", None),
            ("Basic ?", None),
            ("Basic", None),
        ] {
            let user = basic_user(&HeaderValue::from_static(value));
            assert_eq!(user.map(|user| String::from_utf8(user).unwrap()).as_deref(), expected, "{value}");
        }
    }
}
