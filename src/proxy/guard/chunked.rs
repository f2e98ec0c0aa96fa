//! A strict reader of the chunked coding: the data in it, the trailer fields after it, or that it is malformed.
//!
//! Pure. Sizes have up to 16 hexadecimal digits; extensions are short and their bytes printable; trailer fields are read like
//! header fields, and those that would change the framing are refused.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::refusal::Refusal;
use super::characters::{is_text, is_token};

/// Bytes of one chunk's extensions.
const EXTENSION_LIMIT: u32 = 256;

/// Bytes of all extensions of a body.
const EXTENSIONS_LIMIT: u32 = 4096;

/// Bytes of all trailer fields.
const TRAILERS_LIMIT: u32 = 8192;

/// Trailer fields that may not be.
const FORBIDDEN: [&str; 4] = ["content-length", "host", "transfer-encoding", "trailer"];

/// Where in the body the next byte is.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    state: State,
    size: u64,
    /// Digits of the size, or bytes of the extension, so far.
    count: u32,
    extensions: u32,
    /// Bytes of trailer fields so far.
    trailing: u32,
    /// Name and value of the trailer field that is being read.
    name: Vec<u8>,
    value: Vec<u8>,
    trailers: HeaderMap,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    Data(Bytes),
    /// The end, perhaps with fields.
    End(HeaderMap),
    /// More has to be read first.
    Incomplete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

impl ChunkReader {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            size: 0,
            count: 0,
            extensions: 0,
            trailing: 0,
            name: Vec::new(),
            value: Vec::new(),
            trailers: HeaderMap::new(),
        }
    }

    /// Takes the next piece off `buffer`.
    ///
    /// # Errors
    /// The coding is malformed.
    pub(crate) fn read(&mut self, buffer: &mut BytesMut) -> Result<Chunked, Refusal> {
        loop {
            if self.state == State::Data && !buffer.is_empty() {
                let here = buffer.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
                self.size -= here as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Chunked::Data(buffer.split_to(here).freeze()));
            }
            let Some(byte) = buffer.first().copied() else { return Ok(Chunked::Incomplete) };
            buffer.advance(1);
            if self.state == State::EndLf && byte == b'\n' {
                return Ok(Chunked::End(std::mem::take(&mut self.trailers)));
            }
            self.state = self.next(byte).ok_or(Refusal::BadRequest)?;
        }
    }

    fn next(&mut self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.count += 1;
                // A 17th digit could only be there to overflow.
                let digit = u64::from(char::from(byte).to_digit(16)?);
                self.size = if self.count <= 16 { self.size << 4 | digit } else { return None };
                // Room for a sum with what went before.
                (self.size < 1 << 60).then_some(State::Size)
            }
            (State::Size, b'\r') if self.count > 0 => Some(State::SizeLf),
            (State::Size, b';') if self.count > 0 => {
                self.count = 0;
                Some(State::Extension)
            }
            (State::Extension, b'\r') => Some(State::SizeLf),
            (State::Extension, byte) if is_text(byte) => {
                self.count += 1;
                self.extensions += 1;
                (self.count <= EXTENSION_LIMIT && self.extensions <= EXTENSIONS_LIMIT).then_some(State::Extension)
            }
            (State::SizeLf, b'\n') => {
                self.count = 0;
                Some(if self.size == 0 { State::Trailer } else { State::Data })
            }
            (State::DataCr, b'\r') => Some(State::DataLf),
            (State::DataLf, b'\n') => Some(State::Size),
            (State::Trailer, b'\r') => Some(State::EndLf),
            (State::Trailer | State::TrailerName, byte) if is_token(byte) => {
                self.name.push(byte.to_ascii_lowercase());
                self.trailer(State::TrailerName)
            }
            (State::TrailerName, b':') => {
                let allowed = !FORBIDDEN.iter().any(|name| name.as_bytes() == self.name);
                if allowed { self.trailer(State::TrailerValue) } else { None }
            }
            (State::TrailerValue, b'\r') => Some(State::TrailerLf),
            (State::TrailerValue, byte) if is_text(byte) => {
                self.value.push(byte);
                self.trailer(State::TrailerValue)
            }
            (State::TrailerLf, b'\n') => {
                let (name, value) = (HeaderName::from_bytes(&self.name).ok()?, self.value.trim_ascii());
                self.trailers.append(name, HeaderValue::from_bytes(value).ok()?);
                (self.name, self.value) = (Vec::new(), Vec::new());
                Some(State::Trailer)
            }
            _ => None,
        }
    }

    fn trailer(&mut self, state: State) -> Option<State> {
        self.trailing += 1;
        (self.trailing <= TRAILERS_LIMIT).then_some(state)
    }
}
