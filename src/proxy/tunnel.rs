//! Two byte streams joined to one, after a change of protocol (websockets).

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::timers::Timers;

/// Bytes on their way in one direction at most.
const BUFFER: usize = 16 * 1024;

/// One direction.
#[derive(Debug)]
struct Flow {
    buffer: Vec<u8>,
    start: usize,
    /// Bytes that went through.
    total: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended; what is buffered is written still.
    Draining,
    Done,
}

impl Flow {
    fn new(first: Vec<u8>) -> Self {
        Self { buffer: first, start: 0, total: 0, state: State::Open }
    }

    /// Moves what can be moved. Ready once the end of `from` has reached `to`.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W, moved: &mut bool) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            if !rest.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += count;
                self.total += count as u64;
                *moved = true;
                continue;
            }
            match self.state {
                State::Open => {}
                State::Draining => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Done;
                    return Poll::Ready(Ok(()));
                }
                State::Done => return Poll::Ready(Ok(())),
            }
            self.start = 0;
            self.buffer.resize(BUFFER, 0);
            let mut buffer = ReadBuf::new(&mut self.buffer);
            let read = Pin::new(&mut *from).poll_read(cx, &mut buffer)?;
            let count = buffer.filled().len();
            self.buffer.truncate(count);
            if read.is_pending() {
                // An idle tunnel holds no buffer.
                self.buffer = Vec::new();
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                return Poll::Pending;
            }
            if count == 0 {
                self.state = State::Draining;
            }
        }
    }
}

/// Bytes that went each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Transferred {
    /// From the first stream to the second.
    pub up: u64,
    /// From the second to the first.
    pub down: u64,
}

/// Carries bytes both ways until both ends have closed, one fails, or neither sends anything for `idle`. `first` goes to
/// each before anything else: what had been read from the other already.
pub(super) async fn join<A, B>(timers: &Rc<Timers>, a: (A, Vec<u8>), b: (B, Vec<u8>), idle: Duration) -> Transferred
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let ((mut a, from_a), (mut b, from_b)) = (a, b);
    let (mut up, mut down) = (Flow::new(from_a), Flow::new(from_b));
    let timer = timers.timer();
    timer.set_after(idle);
    std::future::poll_fn(|cx| {
        let mut moved = false;
        let flows = [up.poll(cx, &mut a, &mut b, &mut moved), down.poll(cx, &mut b, &mut a, &mut moved)];
        if moved {
            timer.set_after(idle);
        }
        if flows.iter().any(|flow| matches!(flow, Poll::Ready(Err(_)))) || flows.iter().all(Poll::is_ready) {
            return Poll::Ready(());
        }
        timer.poll(cx)
    })
    .await;
    Transferred { up: up.total, down: down.total }
}
