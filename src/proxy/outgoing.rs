//! An HTTP/1.1 message on its way out: its head, then its body as it comes.
//!
//! Requests to endpoints and responses to clients are written alike. What is small leaves together, in one write.

use std::fmt::Display;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::HeaderName;
use hyper::body::{Body, Frame};
use tokio::io::AsyncWrite;

/// Pieces of a body up to so many bytes are copied behind what goes before them: one buffer is cheaper to write than two.
const SMALL: usize = 4 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Outgoing<B> {
    /// The head; later what frames the pieces of the body.
    text: Vec<u8>,
    /// Of `text`, so many bytes are written.
    written: usize,
    /// A piece of the body, behind `text`, and what ends it.
    piece: Bytes,
    end: &'static [u8],
    body: B,
    coding: Coding,
    /// Trailer fields that the head announces; others could be taken for what they are not (RFC 9110 §6.5.1).
    announced: Vec<HeaderName>,
    /// A byte was written.
    begun: bool,
    /// The connection takes no more.
    broken: bool,
}

/// How the receiver is told where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    /// By the end of the connection.
    UntilClose,
    /// There is none, or everything of it is in the writer's hands.
    Ended,
}

/// Why a message did not get to its receiver.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The connection broke.
    Connection(io::Error),
    /// The body did not come to its end; why is known to whom it belongs.
    Body,
}

impl<B> Outgoing<B> {
    /// `head`: everything up to the body. `announced`: trailer fields that it names.
    pub(crate) fn new(head: Vec<u8>, body: B, coding: Coding, announced: Vec<HeaderName>) -> Self {
        Self { text: head, written: 0, piece: Bytes::new(), end: b"", body, coding, announced, begun: false, broken: false }
    }

    /// The receiver cannot have seen anything of it.
    pub(crate) fn is_unsent(&self) -> bool {
        !self.begun
    }

    /// Everything is written.
    pub(crate) fn is_done(&self) -> bool {
        self.coding == Coding::Ended && self.is_flushed()
    }

    /// From the start again: possible as long as there is no body.
    pub(crate) fn rewind(&mut self) {
        (self.written, self.begun, self.broken) = (0, false, false);
    }

    /// Everything that has come of it is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.written == self.text.len() && self.piece.is_empty() && self.end.is_empty()
    }

    /// The room that the head took, for another: only once everything is written.
    pub(crate) fn take_room(&mut self) -> Vec<u8> {
        self.written = 0;
        std::mem::take(&mut self.text)
    }
}

impl<B> Outgoing<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    /// Writes on. Ready once everything is written, or when nothing more can be, which is told once.
    pub(crate) fn poll<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<Result<(), Unwritten>>
    where
        S: AsyncWrite + Unpin,
    {
        if self.broken {
            return Poll::Pending;
        }
        loop {
            let mut waiting = false;
            // The first piece leaves together with the head.
            if self.coding != Coding::Ended && self.piece.is_empty() && self.end.is_empty() {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(frame) => self.take(frame)?,
                    Poll::Pending => waiting = true,
                }
            }
            while !self.is_flushed() {
                if let Err(error) = ready!(self.write(cx, stream)) {
                    self.broken = true;
                    return Poll::Ready(Err(Unwritten::Connection(error)));
                }
            }
            if self.coding == Coding::Ended {
                return Poll::Ready(Ok(()));
            }
            self.text.clear();
            self.written = 0;
            if waiting {
                return Poll::Pending;
            }
        }
    }

    fn write<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>> {
        let text = self.text.get(self.written..).unwrap_or_default();
        let count = if self.piece.is_empty() && self.end.is_empty() {
            ready!(Pin::new(stream).poll_write(cx, text))?
        } else {
            let slices = [IoSlice::new(text), IoSlice::new(&self.piece), IoSlice::new(self.end)];
            ready!(Pin::new(stream).poll_write_vectored(cx, &slices))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.begun = true;
        let (here, count) = split(count, text.len());
        self.written += here;
        let (here, count) = split(count, self.piece.len());
        self.piece.advance(here);
        self.end = self.end.get(count..).unwrap_or_default();
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, B::Error>>) -> Result<(), Unwritten> {
        let Some(frame) = frame.transpose().map_err(|error| {
            tracing::debug!(%error, "a message ends early");
            Unwritten::Body
        })?
        else {
            return self.finish(&HeaderMap::new());
        };
        match frame.into_data() {
            Ok(data) => self.data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => self.finish(&trailers),
                Err(_) => Ok(()),
            },
        }
    }

    fn data(&mut self, data: Bytes) -> Result<(), Unwritten> {
        if data.is_empty() {
            return Ok(());
        }
        let mut end: &'static [u8] = b"";
        match &mut self.coding {
            Coding::Length(rest) => {
                *rest = rest.checked_sub(data.len() as u64).ok_or(Unwritten::Body)?;
                if *rest == 0 {
                    self.coding = Coding::Ended;
                }
            }
            Coding::Chunked => {
                // Writing to memory does not fail.
                let _ = write!(self.text, "{:x}\r\n", data.len());
                end = b"\r\n";
            }
            Coding::UntilClose => {}
            Coding::Ended => return Err(Unwritten::Body),
        }
        if data.len() <= SMALL {
            self.text.extend_from_slice(&data);
            self.text.extend_from_slice(end);
        } else {
            (self.piece, self.end) = (data, end);
        }
        Ok(())
    }

    fn finish(&mut self, trailers: &HeaderMap) -> Result<(), Unwritten> {
        match self.coding {
            Coding::Ended | Coding::UntilClose => {}
            // Shorter than announced.
            Coding::Length(_) => return Err(Unwritten::Body),
            Coding::Chunked => {
                self.text.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.iter().filter(|(name, _)| self.announced.contains(name)) {
                    field(&mut self.text, name.as_str(), value.as_bytes());
                }
                self.text.extend_from_slice(b"\r\n");
            }
        }
        self.coding = Coding::Ended;
        Ok(())
    }
}

/// Adds a header field to a head.
pub(crate) fn field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// How much of `count` falls on the first `length`, and the rest.
fn split(count: usize, length: usize) -> (usize, usize) {
    let here = count.min(length);
    (here, count - here)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_request_without_a_body_is_written_in_pieces_and_again() {
        let head = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        let mut request = Outgoing::new(head, Empty::<Bytes>::new(), Coding::Ended, Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            let (mut ours, mut theirs) = duplex(5);
            let mut seen = Vec::new();
            assert!(request.is_unsent());
            while request.poll(&mut cx, &mut ours).is_pending() {
                assert!(!request.is_unsent() && !request.is_done());
                theirs.read_buf(&mut seen).await.unwrap();
            }
            drop(ours);
            theirs.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen, b"GET / HTTP/1.1\r\n\r\n");
            assert!(request.is_done());
            request.rewind();
        }
    }

    #[tokio::test]
    async fn a_connection_that_takes_nothing_is_told_once() {
        let mut request = Outgoing::new(b"GET / HTTP/1.1\r\n\r\n".to_vec(), Empty::<Bytes>::new(), Coding::Ended, Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        let (mut ours, theirs) = duplex(5);
        drop(theirs);
        assert!(matches!(request.poll(&mut cx, &mut ours), Poll::Ready(Err(Unwritten::Connection(_)))));
        assert!(request.poll(&mut cx, &mut ours).is_pending() && request.is_unsent() && !request.is_done());
    }
}
