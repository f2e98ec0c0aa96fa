//! The record of every call: who asked what of which account and region, and what came of it.
//!
//! A ring behind one lock; `journal/entry.rs` is what one call leaves behind, `journal/filter.rs` picks calls. Written before the caller sees
//! the answer, so a test that acts on an entry acts before the caller can; and while the call still holds its account's state, so that
//! the entries of an account in a region stand in the order of their calls' effects. `server/journal.rs` serves it over HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

mod entry;
mod filter;

pub(crate) use entry::is_write;
pub use entry::{Entry, Outcome};
pub use filter::{Filter, OutcomeKind};

/// How many entries are kept; older ones are forgotten.
pub(crate) const CAPACITY: usize = 200_000;

/// How much text (parameters above all) the kept entries may hold: a single call can register a thousand targets.
pub(crate) const CAPACITY_BYTES: usize = 64 << 20;

/// The journal of an emulator or of a proxy. Clones share the same entries.
#[derive(Clone, Debug)]
pub struct Journal {
    ring: Arc<Mutex<Ring>>,
    next: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    dropped: u64,
    counts: BTreeMap<(String, String), Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    calls: u64,
    errors: u64,
    faults: u64,
}

/// How often an action was called since the start or the last [`Journal::clear`], whether its entries are still kept or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionCount {
    /// `elasticloadbalancing`, `ec2` or another name of a credential scope.
    pub service: String,
    /// The action, for example `CreateLoadBalancer`.
    pub action: String,
    /// All calls.
    pub calls: u64,
    /// Those that were answered with an error, or not at all.
    pub errors: u64,
    /// Those that met with a fault on purpose.
    pub faults: u64,
}

/// What the journal holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Entries that can be read.
    pub kept: usize,
    /// Entries that are forgotten because the ring was full (200,000 entries, or 64 MiB of text).
    pub dropped: u64,
    /// The sequence number that the next call will get.
    pub next_sequence: u64,
    /// By service and action.
    pub actions: Vec<ActionCount>,
}

/// A piece of the journal, for readers that follow it.
pub(crate) struct Piece {
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Where to read on.
    pub(crate) next: u64,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { ring: Arc::default(), next: Arc::new(watch::Sender::new(1)) }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `entry`, giving it its sequence number. Secrets among its parameters are not kept.
    pub(crate) fn record(&self, mut entry: Entry) {
        entry.redact();
        let mut ring = self.lock();
        entry.sequence = *self.next.borrow();
        ring.push(entry);
        self.next.send_modify(|next| *next += 1);
    }

    /// All entries, oldest first (as many as are kept: the newest 200,000, and no more than 64 MiB of text).
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.since(0)
    }

    /// The entries with this sequence number or a later one, oldest first.
    #[must_use]
    pub fn since(&self, sequence: u64) -> Vec<Entry> {
        self.piece(sequence, usize::MAX).entries.iter().map(|entry| Entry::clone(entry)).collect()
    }

    /// The entries from `sequence` on that `filter` accepts, oldest first; the newest `limit` of them.
    #[must_use]
    pub fn select(&self, sequence: u64, filter: &Filter, limit: usize) -> Vec<Entry> {
        let entries = self.piece(sequence, usize::MAX).entries;
        let mut newest: Vec<Entry> =
            entries.iter().rev().filter(|entry| filter.accepts(entry)).take(limit).map(|entry| Entry::clone(entry)).collect();
        newest.reverse();
        newest
    }

    /// At most `size` entries from `sequence` on.
    pub(crate) fn piece(&self, sequence: u64, size: usize) -> Piece {
        let ring = self.lock();
        let from = ring.entries.partition_point(|entry| entry.sequence < sequence);
        let entries: Vec<Arc<Entry>> = ring.entries.iter().skip(from).take(size).map(Arc::clone).collect();
        let next = entries.last().map_or_else(|| sequence.max(*self.next.borrow()), |last| last.sequence + 1);
        Piece { entries, next }
    }

    /// The sequence number that the next call will get: remember it before an act, then ask [`Journal::since`] what the act caused.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        *self.next.borrow()
    }

    /// How much is kept, how much was dropped, and how often each action was called.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let ring = self.lock();
        let action = |((service, action), count): (&(String, String), &Count)| ActionCount {
            service: service.clone(),
            action: action.clone(),
            calls: count.calls,
            errors: count.errors,
            faults: count.faults,
        };
        Counts {
            kept: ring.entries.len(),
            dropped: ring.dropped,
            next_sequence: *self.next.borrow(),
            actions: ring.counts.iter().map(action).collect(),
        }
    }

    /// Forgets all entries and counts. Sequence numbers go on.
    pub fn clear(&self) {
        *self.lock() = Ring::default();
    }

    /// The first entry from sequence number `from` on that `predicate` accepts, waiting up to `timeout` for it to happen.
    pub async fn wait_for(&self, from: u64, predicate: impl Fn(&Entry) -> bool, timeout: Duration) -> Option<Entry> {
        self.collect(from, predicate, 1, timeout).await.into_iter().next()
    }

    /// The first `count` entries from sequence number `from` on that `filter` accepts, waiting up to `timeout` for them to happen. Fewer
    /// when the time ran out.
    pub async fn wait_for_calls(&self, from: u64, filter: &Filter, count: usize, timeout: Duration) -> Vec<Entry> {
        self.collect(from, |entry| filter.accepts(entry), count, timeout).await
    }

    async fn collect(&self, from: u64, accepts: impl Fn(&Entry) -> bool, count: usize, timeout: Duration) -> Vec<Entry> {
        let mut next = self.changes();
        let (mut from, mut found) = (from, Vec::new());
        let search = async {
            while found.len() < count {
                next.mark_unchanged();
                let piece = self.piece(from, usize::MAX);
                from = piece.next;
                let accepted = piece.entries.iter().filter(|entry| accepts(entry)).map(|entry| Entry::clone(entry));
                found.extend(accepted.take(count - found.len()));
                // The sender lives as long as `self`, so this only ever reports a new entry.
                if found.len() < count && next.changed().await.is_err() {
                    return;
                }
            }
        };
        // Out of time: what was found is the answer.
        let _ = tokio::time::timeout(timeout, search).await;
        found
    }

    /// Each [`watch::Receiver::changed`] means that there are new entries.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }
}

impl Ring {
    fn push(&mut self, entry: Entry) {
        let count = self.counts.entry((entry.service.clone(), entry.action.clone())).or_default();
        count.calls += 1;
        count.errors += u64::from(entry.result != Outcome::Ok);
        count.faults += u64::from(entry.fault.is_some());
        self.bytes += entry.size();
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > CAPACITY || (self.bytes > CAPACITY_BYTES && self.entries.len() > 1) {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.size();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests;
