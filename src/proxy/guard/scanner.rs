//! Follows a client's byte stream from message to message and says how far it may be believed.
//!
//! Pure: head after head by [`HeadReader`], body after body by their framing.

use super::super::refusal::Refusal;
use super::chunked::ChunkReader;
use super::head::{Framing, Head, HeadReader, Limits};

/// Reads a stream of requests.
#[derive(Debug)]
pub(crate) struct Scanner {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(HeadReader),
    Length(u64),
    Chunked(Box<ChunkReader>),
    /// After a request to change the protocol, until it is known whether that happens.
    Undecided,
    /// Another protocol: everything passes.
    Tunnel,
}

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A complete head, and so many bytes of it.
    Head(Head),
    /// So many bytes of a body, or of another protocol.
    Body(usize),
    /// The start of a head, or nothing: more bytes are needed.
    Incomplete,
    /// After a request to change the protocol: [`Scanner::decide`] first.
    Undecided,
}

/// Where in the stream the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before or in a head.
    Head,
    /// In a body.
    Body,
    /// After a head that asks for another protocol.
    Undecided,
    /// In another protocol.
    Tunnel,
}

impl Scanner {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: State::Head(HeadReader::default()) }
    }

    pub(crate) fn place(&self) -> Place {
        match self.state {
            State::Head(_) => Place::Head,
            State::Length(_) | State::Chunked(_) => Place::Body,
            State::Undecided => Place::Undecided,
            State::Tunnel => Place::Tunnel,
        }
    }

    /// Takes the next piece off `bytes`; those of an incomplete head have to be there again, with more, the next time.
    ///
    /// # Errors
    /// The stream ends here: nothing after this can be believed.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Piece, Refusal> {
        if bytes.is_empty() {
            return Ok(Piece::Incomplete);
        }
        match &mut self.state {
            State::Head(reader) => {
                let Some(head) = reader.read(bytes, &self.limits)? else { return Ok(Piece::Incomplete) };
                self.state = match head.framing {
                    _ if head.upgrade => State::Undecided,
                    Framing::Length(0) => State::Head(HeadReader::default()),
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(Box::new(ChunkReader::new())),
                };
                Ok(Piece::Head(head))
            }
            State::Length(rest) => {
                let here = bytes.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                *rest -= here as u64;
                if *rest == 0 {
                    self.state = State::Head(HeadReader::default());
                }
                Ok(Piece::Body(here))
            }
            State::Chunked(reader) => {
                let (here, ended) = reader.read(bytes)?;
                if ended {
                    self.state = State::Head(HeadReader::default());
                }
                Ok(Piece::Body(here))
            }
            State::Undecided => Ok(Piece::Undecided),
            State::Tunnel => Ok(Piece::Body(bytes.len())),
        }
    }

    /// Whether the protocol changes.
    pub(crate) fn decide(&mut self, changes: bool) {
        if matches!(self.state, State::Undecided) {
            self.state = if changes { State::Tunnel } else { State::Head(HeadReader::default()) };
        }
    }
}
