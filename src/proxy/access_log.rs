//! The access log: lines gathered by each worker, written by a thread.
//!
//! A worker hands over 64 KiB, or what it has every 250 ms. It never waits: if nobody takes the lines, they are dropped and
//! counted. [`line`] knows the format.

pub(super) mod line;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::date::EachSecond;
use super::metrics::Stats;
use crate::clock::{Instant, Timestamp};

/// Bytes that are handed over at once.
const BLOCK: usize = 64 * 1024;

/// Bytes of a line, usually at most.
const LINE: usize = 2048;

/// Longest time that a line is kept.
const KEEP: Duration = Duration::from_millis(250);

/// Blocks that wait for the writer at most.
const WAITING: usize = 64;

/// A worker's end.
#[derive(Debug)]
pub(super) struct AccessLog {
    out: Option<SyncSender<Vec<u8>>>,
    stats: Arc<Stats>,
    buffer: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    since: Cell<Option<Instant>>,
    /// `[$time_local]`.
    time: EachSecond<String>,
}

impl AccessLog {
    pub(super) fn new(out: Option<SyncSender<Vec<u8>>>, stats: Arc<Stats>) -> Self {
        Self {
            out,
            stats,
            buffer: RefCell::default(),
            lines: Cell::new(0),
            since: Cell::new(None),
            time: EachSecond::new(time_local),
        }
    }

    /// Whether anybody reads it.
    pub(super) fn is_on(&self) -> bool {
        self.out.is_some()
    }

    /// Adds a line: `write` appends it to the buffer, given `$time_local`.
    pub(super) fn add(&self, now: Instant, write: impl FnOnce(&mut Vec<u8>, &str)) {
        let mut buffer = self.buffer.borrow_mut();
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
        self.time.with(|time| write(&mut buffer, time));
        self.lines.set(self.lines.get() + 1);
        if buffer.len() >= BLOCK {
            drop(buffer);
            self.flush();
        }
    }

    /// Hands over what is old enough.
    pub(super) fn tick(&self, now: Instant) {
        self.time.tick();
        if self.since.get().is_some_and(|since| now.saturating_duration_since(since) >= KEEP) {
            self.flush();
        }
    }

    /// Hands over everything.
    pub(super) fn flush(&self) {
        self.since.set(None);
        let lines = self.lines.take();
        let Some(out) = &self.out else { return };
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            return;
        }
        // As large as it will be, unless this one stayed small: it is not grown step by step.
        let room = if buffer.len() >= BLOCK { BLOCK + LINE } else { buffer.len() };
        let block = std::mem::replace(&mut *buffer, Vec::with_capacity(room));
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = out.try_send(block) {
            self.stats.log_lost.add(lines);
        }
    }
}

/// `25/Nov/2026:20:39:00 +0000`, as nginx writes it in a container: in UTC.
fn time_local(time: Timestamp) -> String {
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

/// Starts the thread that writes what workers hand over, until the last of them is gone.
pub(super) fn writer(out: Box<dyn Write + Send>) -> std::io::Result<(SyncSender<Vec<u8>>, JoinHandle<()>)> {
    let (sender, blocks) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(out, &blocks))?;
    Ok((sender, thread))
}

fn write(mut out: Box<dyn Write + Send>, blocks: &Receiver<Vec<u8>>) {
    let mut failed = false;
    for block in blocks {
        let result = out.write_all(&block).and_then(|()| out.flush());
        // Once, not for each block: a log that cannot be written is no reason to fill another.
        if let Err(error) = &result
            && !failed
        {
            tracing::warn!(%error, "the access log cannot be written");
        }
        failed = result.is_err();
    }
}
