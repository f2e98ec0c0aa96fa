//! Follows a client's byte stream from message to message and takes the requests and bodies out of it that can be believed.
//!
//! Pure: head after head by [`HeadReader`], body after body by their framing.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};

use super::super::refusal::Refusal;
use super::chunked::{ChunkReader, Chunked};
use super::head::{Framing, Head, HeadReader, Limits};

/// Reads a stream of requests.
#[derive(Debug)]
pub(crate) struct Scanner {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// With what was read of an incomplete one; boxed, so that a connection holds little between two requests.
    Head(Option<Box<HeadReader>>),
    Length(u64),
    Chunked(Box<ChunkReader>),
}

/// What stands at the start of the stream.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A request without its body.
    Head(Head, Request<()>),
    /// A part of its body.
    Data(Bytes),
    /// The end of its body, and fields after it. A body that has a length ends with its last part.
    End(HeaderMap),
    /// More bytes are needed.
    Incomplete,
}

impl Scanner {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: State::Head(None) }
    }

    /// The next byte belongs to a body.
    pub(crate) fn is_in_body(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// Bytes of the body that are still to come, if that is known.
    pub(crate) fn rest(&self) -> Option<u64> {
        match self.state {
            State::Head(_) => Some(0),
            State::Length(rest) => Some(rest),
            State::Chunked(_) => None,
        }
    }

    /// Takes the next piece off `buffer`; an incomplete head stays in it, and has to be there again, with more, the next time.
    ///
    /// # Errors
    /// The stream ends here: nothing after this can be believed.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Refusal> {
        if buffer.is_empty() {
            return Ok(Piece::Incomplete);
        }
        match &mut self.state {
            State::Head(kept) => {
                let mut reader = kept.take().map_or_else(HeadReader::default, |kept| *kept);
                let Some(head) = reader.read(buffer, &self.limits)? else {
                    *kept = Some(Box::new(reader));
                    return Ok(Piece::Incomplete);
                };
                let request = reader.request(&buffer.split_to(head.length).freeze())?;
                self.state = match head.framing {
                    Framing::Length(0) => State::Head(None),
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(Box::new(ChunkReader::new())),
                };
                Ok(Piece::Head(head, request))
            }
            State::Length(rest) => {
                let here = buffer.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                *rest -= here as u64;
                if *rest == 0 {
                    self.state = State::Head(None);
                }
                Ok(Piece::Data(buffer.split_to(here).freeze()))
            }
            State::Chunked(reader) => Ok(match reader.read(buffer)? {
                Chunked::Data(data) => Piece::Data(data),
                Chunked::End(trailers) => {
                    self.state = State::Head(None);
                    Piece::End(trailers)
                }
                Chunked::Incomplete => Piece::Incomplete,
            }),
        }
    }
}
