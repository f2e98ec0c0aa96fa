//! The head of a response as an HTTP/1 client gets it, and how its body is framed (RFC 9112 §6).
//!
//! Pure.

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TE};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Body;

use super::super::super::date::Date;
use super::super::super::lists;
use super::super::super::outgoing::{Coding, field};
use super::super::super::upstream::http1::head::is_bodyless;
use super::super::told_length;

/// Bytes of a head, usually.
const HEAD: usize = 512;

/// What of a request decides how it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// HTTP/1.0.
    old: bool,
    /// The head only.
    head: bool,
    /// Another request may follow.
    keeps: bool,
    /// Trailer fields are welcome.
    trailers: bool,
}

impl Asked {
    pub(super) fn new<B>(request: &Request<B>, keeps: bool) -> Self {
        Self {
            old: request.version() == Version::HTTP_10,
            head: request.method() == Method::HEAD,
            keeps,
            trailers: lists::any_has(request.headers(), TE, b"trailers"),
        }
    }
}

/// Appends the head of `response`; how its body follows, and whether another request may follow that.
pub(super) fn write<B: Body>(out: &mut Vec<u8>, response: &Response<B>, asked: &Asked, date: &Date) -> (Coding, bool) {
    let (status, headers) = (response.status(), response.headers());
    let length = response.body().size_hint().exact();
    let bodyless = is_bodyless(status);
    let coding = match length {
        _ if bodyless || asked.head => Coding::Ended,
        Some(0) => Coding::Ended,
        Some(length) => Coding::Length(length),
        None if asked.old => Coding::UntilClose,
        None => Coding::Chunked,
    };
    let changes = status == StatusCode::SWITCHING_PROTOCOLS;
    let mut closes = !asked.keeps || coding == Coding::UntilClose;
    let (mut dated, mut sized) = (false, false);
    out.reserve(HEAD);
    out.extend_from_slice(if asked.old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        let passes = match *name {
            // Ours to say, below.
            CONNECTION => {
                closes |= lists::has(value.as_bytes(), b"close");
                changes
            }
            // Without a body it has misled more clients than it has helped.
            CONTENT_LENGTH => {
                sized = true;
                !bodyless
            }
            DATE => {
                dated = true;
                true
            }
            _ => true,
        };
        if passes {
            field(out, name.as_str(), value.as_bytes());
        }
    }
    if !dated {
        date.with(|date| field(out, "date", date.as_bytes()));
    }
    match coding {
        Coding::Chunked => field(out, "transfer-encoding", b"chunked"),
        // An endpoint's own word is among the fields.
        _ if sized => {}
        _ => {
            if let Some(length) = told_length(response, asked.head) {
                field(out, "content-length", itoa::Buffer::new().format(length).as_bytes());
            }
        }
    }
    match (closes, asked.old) {
        _ if changes => {}
        (true, false) => field(out, "connection", b"close"),
        (false, true) => field(out, "connection", b"keep-alive"),
        (true, true) | (false, false) => {}
    }
    out.extend_from_slice(b"\r\n");
    (coding, !closes && !changes)
}

/// The trailer fields that `response` announces, if they are welcome.
pub(super) fn trailers<B>(response: &Response<B>, asked: &Asked) -> Vec<HeaderName> {
    if !asked.trailers {
        return Vec::new();
    }
    lists::trailers(response.headers())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::TRAILER;
    use http_body_util::{Empty, Full, StreamBody};
    use hyper::body::Frame;

    use super::super::super::super::date::http_date;
    use super::*;

    type Pieces = StreamBody<futures::stream::Empty<Result<Frame<Bytes>, std::convert::Infallible>>>;

    fn asked(request: &str) -> Asked {
        let mut words = request.split(' ');
        let mut built = Request::builder().method(words.next().unwrap());
        for word in words {
            built = match word {
                "1.0" => built.version(Version::HTTP_10),
                te => built.header(TE, te),
            };
        }
        let request = built.body(()).unwrap();
        let keeps = request.version() != Version::HTTP_10;
        Asked::new(&request, keeps)
    }

    /// Status and fields, without `Date`; and what follows.
    fn written<B: Body>(request: &str, status: u16, fields: &[(&str, &str)], body: B) -> (String, Coding, bool) {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut out = Vec::new();
        let (coding, goes_on) = write(&mut out, &response.body(body).unwrap(), &asked(request), &Date::new(http_date));
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> =
            text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
        (lines.join("\n"), coding, goes_on)
    }

    #[test]
    fn the_body_is_framed_as_rfc_9112_says() {
        let hi = || Full::new(Bytes::from_static(b"hi"));
        let none = Empty::<Bytes>::new;
        let open = || Pieces::new(futures::stream::empty());
        let cl = ("content-length", "2");
        let is = |written: (String, Coding, bool), text: &str, coding, goes_on| {
            assert_eq!(written, (text.to_owned(), coding, goes_on));
        };
        is(written("GET", 200, &[], hi()), "HTTP/1.1 200 OK\ncontent-length: 2", Coding::Length(2), true);
        is(written("GET", 200, &[cl], hi()), "HTTP/1.1 200 OK\ncontent-length: 2", Coding::Length(2), true);
        is(written("GET", 200, &[], none()), "HTTP/1.1 200 OK\ncontent-length: 0", Coding::Ended, true);
        is(written("GET", 200, &[], open()), "HTTP/1.1 200 OK\ntransfer-encoding: chunked", Coding::Chunked, true);
        is(written("GET 1.0", 200, &[], open()), "HTTP/1.0 200 OK", Coding::UntilClose, false);
        is(written("GET 1.0", 200, &[], hi()), "HTTP/1.0 200 OK\ncontent-length: 2", Coding::Length(2), false);
        is(written("HEAD", 200, &[], hi()), "HTTP/1.1 200 OK\ncontent-length: 2", Coding::Ended, true);
        is(written("HEAD", 200, &[cl], none()), "HTTP/1.1 200 OK\ncontent-length: 2", Coding::Ended, true);
        is(written("HEAD", 200, &[], none()), "HTTP/1.1 200 OK", Coding::Ended, true);
        is(written("GET", 204, &[], none()), "HTTP/1.1 204 No Content", Coding::Ended, true);
        is(written("GET", 304, &[cl], none()), "HTTP/1.1 304 Not Modified", Coding::Ended, true);
        is(
            written("GET", 999, &[("connection", "close")], none()),
            "HTTP/1.1 999 \ncontent-length: 0\nconnection: close",
            Coding::Ended,
            false,
        );
        let up = [("upgrade", "x"), ("connection", "upgrade")];
        is(
            written("GET", 101, &up, none()),
            "HTTP/1.1 101 Switching Protocols\nupgrade: x\nconnection: upgrade",
            Coding::Ended,
            false,
        );
    }

    #[test]
    fn trailers_are_for_those_who_want_them() {
        let response = Response::builder().header(TRAILER, "X-Sum, x-other ,").body(()).unwrap();
        let names = |request| trailers(&response, &asked(request)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("GET deflate,Trailers"), ["x-sum", "x-other"]);
        assert!(names("GET deflate").is_empty() && names("GET").is_empty());
    }

    #[test]
    fn a_date_of_the_endpoint_stays() {
        let response = Response::builder().header(DATE, "then").body(Empty::<Bytes>::new()).unwrap();
        let mut out = Vec::new();
        write(&mut out, &response, &asked("GET"), &Date::new(http_date));
        assert_eq!(String::from_utf8(out).unwrap().matches("date: ").count(), 1);
    }
}
