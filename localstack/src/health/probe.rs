//! One health check against one target, over a real socket: the outcome is what the target did, never a guess.
//!
//! Imports the network, `tls`, `proxy_protocol`; knows neither target groups nor thresholds. When to probe and what an outcome changes is
//! decided one level up, in `health.rs`.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::{proxy_protocol, tls};

/// One check of one target by one node of its load balancer.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// The node's address on this machine. When this process cannot have it (no data plane), the system chooses another.
    pub(crate) from: IpAddr,
    /// The target's address and port on this machine.
    pub(crate) target: SocketAddr,
    /// The same as AWS has it: the name that HTTP requests are for.
    pub(crate) named: SocketAddr,
    pub(crate) kind: ProbeKind,
    /// Whether a PROXY protocol header comes first, one that is about no client.
    pub(crate) proxy_protocol: bool,
    /// Whether no security-group rule lets the probe through.
    pub(crate) dropped: bool,
    /// For everything together, connecting included.
    pub(crate) timeout: Duration,
}

/// How a target is asked, as `HealthCheckProtocol` of a target group says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    /// Healthy when the target accepts a connection.
    Tcp,
    /// Healthy when a `GET` of `path` (begins with `/`, may hold a query) is answered with one of `codes`.
    Http {
        /// `HealthCheckPath`.
        path: String,
        /// `Matcher.HttpCode`.
        codes: Matcher,
    },
    /// The same over TLS; any certificate will do.
    Https {
        /// `HealthCheckPath`.
        path: String,
        /// `Matcher.HttpCode`.
        codes: Matcher,
    },
}

/// What a probe found. Reasons and descriptions are those of `TargetHealth` in the ELBv2 API reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeOutcome {
    /// The target answered as it should.
    Healthy,
    /// It did not.
    Unhealthy {
        /// `Target.Timeout`, `Target.FailedHealthChecks` or `Target.ResponseCodeMismatch`.
        reason: &'static str,
        /// For people.
        description: String,
    },
}

impl ProbeOutcome {
    fn timed_out() -> Self {
        Self::Unhealthy { reason: "Target.Timeout", description: "Request timed out".to_owned() }
    }

    fn failed() -> Self {
        Self::Unhealthy { reason: "Target.FailedHealthChecks", description: "Health checks failed".to_owned() }
    }

    fn wrong_code(code: StatusCode) -> Self {
        let description = format!("Health checks failed with these codes: [{}]", code.as_u16());
        Self::Unhealthy { reason: "Target.ResponseCodeMismatch", description }
    }
}

/// The HTTP status codes that count as success: `200`, `200-399` or `200,202,300-310`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matcher(Vec<RangeInclusive<u16>>);

/// Why a text is not a [`Matcher`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MatcherError {
    /// A part is neither a number nor two numbers joined by a hyphen.
    #[error("'{0}' is not an HTTP code or a range of codes; write for example 200, 200-399 or 200,202")]
    NotACode(String),
    /// A code that a health check cannot get (AWS: 200 to 599 for network load balancers).
    #[error("HTTP code {0} is outside 200-599")]
    OutOfRange(u16),
    /// A range that ends before it begins.
    #[error("the range {0}-{1} is empty; write the smaller code first")]
    EmptyRange(u16, u16),
}

impl Matcher {
    /// Reads `Matcher.HttpCode`.
    ///
    /// # Errors
    /// Names the part that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, MatcherError> {
        text.split(',').map(str::trim).map(Self::range).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a status code counts as success.
    #[must_use]
    pub(crate) fn matches(&self, code: u16) -> bool {
        self.0.iter().any(|range| range.contains(&code))
    }

    fn range(part: &str) -> Result<RangeInclusive<u16>, MatcherError> {
        // Digits only: `u16::from_str` would let a leading plus sign through.
        let code = |text: &str| match text.parse::<u16>() {
            Ok(code) if !text.starts_with('+') => Ok(code),
            _ => Err(MatcherError::NotACode(part.to_owned())),
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (code(first)?, code(last)?),
            None => (code(part)?, code(part)?),
        };
        if let Some(outside) = [first, last].into_iter().find(|code| !(200..=599).contains(code)) {
            return Err(MatcherError::OutOfRange(outside));
        }
        if first > last {
            return Err(MatcherError::EmptyRange(first, last));
        }
        Ok(first..=last)
    }
}

impl Probe {
    /// Probes the target once.
    pub(crate) async fn run(self) -> ProbeOutcome {
        let attempt = async {
            if self.dropped {
                return std::future::pending().await;
            }
            match self.attempt().await {
                Ok(outcome) => outcome,
                Err(NoAnswer) => ProbeOutcome::failed(),
            }
        };
        tokio::time::timeout(self.timeout, attempt).await.unwrap_or_else(|_| ProbeOutcome::timed_out())
    }

    async fn attempt(&self) -> Result<ProbeOutcome, NoAnswer> {
        let mut stream = self.connect().await?;
        if self.proxy_protocol {
            stream.write_all(&proxy_protocol::health_check()).await?;
        }
        let (code, codes) = match &self.kind {
            ProbeKind::Tcp => return Ok(ProbeOutcome::Healthy),
            ProbeKind::Http { path, codes } => (self.get(stream, path).await?, codes),
            ProbeKind::Https { path, codes } => {
                let stream = tls::to_target(self.named.ip(), None, stream).await?;
                (self.get(stream, path).await?, codes)
            }
        };
        Ok(if codes.matches(code.as_u16()) { ProbeOutcome::Healthy } else { ProbeOutcome::wrong_code(code) })
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = if self.target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if self.from.is_ipv4() == self.target.is_ipv4() {
            let _ = socket.bind(SocketAddr::new(self.from, 0));
        }
        socket.connect(self.target).await
    }

    /// The status code of `GET path`; the body is not waited for.
    async fn get(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        path: &str,
    ) -> Result<StatusCode, NoAnswer> {
        let request = Request::get(path)
            .header(HOST, self.named.to_string())
            .header(USER_AGENT, "ELB-HealthChecker/2.0")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = async {
            let _ = connection.await;
            std::future::pending::<Infallible>().await
        };
        // The connection only makes progress while it is polled. When it ends, the sender has its answer or its error.
        tokio::select! {
            response = sender.send_request(request) => Ok(response?.status()),
            never = connection => match never {},
        }
    }
}

/// Any way in which a request can fail before there is a status code; nobody tells them apart.
struct NoAnswer;

impl From<std::io::Error> for NoAnswer {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl From<hyper::Error> for NoAnswer {
    fn from(_: hyper::Error) -> Self {
        Self
    }
}

impl From<hyper::http::Error> for NoAnswer {
    fn from(_: hyper::http::Error) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(10);

    async fn probe(target: SocketAddr, kind: &ProbeKind, timeout: Duration) -> ProbeOutcome {
        let from = "127.8.0.1".parse().unwrap();
        let (kind, proxy_protocol, dropped) = (kind.clone(), false, false);
        Probe { from, target, named: target, kind, proxy_protocol, dropped, timeout }.run().await
    }

    fn http(codes: &str) -> ProbeKind {
        ProbeKind::Http { path: "/healthz?full=1".to_owned(), codes: Matcher::parse(codes).unwrap() }
    }

    /// A server that answers each connection with `answer` and hands out what it was sent.
    async fn server(answer: &'static [u8]) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {}
                let _ = seen.send(String::from_utf8(request).unwrap());
                stream.write_all(answer).await.unwrap();
            }
        });
        (address, requests)
    }

    fn reason(outcome: ProbeOutcome) -> (&'static str, String) {
        match outcome {
            ProbeOutcome::Healthy => panic!("healthy"),
            ProbeOutcome::Unhealthy { reason, description } => (reason, description),
        }
    }

    #[test]
    fn matchers_are_codes_and_ranges() {
        let codes = Matcher::parse("200, 202,300-310").unwrap();
        let matching: Vec<u16> = (0..=700).filter(|code| codes.matches(*code)).collect();
        assert_eq!(matching, [vec![200, 202], (300..=310).collect()].concat());
        assert!(Matcher::parse("200-399").unwrap().matches(399));
        assert!(!Matcher::parse("200-399").unwrap().matches(400));
    }

    #[test]
    fn what_is_no_matcher_is_refused_and_named() {
        for bad in ["", "abc", "200,", "200-", "-200", "200-300-400", "+200", "99999", "200;201"] {
            assert!(matches!(Matcher::parse(bad), Err(MatcherError::NotACode(_))), "{bad}");
        }
        assert_eq!(Matcher::parse("199"), Err(MatcherError::OutOfRange(199)));
        assert_eq!(Matcher::parse("200,500-600"), Err(MatcherError::OutOfRange(600)));
        assert_eq!(Matcher::parse("399-200"), Err(MatcherError::EmptyRange(399, 200)));
        assert!(Matcher::parse("200,x1").unwrap_err().to_string().contains("'x1'"));
    }

    #[tokio::test]
    async fn tcp_asks_for_a_connection_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        assert_eq!(probe(target, &ProbeKind::Tcp, PATIENT).await, ProbeOutcome::Healthy);
        drop(listener);
        assert_eq!(reason(probe(target, &ProbeKind::Tcp, PATIENT).await).0, "Target.FailedHealthChecks");
    }

    #[tokio::test]
    async fn http_request_is_the_health_checkers() {
        let (target, mut requests) = server(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(probe(target, &http("200-399"), PATIENT).await, ProbeOutcome::Healthy);
        let request = requests.recv().await.unwrap().to_ascii_lowercase();
        assert!(request.starts_with("get /healthz?full=1 http/1.1\r\n"), "{request}");
        for header in [format!("host: {target}"), "user-agent: elb-healthchecker/2.0".to_owned(), "connection: close".to_owned()]
        {
            assert!(request.contains(&format!("{header}\r\n")), "{header} is not in {request}");
        }
    }

    #[tokio::test]
    async fn another_code_is_a_mismatch() {
        let (target, _requests) = server(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(
            reason(probe(target, &http("200-399"), PATIENT).await),
            ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]".to_owned())
        );
        assert_eq!(probe(target, &http("200,503"), PATIENT).await, ProbeOutcome::Healthy);
    }

    #[tokio::test]
    async fn no_http_is_a_failure() {
        for answer in [&b""[..], b"220 mail.example.com ESMTP\r\n"] {
            let (target, _requests) = server(answer).await;
            assert_eq!(reason(probe(target, &http("200"), PATIENT).await).0, "Target.FailedHealthChecks");
        }
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        // A listener that never accepts: the kernel completes the handshake, nobody answers the request.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let outcome = probe(target, &http("200"), Duration::from_millis(50)).await;
        assert_eq!(reason(outcome), ("Target.Timeout", "Request timed out".to_owned()));
    }

    #[tokio::test]
    async fn the_body_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let stalled = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
            // Holds the connection open until the prober goes away.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        assert_eq!(probe(target, &http("200"), PATIENT).await, ProbeOutcome::Healthy);
        stalled.await.unwrap();
    }
}
