//! The scanner alone: what passes, what is refused, whatever the pieces in which it comes.

use bytes::{Bytes, BytesMut};
use http::{Request, Version};
use proptest::prelude::*;

use super::head::{Framing, Head, HeadReader, Limits};
use super::scanner::{Piece, Scanner};
use crate::proxy::refusal::Refusal;

const LIMITS: Limits = Limits { line: 256, head: 1024, count: 8 };

fn head(text: &str) -> Result<Option<Head>, Refusal> {
    HeadReader::default().read(text.as_bytes(), &LIMITS)
}

/// Bytes that pass, and why the rest does not.
fn scan(pieces: &[&[u8]]) -> (usize, Option<Refusal>) {
    let mut scanner = Scanner::new(LIMITS);
    let (mut held, mut passed) = (BytesMut::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let before = held.len();
            let read = scanner.next(&mut held);
            passed += before - held.len();
            match read {
                Ok(Piece::Incomplete) => break,
                Ok(_) => {}
                Err(refusal) => return (passed, Some(refusal)),
            }
        }
    }
    (passed, None)
}

#[test]
fn heads_are_framed() {
    let found = |framing, upgrade, text: &str| {
        let head = head(text).unwrap().unwrap();
        assert_eq!((head.length, head.framing, head.upgrade), (text.len(), framing, upgrade), "{text:?}");
    };
    let none = Framing::Length(0);
    found(none, false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    found(none, false, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    found(none, false, "GET / HTTP/1.0\r\n\r\n");
    found(none, false, "GET http://A:80/x?y HTTP/1.1\r\nhost: a:80\r\n\r\n");
    found(none, false, "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n");
    found(none, false, "GET / HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t z \r\n\r\n");
    found(none, false, "GET /\u{e4}\"{}|%zz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    found(Framing::Length(12), false, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
    found(Framing::Length(12), false, "POST / HTTP/1.0\r\nContent-Length:12\r\n\r\n");
    found(Framing::Chunked, false, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
    found(none, true, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n");
    found(none, false, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
    found(none, false, "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    for h2c in ["h2c", "H2C", "websocket, h2c", "h2c,websocket", "websocket\r\nUpgrade: h2c"] {
        found(none, false, &format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {h2c}\r\n\r\n"));
    }
    found(
        Framing::Length(1),
        false,
        "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\n",
    );
}

/// Each of these has been read in two ways by some pair of servers.
pub(crate) const SMUGGLING: [&str; 52] = [
    // Two framings, or none that is certain.
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 04\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4 \r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4 5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4;x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n\r\n",
    // Lines.
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 4\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n",
    // Request lines.
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET /\r\n\r\n",
    // Hosts.
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
];

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for text in SMUGGLING {
        assert_eq!(head(text), Err(Refusal::BadRequest), "{text:?}");
    }
    for text in
        ["* HTTP/1.1", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01", "(", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        assert_eq!(scan(&[text.as_bytes(), b"\r\n"]).1, Some(Refusal::BadRequest), "{text:?}");
    }
    assert_eq!(head("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Err(Refusal::Version));
    assert_eq!(head("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"), Err(Refusal::NotAllowed));
    assert_eq!(head("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Refusal::NotAllowed));
}

#[test]
fn sizes_are_bounded_before_the_end_is_there() {
    let long = "x".repeat(300);
    assert_eq!(head(&format!("GET /{long}")), Err(Refusal::UriTooLong));
    assert_eq!(head(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}")), Err(Refusal::HeaderTooLarge));
    let many = "X: y\r\n".repeat(9);
    assert_eq!(head(&format!("GET / HTTP/1.1\r\n{many}")), Err(Refusal::TooManyHeaders));
    let fields = format!("X: {}\r\n", "y".repeat(240)).repeat(5);
    assert_eq!(head(&format!("GET / HTTP/1.1\r\n{fields}")), Err(Refusal::HeaderTooLarge));
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Bodies by chunks that end otherwise than one of two servers would think.
pub(crate) const CHUNKS: [&str; 26] = [
    "\r\n",
    "g\r\n",
    "-1\r\n",
    "+1\r\n",
    " 1\r\n",
    "1 \r\n",
    "0x1\r\n",
    "1\n",
    "1\ra",
    ";x\r\n",
    "1\r\nab\r\n",
    "1\r\na\n",
    "1\r\na0\r\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "0000000000000000001\r\na\r\n",
    "1;x\ny\r\n",
    "1;\0\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\nContent-Length: 4\r\n\r\n",
    "0\r\ntransfer-encoding: chunked\r\n\r\n",
    "0\r\nX: y\n\r\n",
    "0\r\nX: \0\r\n\r\n",
    "0\r\n\n",
    "0\r\n\ra",
];

#[test]
fn chunks_are_followed_to_the_next_head() {
    for body in
        ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "a;x=\"y\"\r\n0123456789\r\n00\r\n\r\n", "1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n"]
    {
        let text = format!("{CHUNKED}{body}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(scan(&[text.as_bytes()]), (text.len(), None), "{body:?}");
    }
    for body in CHUNKS {
        assert_eq!(scan(&[CHUNKED.as_bytes(), body.as_bytes()]).1, Some(Refusal::BadRequest), "{body:?}");
    }
    let extension = format!("1;{}\r\n", "x".repeat(300));
    assert_eq!(scan(&[CHUNKED.as_bytes(), extension.as_bytes()]).1, Some(Refusal::BadRequest));
    let extensions = format!("1;{}\r\na\r\n", "x".repeat(250)).repeat(20);
    assert_eq!(scan(&[CHUNKED.as_bytes(), extensions.as_bytes()]).1, Some(Refusal::BadRequest));
    let trailers = format!("0\r\n{}", format!("X: {}\r\n", "y".repeat(250)).repeat(40));
    assert_eq!(scan(&[CHUNKED.as_bytes(), trailers.as_bytes()]).1, Some(Refusal::BadRequest));
}

/// Everything in a stream: its requests with their bodies, and trailer fields.
fn read(text: &str) -> Vec<(Request<Bytes>, Vec<String>)> {
    let (mut scanner, mut held, mut read) = (Scanner::new(LIMITS), BytesMut::from(text), Vec::new());
    loop {
        match scanner.next(&mut held).unwrap() {
            Piece::Head(_, request) => read.push((request.map(|()| Bytes::new()), Vec::new())),
            Piece::Data(data) => {
                let body = read.last_mut().unwrap().0.body_mut();
                *body = [&body[..], &data].concat().into();
            }
            Piece::End(fields) => {
                read.last_mut().unwrap().1 =
                    fields.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
            }
            Piece::Incomplete => return read,
        }
    }
}

#[test]
fn requests_are_read_as_they_are_written() {
    let text = "\r\nPUT http://A:80/x?y HTTP/1.1\r\nhost: \ta:80 \r\nX: 1\r\nx:2\t\r\nContent-Length: 2\r\n\r\nhi\
                GET /a%20b HTTP/1.0\r\n\r\n\
                POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\none\r\n3\r\ntwo\r\n0\r\nSum:  6 \r\nB:\r\n\r\n";
    let read = read(text);
    let of = |number: usize| {
        let (request, trailers) = &read[number];
        let fields = request.headers().iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        (request.method().as_str(), request.uri().to_string(), request.version(), fields.collect::<Vec<_>>(), trailers.join(" "))
    };
    let fields = ["host=a:80", "x=1", "x=2", "content-length=2"].map(str::to_owned).to_vec();
    assert_eq!(of(0), ("PUT", "http://A:80/x?y".to_owned(), Version::HTTP_11, fields, String::new()));
    assert_eq!(of(1), ("GET", "/a%20b".to_owned(), Version::HTTP_10, Vec::new(), String::new()));
    assert_eq!((of(2).0, of(2).4), ("POST", "sum=6 b=".to_owned()));
    assert_eq!(read.iter().map(|(request, _)| &request.body()[..]).collect::<Vec<_>>(), [&b"hi"[..], b"", b"onetwo"]);
}

#[test]
fn connections_are_kept_and_bodies_are_asked_for_as_the_client_says() {
    let said = |text: &str| {
        let head = head(&format!("{text}\r\n\r\n")).unwrap().unwrap();
        (head.keeps, head.expects)
    };
    assert_eq!(said("GET / HTTP/1.1\r\nHost: a"), (true, false));
    assert_eq!(said("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close"), (false, false));
    assert_eq!(said("GET / HTTP/1.0"), (false, false));
    assert_eq!(said("GET / HTTP/1.0\r\nConnection: Keep-Alive"), (true, false));
    assert_eq!(said("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue"), (true, true));
    // Nothing to wait for; nobody who would understand the answer.
    assert_eq!(said("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue"), (true, false));
    assert_eq!(said("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue"), (false, false));
}

/// Requests of which many are nearly right.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"\r\n",
        b"\n",
        b"Content-Length: 1\r\n",
        b" ",
        b"5\r\n",
        b"\0",
    ];
    proptest::collection::vec(proptest::sample::select(parts), 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_the_pieces(bytes in stream(), cuts in proptest::collection::vec(any::<u16>(), 0..8)) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let (whole, cut) = (scan(&[&bytes]), scan(&pieces));
        prop_assert_eq!(whole.1, cut.1);
        if whole.1.is_none() {
            prop_assert_eq!(whole.0, cut.0);
        }
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), start in stream()) {
        scan(&[&start, &bytes]);
    }
}
