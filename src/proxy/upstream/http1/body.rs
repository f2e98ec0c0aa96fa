//! A response's body, taken out of what was read: by its length, by chunks, or until the connection ends.
//!
//! Pure, and without a copy: pieces are parts of the read buffer.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING};

/// Bytes of a line before a chunk.
const LINE_LIMIT: usize = 4096;

/// Bytes of all trailer fields, and their count.
const TRAILERS_LIMIT: usize = 16 * 1024;
const TRAILERS: usize = 64;

/// Trailer fields that could only be there to be taken for what they are not (RFC 9110 §6.5.1).
const DROPPED: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING];

/// Where in the body the next byte is.
#[derive(Debug)]
pub(crate) struct BodyReader(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    /// At the line that says how long the next chunk is.
    Size,
    /// In a chunk.
    Chunk(u64),
    /// Behind it.
    ChunkEnd,
    Trailers,
    UntilClose,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The end, with fields.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// More has to be read first.
    Incomplete,
}

/// The chunked coding is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its chunked coding is malformed")]
pub(crate) struct Malformed;

impl BodyReader {
    pub(super) fn none() -> Self {
        Self(State::Done)
    }

    pub(super) fn length(length: u64) -> Self {
        Self(if length == 0 { State::Done } else { State::Length(length) })
    }

    pub(super) fn chunked() -> Self {
        Self(State::Size)
    }

    pub(super) fn until_close() -> Self {
        Self(State::UntilClose)
    }

    /// Nothing comes any more.
    pub(crate) fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// It ends with the connection.
    pub(crate) fn is_until_close(&self) -> bool {
        self.0 == State::UntilClose
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn rest(&self) -> Option<u64> {
        match self.0 {
            State::Done => Some(0),
            State::Length(rest) => Some(rest),
            _ => None,
        }
    }

    /// Takes the next piece off `buffer`.
    ///
    /// # Errors
    /// The coding is malformed: what comes is no part of this body, or of any.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            if self.0 == State::Done {
                return Ok(Piece::End);
            }
            if buffer.is_empty() {
                return Ok(Piece::Incomplete);
            }
            self.0 = match self.0 {
                State::Done => State::Done,
                State::UntilClose => return Ok(Piece::Data(buffer.split().freeze())),
                State::Length(rest) => {
                    let data = take(buffer, rest);
                    let rest = rest - data.len() as u64;
                    self.0 = if rest == 0 { State::Done } else { State::Length(rest) };
                    return Ok(Piece::Data(data));
                }
                State::Size => {
                    let Some(end) = line(buffer)? else { return Ok(Piece::Incomplete) };
                    let size = size(buffer.get(..end).unwrap_or_default())?;
                    buffer.advance(end + 2);
                    if size == 0 { State::Trailers } else { State::Chunk(size) }
                }
                State::Chunk(rest) => {
                    let data = take(buffer, rest);
                    let rest = rest - data.len() as u64;
                    self.0 = if rest == 0 { State::ChunkEnd } else { State::Chunk(rest) };
                    return Ok(Piece::Data(data));
                }
                State::ChunkEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        State::Size
                    }
                    None if buffer.first() == Some(&b'\r') => return Ok(Piece::Incomplete),
                    _ => return Err(Malformed),
                },
                State::Trailers => {
                    let Some(trailers) = trailers(buffer)? else { return Ok(Piece::Incomplete) };
                    self.0 = State::Done;
                    return Ok(if trailers.is_empty() { Piece::End } else { Piece::Trailers(trailers) });
                }
            };
        }
    }
}

fn take(buffer: &mut BytesMut, rest: u64) -> Bytes {
    let here = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
    buffer.split_to(here).freeze()
}

/// Where the first line ends.
fn line(buffer: &BytesMut) -> Result<Option<usize>, Malformed> {
    let Some(end) = buffer.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') else {
        return if buffer.len() < LINE_LIMIT { Ok(None) } else { Err(Malformed) };
    };
    // A bare LF ends nothing.
    match end.checked_sub(1) {
        Some(before) if buffer.get(before) == Some(&b'\r') => Ok(Some(before)),
        _ => Err(Malformed),
    }
}

/// Hexadecimal digits, then perhaps spaces (some servers pad the number) and extensions, which mean nothing to us.
fn size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, after) = line.split_at_checked(digits).ok_or(Malformed)?;
    let ends = match after.trim_ascii_start().first() {
        None => true,
        Some(first) => *first == b';' && !after.contains(&b'\r'),
    };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| (1..=16).contains(&digits.len()) && ends);
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(Malformed)
}

fn trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS];
    let (length, fields) = match httparse::parse_headers(buffer, &mut fields) {
        Ok(httparse::Status::Complete(complete)) => complete,
        Ok(httparse::Status::Partial) if buffer.len() < TRAILERS_LIMIT => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Malformed),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let (name, value) = (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value));
        let (name, value) = (name.map_err(|_| Malformed)?, value.map_err(|_| Malformed)?);
        if !DROPPED.contains(&name) {
            trailers.append(name, value);
        }
    }
    buffer.advance(length);
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything, given in pieces of so many bytes: the data, the trailers, and what is left.
    fn read(mut reader: BodyReader, text: &str, step: usize) -> Result<(String, Option<HeaderMap>, String), Malformed> {
        let (mut buffer, mut data) = (BytesMut::new(), Vec::new());
        let mut rest = text.as_bytes().chunks(step);
        loop {
            match reader.next(&mut buffer)? {
                Piece::Data(piece) => data.extend_from_slice(&piece),
                Piece::Incomplete => match rest.next() {
                    Some(more) => buffer.extend_from_slice(more),
                    None => return Ok((String::from_utf8(data).unwrap(), None, "incomplete".to_owned())),
                },
                end => {
                    rest.for_each(|more| buffer.extend_from_slice(more));
                    let trailers = if let Piece::Trailers(trailers) = end { Some(trailers) } else { None };
                    return Ok((String::from_utf8(data).unwrap(), trailers, String::from_utf8(buffer.to_vec()).unwrap()));
                }
            }
        }
    }

    #[test]
    fn bodies_end_where_they_say() {
        for step in 1..40 {
            let is = |reader, text, data: &str, left: &str| {
                assert_eq!(read(reader, text, step), Ok((data.to_owned(), None, left.to_owned())), "{text:?} by {step}");
            };
            is(BodyReader::none(), "more", "", "more");
            is(BodyReader::length(4), "dataHTTP", "data", "HTTP");
            is(BodyReader::length(9), "data", "data", "incomplete");
            is(BodyReader::until_close(), "all of it", "all of it", "incomplete");
            is(BodyReader::chunked(), "4\r\ndata\r\n00a;x=y\r\n0123456789\r\n0\r\n\r\nHTTP", "data0123456789", "HTTP");
            is(BodyReader::chunked(), "4  \r\ndata\r\n0 \r\n\r\n", "data", "");
            is(BodyReader::chunked(), "4\r\nda", "da", "incomplete");
            let (data, trailers, left) =
                read(BodyReader::chunked(), "1\r\nx\r\n0\r\nA: b\r\nHost: x\r\nC:d\r\n\r\nHTTP", step).unwrap();
            let trailers = trailers.unwrap();
            assert_eq!(trailers.len(), 2);
            assert_eq!(
                (&*data, &trailers["a"], &trailers["c"], &*left),
                ("x", &"b".parse().unwrap(), &"d".parse().unwrap(), "HTTP")
            );
        }
    }

    #[test]
    fn a_chunk_that_is_none_is_an_error() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "0x1\r\nx\r\n",
            "1\nx",
            "1\r\nxy\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1 x\r\nx\r\n",
            "11111111111111111\r\n",
            "1;a\rb\r\nx\r\n",
            "0\r\nA b\r\n\r\n",
            &format!("1;{}", "a".repeat(LINE_LIMIT)),
            &format!("0\r\nA: {}", "a".repeat(TRAILERS_LIMIT)),
        ] {
            assert_eq!(read(BodyReader::chunked(), text, 7), Err(Malformed), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in "[0-9a-f;\r\n: x]{0,64}", step in 1_usize..9) {
            let _ = read(BodyReader::chunked(), &bytes, step);
        }
    }
}
