//! HTTP/1 requests: what the guard lets pass means the same to hyper.
//!
//! The bytes go through the scanner, whole and in pieces, and through the guard into hyper, as they do in the data plane. hyper
//! has to read the requests that the scanner saw: as many, each with the same line, fields and body; and nothing that it would
//! answer by itself. Heads and bodies are taken apart here once more, by hand and without care: they have passed.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::guard::head::{Framing, Limits};
use super::super::guard::scanner::{Piece, Place, Scanner};
use super::super::guard::tests::{CHUNKS, SMUGGLING};
use super::super::guard::{Guard, Inlet, Patience, Surroundings};
use super::super::refusal::Refusal;
use super::super::timers::Timers;
use super::super::worker::Phase;
use super::{Target, Verdict, fuzz, pieces};
use crate::clock::Instant;
use crate::routes::options::GlobalOptions;

#[test]
fn fuzz_http1() {
    let good = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET /a/b?c=d HTTP/1.1\r\nhost: a.example:80\r\nX-Empty:\r\nX-Tab: \ta\tb \t\r\nX: 1\r\nx: 2\r\n\r\n",
        "HEAD http://a/ HTTP/1.1\r\nHost: A\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;x\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;\r\n!\r\n000\r\n\r\n",
        "PUT /\u{e4} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na;x=\"y\"\r\n0123456789\r\n00\r\nX: y\r\nZ:\r\n\r\n",
    ];
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Most changes break a request: what passes is where to begin.
    let seeds = good.iter().cycle().take(100).chain(&SMUGGLING).map(|seed| seed.as_bytes().to_vec());
    let bodies = CHUNKS.iter().map(|body| format!("{chunked}{body}GET /next HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes());
    fuzz(Target {
        name: "http1",
        verdicts: &["requests", "refused head", "refused body", "incomplete"],
        seeds: seeds.chain(bodies).collect(),
        words: &[
            b"GET / HTTP/1.1\r\n",
            b"HTTP/1.0",
            b"HTTP/1.1",
            b"Host: a\r\n",
            b"Content-Length: 3\r\n",
            b"content-length:0\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding",
            b"chunked",
            b"Connection: close\r\n",
            b"Connection: upgrade\r\n",
            b"Upgrade: h2c\r\n",
            b"Expect: 100-continue\r\n",
            b"0\r\n\r\n",
            b"3\r\nabc\r\n",
            b";x=y",
            b"\r\n ",
            b"HEAD ",
            b"POST ",
            b"http://a",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"ffffffffffffffff",
            b"\x0b",
            b"\xc3\xa4",
            b"*",
            b"#",
            b"\"",
        ],
        run,
    });
}

fn limits() -> Limits {
    let global = GlobalOptions::default();
    Limits { line: global.header_line_limit, head: global.header_limit, count: global.header_count_limit }
}

/// A request, in words that can be compared: line and fields sorted, and the body; none if it did not come to its end.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

/// What the scanner says of a stream.
#[derive(Debug, Default, PartialEq)]
struct Scanned {
    requests: Vec<Seen>,
    /// Bytes that pass.
    passed: usize,
    refused: Option<Refusal>,
    /// It ends inside a request.
    open: bool,
}

fn scan(pieces: &[&[u8]]) -> Scanned {
    let (mut scanner, mut scanned) = (Scanner::new(limits()), Scanned::default());
    let (mut held, mut body, mut framing) = (Vec::new(), Vec::new(), Framing::Length(0));
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let length = match scanner.next(&held) {
                Ok(Piece::Head(head)) => {
                    scanned.requests.push(Seen { body: Some(Vec::new()), ..taken_apart(&held[..head.length]) });
                    framing = head.framing;
                    scanned.open = framing != Framing::Length(0);
                    // The one that answers grants nothing.
                    scanner.decide(false);
                    body.clear();
                    head.length
                }
                Ok(Piece::Body(length)) => {
                    body.extend_from_slice(&held[..length]);
                    scanned.open = scanner.place() == Place::Body;
                    if let (false, Some(request)) = (scanned.open, scanned.requests.last_mut()) {
                        request.body = Some(if framing == Framing::Chunked { joined(&body) } else { body.clone() });
                    }
                    length
                }
                Ok(Piece::Incomplete | Piece::Undecided) => break,
                Err(refusal) => {
                    scanned.refused = Some(refusal);
                    break;
                }
            };
            held.drain(..length);
            scanned.passed += length;
        }
        if scanned.refused.is_some() {
            break;
        }
    }
    if scanned.open
        && let Some(request) = scanned.requests.last_mut()
    {
        request.body = None;
    }
    scanned
}

/// A head by its lines, words and colons.
fn taken_apart(head: &[u8]) -> Seen {
    let mut lines =
        head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty());
    let mut words = lines.next().unwrap().split(|byte| *byte == b' ').map(|word| String::from_utf8_lossy(word).into_owned());
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        (String::from_utf8_lossy(&line[..colon]).to_lowercase(), line[colon + 1..].trim_ascii().to_vec())
    };
    let mut fields: Vec<_> = lines.take_while(|line| !line.is_empty()).map(field).collect();
    fields.sort();
    Seen { method, target, fields, body: None }
}

/// The data of chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = chunks.iter().position(|byte| *byte == b'\n').unwrap();
        let digits = chunks.iter().take_while(|byte| byte.is_ascii_hexdigit()).map(|byte| char::from(*byte));
        let size = usize::from_str_radix(&digits.collect::<String>(), 16).unwrap();
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&chunks[end + 1..end + 1 + size]);
        chunks = &chunks[end + 3 + size..];
    }
}

fn run(bytes: &[u8]) -> Verdict {
    let whole = scan(&[bytes]);
    let cut = pieces(bytes);
    let piecewise = scan(&cut);
    prop_assert_eq!(&whole.refused, &piecewise.refused, "the verdict depends on the pieces");
    let comparable = |scanned: &Scanned| scanned.requests.iter().filter(|it| it.body.is_some()).count();
    prop_assert_eq!(comparable(&whole), comparable(&piecewise), "the requests depend on the pieces");
    let (read, written) = through_hyper(&cut);
    // hyper answers in order, and each answer is the service's.
    let statuses: Vec<_> = written.split("HTTP/1.").skip(1).map(|answer| answer.get(2..5).unwrap_or_default()).collect();
    let finals = statuses.iter().filter(|status| **status != "100").count();
    prop_assert!(statuses.iter().all(|status| ["200", "100"].contains(status)), "hyper answers by itself: {}", written);
    prop_assert!(finals <= read.len());
    let mut expected = whole.requests.iter();
    for (number, (request, refused)) in read.iter().enumerate() {
        if *refused {
            prop_assert!(whole.refused.is_some() && number + 1 == read.len(), "only the last is a stand-in");
            prop_assert_eq!(expected.next(), None, "a stand-in comes after what was read before");
            continue;
        }
        let Some(expected) = expected.next() else {
            return Err(TestCaseError::fail(format!("hyper reads what nobody sent: {request:?}")));
        };
        // http::Uri writes schemes in lower case, and a `/` after a bare authority.
        let have = request.target.as_str();
        let same_target =
            [Some(have), have.strip_suffix('/')].into_iter().flatten().any(|it| it.eq_ignore_ascii_case(&expected.target));
        prop_assert!(same_target, "{} instead of {}", request.target, expected.target);
        prop_assert_eq!(&request.method, &expected.method);
        prop_assert_eq!(&request.fields, &expected.fields);
        prop_assert_eq!(&request.body, &expected.body, "the body of {} {}", request.method, request.target);
    }
    // What hyper did not come to is what follows an end of the connection.
    let missing = expected.count();
    let ended = || read.last().is_none_or(|(last, _)| last.body.is_none() || ends(last, bytes));
    prop_assert!(missing == 0 || ended(), "{} requests were not read after {:?}", missing, read.last());
    Ok(match whole.refused {
        Some(_) if whole.open => "refused body",
        Some(_) => "refused head",
        None if whole.open || whole.passed < bytes.len() => "incomplete",
        None => "requests",
    })
}

/// Whether hyper may close after this request: it is asked to, or the client is old.
fn ends(last: &Seen, bytes: &[u8]) -> bool {
    let asked = |(name, value): &(String, Vec<u8>)| {
        name == "connection" && value.to_ascii_lowercase().windows(5).any(|at| at == b"close")
    };
    last.fields.iter().any(asked) || bytes.windows(8).any(|at| at == b"HTTP/1.0")
}

/// The requests that hyper reads behind the guard, with whether each is a stand-in; and what it writes.
fn through_hyper(pieces: &[&[u8]]) -> (Vec<(Seen, bool)>, String) {
    let written = Rc::<RefCell<Vec<u8>>>::default();
    let stream = Memory { pieces: pieces.iter().rev().map(|piece| piece.to_vec()).collect(), written: Rc::clone(&written) };
    let minute = std::time::Duration::from_secs(60);
    let patience = Patience { head: minute, body: minute, idle: minute };
    let guard = Guard::new(stream, Vec::new(), limits(), patience, &Timers::new(), Rc::new(Nobody));
    let inlet = guard.inlet();
    let read = Rc::<RefCell<Vec<(Seen, bool)>>>::default();
    let service = service_fn(|request: http::Request<Incoming>| {
        let (inlet, read) = (Rc::clone(&inlet), Rc::clone(&read));
        async move {
            let seen = take(request, &inlet).await;
            read.borrow_mut().push(seen);
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
        }
    });
    let mut builder = http1::Builder::new();
    builder.half_close(true);
    // Its own opinion of the end is of no interest.
    let _ = futures::executor::block_on(builder.serve_connection(TokioIo::new(guard), service));
    let text = String::from_utf8_lossy(&written.borrow()).into_owned();
    (read.take(), text)
}

async fn take(request: http::Request<Incoming>, inlet: &Inlet) -> (Seen, bool) {
    let message = inlet.next().expect("the guard has released it");
    if message.upgrade {
        inlet.decide(false);
    }
    let (parts, body) = request.into_parts();
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.as_str().to_owned(), value.as_bytes().to_vec());
    let mut fields: Vec<_> = parts.headers.iter().map(field).collect();
    fields.sort();
    let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
    let seen = Seen { method: parts.method.to_string(), target: parts.uri.to_string(), fields, body };
    (seen, message.refused.is_some())
}

/// A connection of which everything is there.
struct Memory {
    /// The next one last.
    pieces: Vec<Vec<u8>>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl AsyncRead for Memory {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.pieces.pop() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Nobody has time limits, or ends.
struct Nobody;

impl Surroundings for Nobody {
    fn open(&self) -> u32 {
        1
    }

    fn idle_since(&self) -> Instant {
        crate::clock::now()
    }

    fn phase(&self) -> Phase {
        Phase::Serving
    }
}
