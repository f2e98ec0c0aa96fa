//! Collects the small writes of an HTTP/2 connection until its turn ends.
//!
//! h2 writes and flushes each DATA frame on its own: with TLS, a record and a system call for each small response. Here
//! [`Corked`] (given to h2) only gathers, and the connection's driver calls [`Cork::flush`] after h2 has had its turn:
//! what several streams wrote in one turn leaves in one write. Large writes pass by without being copied.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::Buffers;

/// Writes of so many bytes are not copied.
const LARGE: usize = 8 * 1024;

/// Room asked for at first: what a turn with some small responses writes.
const ROOM: usize = 32 * 1024;

/// Bytes that are gathered at most.
const LIMIT: usize = 64 * 1024;

/// Slices of one write: those of a frame of h2, and what was gathered.
const SLICES: usize = 8;

/// The driver's end.
#[derive(Debug)]
pub(super) struct Cork<S>(Rc<RefCell<Gathered<S>>>);

/// h2's end.
#[derive(Debug)]
pub(super) struct Corked<S>(Rc<RefCell<Gathered<S>>>);

#[derive(Debug)]
struct Gathered<S> {
    stream: S,
    bytes: BytesMut,
    buffers: Rc<Buffers>,
}

/// Both ends around a stream.
pub(super) fn cork<S>(stream: S, buffers: &Rc<Buffers>) -> (Cork<S>, Corked<S>) {
    let gathered = Gathered { stream, bytes: BytesMut::new(), buffers: Rc::clone(buffers) };
    let shared = Rc::new(RefCell::new(gathered));
    (Cork(Rc::clone(&shared)), Corked(shared))
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    /// Writes what was gathered. Pending: the peer does not take it now; wakes when it does.
    pub(super) fn flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.0.borrow_mut();
        if gathered.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        gathered.drain(cx)
    }
}

impl<S> Cork<S> {
    /// Nothing is to be written for a while: an idle connection keeps no buffer.
    pub(super) fn rest(&self) {
        let mut gathered = self.0.borrow_mut();
        if gathered.bytes.is_empty() && gathered.bytes.capacity() > 0 {
            let buffer = std::mem::take(&mut gathered.bytes);
            gathered.buffers.give(buffer);
        }
    }
}

impl<S> Gathered<S> {
    fn gather<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) -> usize {
        let before = self.bytes.len();
        if self.bytes.capacity() == 0 {
            self.bytes = self.buffers.take(ROOM);
        }
        slices.for_each(|slice| self.bytes.extend_from_slice(slice));
        self.bytes.len() - before
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Writes what was gathered, and has it sent.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(count);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length < LARGE {
            if self.bytes.len() + length > LIMIT {
                ready!(self.drain(cx))?;
            }
            return Poll::Ready(Ok(self.gather(slices.iter().map(|slice| &**slice))));
        }
        loop {
            let held = self.bytes.len();
            let mut all = [IoSlice::new(&[]); SLICES];
            let given = std::iter::once(IoSlice::new(&self.bytes)).chain(slices.iter().copied());
            all.iter_mut().zip(given).for_each(|(place, slice)| *place = slice);
            let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &all))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(count.min(held));
            if count > held {
                return Poll::Ready(Ok(count - held));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The driver flushes what was gathered; what passed by has to be sent still, if the stream gathers too (TLS).
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.0.borrow_mut();
        if gathered.bytes.is_empty() { Pin::new(&mut gathered.stream).poll_flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.0.borrow_mut();
        ready!(gathered.drain(cx))?;
        Pin::new(&mut gathered.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncReadExt;

    use super::*;

    fn now<T>(poll: Poll<io::Result<T>>) -> T {
        match poll {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => panic!("pending"),
        }
    }

    #[tokio::test]
    async fn small_writes_leave_together_and_large_ones_at_once() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (cork, mut corked) = cork(ours, &Buffers::new());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert_eq!(now(Pin::new(&mut corked).poll_write(&mut cx, b"small")), 5);
            now(Pin::new(&mut corked).poll_flush(&mut cx));
        }
        let mut buf = [0; 64];
        let mut read = ReadBuf::new(&mut buf);
        assert!(Pin::new(&mut theirs).poll_read(&mut cx, &mut read).is_pending(), "nothing leaves before the turn ends");
        now(cork.flush(&mut cx));
        now(Pin::new(&mut theirs).poll_read(&mut cx, &mut read));
        assert_eq!(read.filled(), b"smallsmallsmall");

        now(Pin::new(&mut corked).poll_write(&mut cx, b"head"));
        let large = vec![7; LARGE];
        let count = now(Pin::new(&mut corked).poll_write_vectored(&mut cx, &[IoSlice::new(b"frame"), IoSlice::new(&large)]));
        assert!(count > 0, "without a flush");
        let mut start = [0; 5];
        theirs.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"headf", "what was gathered before leaves before");
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_stops_the_gathering() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let (cork, mut corked) = cork(ours, &Buffers::new());
        let mut cx = Context::from_waker(Waker::noop());
        let some = vec![1; LARGE - 1];
        let mut gathered = 0;
        while let Poll::Ready(count) = Pin::new(&mut corked).poll_write(&mut cx, &some) {
            gathered += count.unwrap();
            assert!(gathered <= LIMIT + some.len(), "it is bounded");
        }
        assert!(cork.flush(&mut cx).is_pending());
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all.len()
        });
        std::future::poll_fn(|cx| Pin::new(&mut corked).poll_shutdown(cx)).await.unwrap();
        drop((cork, corked));
        assert_eq!(reader.await.unwrap(), gathered);
    }
}
