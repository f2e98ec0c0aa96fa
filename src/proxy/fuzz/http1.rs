//! HTTP/1 requests: what our reader lets pass means the same to hyper.
//!
//! The bytes go through the scanner, whole and in pieces, and what passes goes to hyper, as it would to an endpoint. hyper
//! has to read the requests that the scanner read: as many, each with the same line, fields and body; and nothing that it would
//! answer by itself.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::guard::head::Limits;
use super::super::guard::scanner::{Piece, Scanner};
use super::super::guard::tests::{CHUNKS, SMUGGLING};
use super::super::refusal::Refusal;
use super::{Target, Verdict, fuzz, pieces};
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

impl Seen {
    fn new<B>(request: &http::Request<B>, body: Option<Vec<u8>>) -> Self {
        let field =
            |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.as_str().to_owned(), value.as_bytes().to_vec());
        let mut fields: Vec<_> = request.headers().iter().map(field).collect();
        fields.sort();
        Self { method: request.method().to_string(), target: request.uri().to_string(), fields, body }
    }
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
    let (mut held, mut body) = (BytesMut::new(), Vec::new());
    'stream: for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let before = held.len();
            let read = scanner.next(&mut held);
            match read {
                Ok(Piece::Head(_, request)) => {
                    scanned.requests.push(Seen::new(&request, None));
                    body.clear();
                }
                Ok(Piece::Data(data)) => body.extend_from_slice(&data),
                Ok(Piece::End(_)) => {}
                Ok(Piece::Incomplete) => {
                    scanned.passed += before - held.len();
                    break;
                }
                Err(refusal) => {
                    scanned.refused = Some(refusal);
                    break 'stream;
                }
            }
            scanned.passed += before - held.len();
            if !scanner.is_in_body()
                && let Some(request) = scanned.requests.last_mut()
            {
                request.body = Some(body.clone());
            }
        }
    }
    scanned.open = scanner.is_in_body();
    scanned
}

fn run(bytes: &[u8]) -> Verdict {
    let whole = scan(&[bytes]);
    let cut = pieces(bytes);
    let piecewise = scan(&cut);
    prop_assert_eq!(&whole.refused, &piecewise.refused, "the verdict depends on the pieces");
    prop_assert_eq!(&whole.requests, &piecewise.requests, "the requests depend on the pieces");
    let passed = bytes.get(..whole.passed).unwrap_or_default();
    let (read, written) = by_hyper(&pieces(passed));
    // hyper answers in order, and each answer is the service's.
    let statuses: Vec<_> = written.split("HTTP/1.").skip(1).map(|answer| answer.get(2..5).unwrap_or_default()).collect();
    let finals = statuses.iter().filter(|status| **status != "100").count();
    prop_assert!(statuses.iter().all(|status| ["200", "100"].contains(status)), "hyper answers by itself: {}", written);
    prop_assert!(finals <= read.len());
    let mut expected = whole.requests.iter();
    for request in &read {
        let Some(expected) = expected.next() else {
            return Err(TestCaseError::fail(format!("hyper reads what nobody sent: {request:?}")));
        };
        prop_assert_eq!(request, expected);
    }
    // What hyper did not come to is what follows an end of the connection.
    let missing = expected.count();
    let ended = || read.last().is_none_or(|last| last.body.is_none() || ends(last, passed));
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

/// The requests that hyper reads, and what it writes.
fn by_hyper(pieces: &[&[u8]]) -> (Vec<Seen>, String) {
    let written = Rc::<RefCell<Vec<u8>>>::default();
    let stream = Memory { pieces: pieces.iter().rev().map(|piece| piece.to_vec()).collect(), written: Rc::clone(&written) };
    let read = Rc::<RefCell<Vec<Seen>>>::default();
    let service = service_fn(|request: http::Request<Incoming>| {
        let read = Rc::clone(&read);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            read.borrow_mut().push(Seen::new(&http::Request::from_parts(parts, ()), body));
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
        }
    });
    let mut builder = http1::Builder::new();
    builder.half_close(true);
    // Its own opinion of the end is of no interest.
    let _ = futures::executor::block_on(builder.serve_connection(TokioIo::new(stream), service));
    let text = String::from_utf8_lossy(&written.borrow()).into_owned();
    (read.take(), text)
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
