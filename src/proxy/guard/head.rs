//! A strict reader of HTTP/1 request heads: what is asked for, where a head ends and how its body is framed, or why it is refused.
//!
//! Pure. Where RFC 9112 leaves a choice between repairing and refusing, this refuses: what two parsers could read
//! differently is how requests are smuggled.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use memchr::memchr;

use super::super::lists;
use super::super::refusal::Refusal;
use super::characters::{self, is_text, is_token};

/// Header fields of a request, usually at most.
const FIELDS: usize = 16;

/// How much of a head is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of one line.
    pub line: usize,
    /// Bytes of the head.
    pub head: usize,
    /// Header fields.
    pub count: usize,
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes, none included.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// A complete head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its bytes, the empty line included.
    pub length: usize,
    /// Of the body.
    pub framing: Framing,
    /// Asks to change the protocol after this message.
    pub upgrade: bool,
    /// The client waits for a word before it sends the body (RFC 9110 §10.1.1).
    pub expects: bool,
    /// The client may send another request after this one (RFC 9112 §9.3).
    pub keeps: bool,
}

/// Reads one head; bytes that were looked at are not looked at again when more arrive.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    /// Where the first line begins that was not read yet.
    line: usize,
    /// Before this there is no end of that line.
    searched: usize,
    fields: Vec<Field>,
    /// Once the request line was read.
    start: Option<Start>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
    connection: Connection,
    upgrade: bool,
    /// HTTP/2 is among the protocols that are asked for.
    h2c: bool,
    expects: bool,
}

/// Where in the head a field is.
#[derive(Debug)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

#[derive(Clone, Debug)]
struct Start {
    method: Range<usize>,
    target: Range<usize>,
    /// HTTP/1.0.
    old: bool,
    /// Authority of a target in absolute form.
    authority: Option<Range<usize>>,
}

/// What `Connection` lists, of what means something here.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl HeadReader {
    /// Reads on. `bytes` are all bytes of the head so far (and perhaps more). None: more are needed.
    ///
    /// # Errors
    /// The head is refused.
    pub(crate) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Refusal> {
        loop {
            let rest = bytes.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr(b'\n', rest) else {
                self.searched = bytes.len();
                return self.unfinished(bytes, limits).map(|()| None);
            };
            let end = self.searched + found;
            self.within(end + 1, limits)?;
            let line = bytes.get(self.line..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Refusal::BadRequest)?;
            let begin = std::mem::replace(&mut self.line, end + 1);
            self.searched = self.line;
            match (&self.start, line.is_empty()) {
                // One empty line before a request is what old clients send after a form.
                (None, true) if begin == 0 => {}
                (None, true) => return Err(Refusal::BadRequest),
                (None, false) => self.start = Some(request_line(line, begin)?),
                (Some(_), false) => self.field(line, begin, limits)?,
                (Some(start), true) => {
                    let start = start.clone();
                    return self.complete(&start, bytes).map(Some);
                }
            }
        }
    }

    /// Bytes without an end of line.
    fn unfinished(&self, bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
        // What cannot become a request (a TLS handshake, say) is not waited for.
        let first = bytes.first().is_none_or(|byte| is_token(*byte) || *byte == b'\r');
        if !first {
            return Err(Refusal::BadRequest);
        }
        self.within(bytes.len(), limits)
    }

    fn within(&self, end: usize, limits: &Limits) -> Result<(), Refusal> {
        if end - self.line > limits.line {
            return Err(if self.start.is_none() { Refusal::UriTooLong } else { Refusal::HeaderTooLarge });
        }
        if end > limits.head { Err(Refusal::HeaderTooLarge) } else { Ok(()) }
    }

    fn field(&mut self, line: &[u8], begin: usize, limits: &Limits) -> Result<(), Refusal> {
        if self.fields.len() >= limits.count {
            return Err(Refusal::TooManyHeaders);
        }
        let colon = memchr(b':', line).ok_or(Refusal::BadRequest)?;
        let (name, rest) = line.split_at_checked(colon).ok_or(Refusal::BadRequest)?;
        // Neither a continuation of the line before nor a space before the colon: both are no token.
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(Refusal::BadRequest);
        }
        let value = rest.get(1..).unwrap_or_default();
        // All of them, whatever is found: so they are looked at many at a time.
        if !value.iter().fold(true, |all, byte| all & is_text(*byte)) {
            return Err(Refusal::BadRequest);
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let trimmed = value.trim_ascii();
        let start = begin + colon + 1 + (value.len() - value.trim_ascii_start().len());
        let place = start..start + trimmed.len();
        match name.len() {
            4 if is("host") => {
                let first = self.host.replace(place.clone()).is_none();
                (first && is_host(trimmed)).then_some(()).ok_or(Refusal::BadRequest)?;
            }
            6 if is("expect") => self.expects |= trimmed.eq_ignore_ascii_case(b"100-continue"),
            7 if is("upgrade") => {
                self.upgrade = true;
                self.h2c |= lists::has(value, b"h2c");
            }
            10 if is("connection") => {
                self.connection.close |= lists::has(value, b"close");
                self.connection.keep_alive |= lists::has(value, b"keep-alive");
                self.connection.upgrade |= lists::has(value, b"upgrade");
            }
            14 if is("content-length") => {
                let length = exact(value).and_then(decimal).ok_or(Refusal::BadRequest)?;
                if self.length.replace(length).is_some() {
                    return Err(Refusal::BadRequest);
                }
            }
            17 if is("transfer-encoding") => {
                let chunked = exact(value).is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
                if !chunked || std::mem::replace(&mut self.chunked, true) {
                    return Err(Refusal::BadRequest);
                }
            }
            _ => {}
        }
        if self.fields.is_empty() {
            self.fields.reserve(FIELDS);
        }
        self.fields.push(Field { name: begin..begin + colon, value: place });
        Ok(())
    }

    fn complete(&mut self, start: &Start, bytes: &[u8]) -> Result<Head, Refusal> {
        let text = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        let matches = match (&self.host, &start.authority) {
            (None, _) => start.old,
            (Some(_), None) => true,
            (Some(host), Some(authority)) => text(host).eq_ignore_ascii_case(text(authority)),
        };
        if !matches || self.chunked && (self.length.is_some() || start.old) {
            return Err(Refusal::BadRequest);
        }
        let framing = if self.chunked { Framing::Chunked } else { Framing::Length(self.length.unwrap_or(0)) };
        // An upgrade of a request with a body, or of HTTP/1.0, is not granted: the header means nothing. Nor is one to HTTP/2: in
        // that tunnel an endpoint would be asked for what no rule leads to.
        let granted = !start.old && !self.h2c && framing == Framing::Length(0);
        let upgrade = granted && self.upgrade && self.connection.upgrade;
        let expects = self.expects && !start.old && framing != Framing::Length(0);
        let keeps = !self.connection.close && (!start.old || self.connection.keep_alive);
        Ok(Head { length: self.line, framing, upgrade, expects, keeps })
    }

    /// The request that `text`, a complete head, asks for. Header values are parts of `text`, without a copy.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] for a target that is no URI.
    pub(crate) fn request(&self, text: &Bytes) -> Result<Request<()>, Refusal> {
        let start = self.start.as_ref().ok_or(Refusal::BadRequest)?;
        let at = |place: &Range<usize>| text.get(place.clone()).unwrap_or_default();
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for field in &self.fields {
            let name = HeaderName::from_bytes(at(&field.name)).map_err(|_| Refusal::BadRequest)?;
            let value = HeaderValue::from_maybe_shared(part(text, &field.value)).map_err(|_| Refusal::BadRequest)?;
            headers.append(name, value);
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(at(&start.method)).map_err(|_| Refusal::BadRequest)?;
        *request.uri_mut() = Uri::from_maybe_shared(part(text, &start.target)).map_err(|_| Refusal::BadRequest)?;
        *request.version_mut() = if start.old { Version::HTTP_10 } else { Version::HTTP_11 };
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// A part of a head; nothing if it is none.
fn part(text: &Bytes, place: &Range<usize>) -> Bytes {
    if place.end <= text.len() { text.slice(place.clone()) } else { Bytes::new() }
}

fn request_line(line: &[u8], begin: usize) -> Result<Start, Refusal> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(Refusal::BadRequest);
    };
    if method.is_empty() || method.len() > 32 || !method.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::BadRequest);
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(if *major == b'1' { Refusal::BadRequest } else { Refusal::Version });
        }
        _ => return Err(Refusal::BadRequest),
    };
    if method == b"CONNECT" || method == b"TRACE" {
        return Err(Refusal::NotAllowed);
    }
    let behind = begin + method.len() + 1;
    let (method, place) = (begin..behind - 1, behind..behind + target.len());
    if target.first() == Some(&b'/') {
        return if is_path(target) {
            Ok(Start { method, target: place, old, authority: None })
        } else {
            Err(Refusal::BadRequest)
        };
    }
    let scheme = [&b"http://"[..], b"https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .ok_or(Refusal::BadRequest)?
        .len();
    let rest = target.get(scheme..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Refusal::BadRequest)?;
    if !is_host(authority) || !(path.is_empty() || path.first() == Some(&b'/') && is_path(path)) {
        return Err(Refusal::BadRequest);
    }
    let start = behind + scheme;
    Ok(Start { method, target: place, old, authority: Some(start..start + end) })
}

/// A path with its query: no control characters, no fragment, and nothing that `http::Uri` would refuse.
fn is_path(target: &[u8]) -> bool {
    target.iter().all(|byte| characters::is_path(*byte))
        || !target.contains(&b'#') && http::uri::PathAndQuery::try_from(target).is_ok()
}

/// `name`, `address`, `[address]`, each perhaps with a port.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let end = if value.first() == Some(&b'[') { memchr(b']', value).map(|end| end + 1) } else { None };
    let end = end.or_else(|| memchr(b':', value)).unwrap_or(value.len());
    let (name, port) = value.split_at_checked(end).unwrap_or_default();
    let is_name = match name {
        [b'[', address @ .., b']'] => {
            std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        }
        _ => !name.is_empty() && name.iter().all(|byte| characters::is_name(*byte)),
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_name && is_port
}

/// A value that stands for framing: spaces before it, nothing else beside it.
fn exact(value: &[u8]) -> Option<&[u8]> {
    let start = value.iter().position(|byte| *byte != b' ')?;
    value.get(start..)
}

/// Digits only, without leading zeros.
fn decimal(value: &[u8]) -> Option<u64> {
    let canonical = value.iter().all(u8::is_ascii_digit) && (value == b"0" || value.first() != Some(&b'0'));
    if canonical { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}
