//! The head of a response: status, fields, and where the body after it ends (RFC 9112 §6.3).
//!
//! Pure. Strict where leniency would let two readers see two different responses.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use super::super::super::lists;
use super::body::BodyReader;

/// Bytes of a head at most.
const LIMIT: usize = u16::MAX as usize;

/// Fields of a head at most.
const FIELDS: usize = 128;

/// A response's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: BodyReader,
    /// The body is, or to another method would have been, in chunks.
    pub chunked: bool,
    /// The connection can be used again afterwards.
    pub keeps: bool,
}

/// Why a head cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it is not HTTP/1.1")]
    Syntax,
    #[error("its head is larger than {LIMIT} bytes, or has more than {FIELDS} fields")]
    TooLarge,
    #[error("it does not say in one way how long its body is")]
    Framing,
}

/// Takes a head off `buffer`; none while it is incomplete. Interim responses (100, 103) are dropped.
pub(super) fn parse(buffer: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Malformed> {
    loop {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, buffer, &mut fields);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() < LIMIT => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooLarge),
            Err(_) => return Err(Malformed::Syntax),
        };
        if length > LIMIT {
            return Err(Malformed::TooLarge);
        }
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed::Syntax)?;
        let old = response.version == Some(0);
        // Where in the buffer names and values are: the values become parts of it, without a copy.
        let start = buffer.as_ptr() as usize;
        let place = |text: &[u8]| {
            let begin = text.as_ptr() as usize - start;
            [begin, begin + text.len()].map(|at| u16::try_from(at).unwrap_or(u16::MAX))
        };
        let mut places = [[[0; 2]; 2]; FIELDS];
        let count = response.headers.len();
        for (field, places) in response.headers.iter().zip(&mut places) {
            *places = [place(field.name.as_bytes()), place(field.value)];
        }
        let text = buffer.split_to(length).freeze();
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        let (headers, told) = headers(&text, places.get(..count).unwrap_or_default(), old)?;
        let body = told.framing(status, to_head);
        let keeps = !told.close && (!old || told.keep_alive) && !body.is_until_close();
        return Ok(Some(Head { status, headers, body, chunked: told.chunked, keeps }));
    }
}

/// Responses with this status have no body, whatever their fields say (RFC 9112 §6.3).
pub(in crate::proxy) fn is_bodyless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What the fields say of the connection and of the body.
#[derive(Debug, Default)]
struct Told {
    length: Option<u64>,
    chunked: bool,
    /// Whether the connection can be used again (RFC 9112 §9.3).
    close: bool,
    keep_alive: bool,
}

/// The fields, each length once, and what they say. `old`: it is HTTP/1.0.
fn headers(text: &Bytes, places: &[[[u16; 2]; 2]], old: bool) -> Result<(HeaderMap, Told), Malformed> {
    let (mut headers, mut told) = (HeaderMap::with_capacity(places.len()), Told::default());
    for [name, value] in places {
        let [name, value] = [name, value].map(|[begin, end]| usize::from(*begin)..usize::from(*end));
        let name = text.get(name).and_then(|name| HeaderName::from_bytes(name).ok()).ok_or(Malformed::Syntax)?;
        let value = HeaderValue::from_maybe_shared(text.slice(value)).map_err(|_| Malformed::Syntax)?;
        if name == CONTENT_LENGTH {
            let number = length(value.as_bytes()).ok_or(Malformed::Framing)?;
            match told.length.replace(number) {
                None => {}
                Some(other) if other == number => continue,
                Some(_) => return Err(Malformed::Framing),
            }
        } else if name == TRANSFER_ENCODING {
            // Another coding would reach the client without its name; HTTP/1.0 has none.
            let known = !old && value.as_bytes().eq_ignore_ascii_case(b"chunked");
            if !known || std::mem::replace(&mut told.chunked, true) {
                return Err(Malformed::Framing);
            }
        } else if name == CONNECTION {
            told.close |= lists::has(value.as_bytes(), b"close");
            told.keep_alive |= lists::has(value.as_bytes(), b"keep-alive");
        }
        headers.append(name, value);
    }
    Ok((headers, told))
}

/// Digits only.
fn length(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?.parse().ok()
}

impl Told {
    fn framing(&self, status: StatusCode, to_head: bool) -> BodyReader {
        match self.length {
            _ if to_head || is_bodyless(status) => BodyReader::none(),
            _ if self.chunked => BodyReader::chunked(),
            Some(length) => BodyReader::length(length),
            None if status == StatusCode::RESET_CONTENT => BodyReader::none(),
            None => BodyReader::until_close(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, to_head: bool) -> Result<Option<(Head, String)>, Malformed> {
        let mut buffer = BytesMut::from(text);
        let head = parse(&mut buffer, to_head)?;
        Ok(head.map(|head| (head, String::from_utf8_lossy(&buffer).into_owned())))
    }

    fn framing_of(text: &str, to_head: bool) -> Result<(String, bool), Malformed> {
        let (head, _) = read(&format!("HTTP/1.{text}\r\n\r\n"), to_head)?.expect("complete");
        Ok((format!("{:?}", head.body), head.keeps))
    }

    #[test]
    fn the_body_ends_where_rfc_9112_says() {
        let is = |text: &str, body: BodyReader, keeps: bool| {
            assert_eq!(framing_of(text, false), Ok((format!("{body:?}"), keeps)), "{text}");
        };
        is("1 200 OK\r\nContent-Length: 5", BodyReader::length(5), true);
        is("1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", BodyReader::length(5), true);
        is("1 200 OK\r\nContent-Length: 5\r\nConnection: x, Close", BodyReader::length(5), false);
        is("1 200 OK\r\nTransfer-Encoding: Chunked", BodyReader::chunked(), true);
        is("1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", BodyReader::chunked(), true);
        is("1 200 OK", BodyReader::until_close(), false);
        is("0 200 OK\r\nContent-Length: 5", BodyReader::length(5), false);
        is("0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive", BodyReader::length(5), true);
        is("1 204 No Content\r\nContent-Length: 5", BodyReader::none(), true);
        is("1 304 Not Modified\r\nContent-Length: 5", BodyReader::none(), true);
        is("1 205 Reset Content", BodyReader::none(), true);
        is("1 101 Switching Protocols\r\nUpgrade: x", BodyReader::none(), true);
        assert_eq!(framing_of("1 200 OK\r\nContent-Length: 5", true), Ok((format!("{:?}", BodyReader::none()), true)));
        for text in [
            "1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
            "1 200 OK\r\nContent-Length: +5",
            "1 200 OK\r\nContent-Length: 5, 5",
            "1 200 OK\r\nContent-Length:",
            "1 200 OK\r\nContent-Length: 99999999999999999999",
            "1 200 OK\r\nTransfer-Encoding: gzip, chunked",
            "1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "0 200 OK\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(framing_of(text, false), Err(Malformed::Framing), "{text}");
        }
    }

    #[test]
    fn a_head_may_come_in_pieces_behind_interim_ones_and_leaves_the_rest() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nA: c\r\n\r\nbody";
        let whole = text.len() - "body".len();
        for end in 0..whole {
            let mut buffer = BytesMut::from(text.get(..end).unwrap());
            assert!(parse(&mut buffer, false).unwrap().is_none(), "{end}");
            buffer.extend_from_slice(text.get(end..).unwrap().as_bytes());
            let head = parse(&mut buffer, false).unwrap().expect("complete");
            assert_eq!((head.status, &*buffer), (StatusCode::OK, &b"body"[..]));
            assert_eq!(head.headers.get_all("a").iter().collect::<Vec<_>>(), ["b", "c"]);
        }
    }

    #[test]
    fn what_is_no_response_is_refused_and_what_is_endless_ends() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        ] {
            assert_eq!(read(text, false).map(|_| ()), Err(Malformed::Syntax), "{text}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(LIMIT));
        assert_eq!(read(&endless, false).map(|_| ()), Err(Malformed::TooLarge));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(FIELDS + 1));
        assert_eq!(read(&many, false).map(|_| ()), Err(Malformed::TooLarge));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, to_head: bool) {
            let mut all = BytesMut::from(&b"HTTP/1.1 200 OK\r\n"[..]);
            all.extend_from_slice(&bytes);
            let _ = parse(&mut all, to_head);
        }
    }
}
