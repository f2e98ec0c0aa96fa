//! The scanner alone: what passes, what is refused, whatever the pieces in which it comes.

use proptest::prelude::*;

use super::head::{Framing, Head, HeadReader, Limits};
use super::scanner::{Piece, Place, Scanner};
use crate::proxy::refusal::Refusal;

const LIMITS: Limits = Limits { line: 256, head: 1024, count: 8 };

fn head(text: &str) -> Result<Option<Head>, Refusal> {
    HeadReader::default().read(text.as_bytes(), &LIMITS)
}

/// Bytes that pass, and why the rest does not.
fn scan(pieces: &[&[u8]]) -> (usize, Option<Refusal>) {
    let mut scanner = Scanner::new(LIMITS);
    let (mut held, mut passed) = (Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            match scanner.next(&held) {
                Ok(Piece::Head(head)) => {
                    held.drain(..head.length);
                    passed += head.length;
                }
                Ok(Piece::Body(length)) => {
                    held.drain(..length);
                    passed += length;
                }
                Ok(Piece::Incomplete | Piece::Undecided) => break,
                Err(refusal) => return (passed, Some(refusal)),
            }
        }
    }
    (passed, None)
}

#[test]
fn heads_are_framed() {
    let found = |framing, upgrade, text: &str| {
        assert_eq!(head(text), Ok(Some(Head { length: text.len(), framing, upgrade })), "{text:?}");
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

#[test]
fn nothing_passes_after_a_request_to_change_the_protocol_until_that_is_decided() {
    let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let mut scanner = Scanner::new(LIMITS);
    assert!(matches!(scanner.next(upgrade), Ok(Piece::Head(_))));
    assert_eq!((scanner.next(b"anything"), scanner.place()), (Ok(Piece::Undecided), Place::Undecided));
    scanner.decide(true);
    assert_eq!(scanner.next(b"\0anything"), Ok(Piece::Body(9)));
    let mut scanner = Scanner::new(LIMITS);
    assert!(matches!(scanner.next(upgrade), Ok(Piece::Head(_))));
    scanner.decide(false);
    assert_eq!(scanner.next(b"\0anything"), Err(Refusal::BadRequest));
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
