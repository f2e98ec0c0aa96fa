//! Copies both directions of a connection until both have ended.
//!
//! Imports `activity`, `buffers`. Works on any stream; both directions run in one task, so nothing has to be split or locked.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::buffers::{self, Buffer};

/// Returns when each side has closed its direction and that was passed on to the other.
///
/// # Errors
/// When either side is broken: then nothing more can be delivered.
pub(super) async fn both_ways<A, B>(one: &mut A, other: &mut B, activity: &Activity) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Direction::default(), Direction::default());
    poll_fn(|context| {
        let there = there.poll(context, Pin::new(&mut *one), Pin::new(&mut *other), activity)?;
        let back = back.poll(context, Pin::new(&mut *other), Pin::new(&mut *one), activity)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

#[derive(Default)]
enum Direction {
    #[default]
    Reading,
    /// What was read, its length, and how much of it has been written.
    Writing(Buffer, usize, usize),
    Closing,
    Closed,
}

impl Direction {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        mut from: Pin<&mut (impl AsyncRead + ?Sized)>,
        mut to: Pin<&mut (impl AsyncWrite + ?Sized)>,
        activity: &Activity,
    ) -> Poll<io::Result<()>> {
        loop {
            match self {
                Self::Reading => {
                    let mut buffer = buffers::take();
                    let mut space = ReadBuf::new(&mut buffer);
                    let read = from.as_mut().poll_read(context, &mut space);
                    let length = space.filled().len();
                    match read {
                        Poll::Ready(Ok(())) if length > 0 => {
                            activity.touch();
                            *self = Self::Writing(buffer, length, 0);
                            continue;
                        }
                        Poll::Ready(Ok(())) => *self = Self::Closing,
                        // A TLS peer that closes without saying so has closed none the less.
                        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => *self = Self::Closing,
                        Poll::Ready(Err(error)) => {
                            buffers::give(buffer);
                            return Poll::Ready(Err(error));
                        }
                        Poll::Pending => {
                            buffers::give(buffer);
                            // Nothing more to come at the moment: what a TLS stream has put aside has to go.
                            ready!(to.as_mut().poll_flush(context))?;
                            return Poll::Pending;
                        }
                    }
                    buffers::give(buffer);
                }
                Self::Writing(buffer, length, written) => {
                    while let Some(rest) = buffer.get(*written..*length).filter(|rest| !rest.is_empty()) {
                        match ready!(to.as_mut().poll_write(context, rest))? {
                            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                            count => *written += count,
                        }
                    }
                    activity.touch();
                    if let Self::Writing(buffer, ..) = std::mem::take(self) {
                        buffers::give(buffer);
                    }
                }
                Self::Closing => {
                    ready!(to.as_mut().poll_shutdown(context))?;
                    *self = Self::Closed;
                }
                Self::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}
