//! The record of every call: who asked what of which account and region, and what came of it.
//!
//! Plain data behind one lock; imports nothing of the crate. `server/aws.rs` writes it before the caller sees the answer, so a test that
//! acts on an entry acts before the caller can.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::sync::watch;

/// How many entries are kept; older ones are forgotten.
const CAPACITY: usize = 200_000;

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Rises by one with each call, never reused, not even after [`Journal::clear`].
    pub sequence: u64,
    /// When the call arrived, on the emulator's clock.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// The 12-digit account.
    pub account: String,
    /// The region, for example `us-west-2`.
    pub region: String,
    /// The caller's `User-Agent`; `landfall-localstack/by-hand` for calls made through [`crate::Region::call`].
    pub user_agent: String,
    /// `elasticloadbalancing`, `ec2` or `sts`.
    pub service: String,
    /// The action, for example `CreateLoadBalancer`.
    pub action: String,
    /// All form fields but `Action` and `Version`.
    pub parameters: BTreeMap<String, String>,
    /// What the caller was told.
    pub result: Outcome,
    /// The fault that was injected, if any.
    pub fault: Option<String>,
    /// From the arrival of the call to its answer, injected delays included.
    #[serde(with = "crate::durations::seconds")]
    pub duration: Duration,
    /// Whether the action can change anything: its name does not begin with `Describe`, `Get` or `List`.
    pub write: bool,
    /// The request id of the answer.
    pub request_id: String,
}

/// What the caller of a call was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Success.
    Ok,
    /// An error with AWS's code and the HTTP status.
    Error {
        /// AWS's error code, empty for an answer that is not AWS's XML.
        code: String,
        /// HTTP status.
        status: u16,
    },
    /// Nothing: the connection was closed.
    Dropped,
}

/// The journal of an emulator. Clones share the same entries.
#[derive(Clone, Debug)]
pub struct Journal {
    entries: Arc<Mutex<VecDeque<Entry>>>,
    next: Arc<watch::Sender<u64>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { entries: Arc::default(), next: Arc::new(watch::Sender::new(1)) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `entry`, giving it its sequence number.
    pub(crate) fn record(&self, mut entry: Entry) {
        let mut entries = self.lock();
        entry.sequence = *self.next.borrow();
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(entry);
        self.next.send_modify(|next| *next += 1);
    }

    /// All entries, oldest first (the newest 200,000).
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.since(0)
    }

    /// The entries with this sequence number or a later one, oldest first.
    #[must_use]
    pub fn since(&self, sequence: u64) -> Vec<Entry> {
        let entries = self.lock();
        let from = entries.partition_point(|entry| entry.sequence < sequence);
        entries.iter().skip(from).cloned().collect()
    }

    /// The sequence number that the next call will get: remember it before an act, then ask [`Journal::since`] what the act caused.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        *self.next.borrow()
    }

    /// Forgets all entries. Sequence numbers go on.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The first entry from sequence number `from` on that `predicate` accepts, waiting up to `timeout` for it to happen.
    pub async fn wait_for(&self, from: u64, predicate: impl Fn(&Entry) -> bool, timeout: Duration) -> Option<Entry> {
        let mut next = self.next.subscribe();
        let mut from = from;
        let search = async {
            loop {
                let seen = *next.borrow_and_update();
                {
                    let entries = self.lock();
                    let start = entries.partition_point(|entry| entry.sequence < from);
                    if let Some(entry) = entries.iter().skip(start).find(|entry| predicate(entry)) {
                        return Some(entry.clone());
                    }
                }
                from = from.max(seen);
                if next.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(timeout, search).await.ok().flatten()
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Whether an action can change anything.
pub(crate) fn is_write(action: &str) -> bool {
    !["Describe", "Get", "List"].iter().any(|prefix| action.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: &str) -> Entry {
        Entry {
            sequence: 0,
            time: Timestamp::UNIX_EPOCH,
            account: "000000000000".to_owned(),
            region: "us-west-2".to_owned(),
            user_agent: "test".to_owned(),
            service: "ec2".to_owned(),
            action: action.to_owned(),
            parameters: BTreeMap::new(),
            result: Outcome::Ok,
            fault: None,
            duration: Duration::ZERO,
            write: is_write(action),
            request_id: String::new(),
        }
    }

    #[tokio::test]
    async fn waits_for_what_has_happened_and_for_what_will() {
        let journal = Journal::new();
        journal.record(entry("DescribeVpcs"));
        let from = journal.next_sequence();
        journal.record(entry("CreateTags"));
        let found = journal.wait_for(from, |entry| entry.write, Duration::from_secs(5)).await.unwrap();
        assert_eq!((found.sequence, found.action.as_str()), (2, "CreateTags"));
        let waiting = tokio::spawn({
            let journal = journal.clone();
            async move { journal.wait_for(1, |entry| entry.action == "DeleteTags", Duration::from_secs(5)).await }
        });
        tokio::task::yield_now().await;
        journal.record(entry("DeleteTags"));
        assert_eq!(waiting.await.unwrap().unwrap().sequence, 3);
        journal.clear();
        assert_eq!((journal.entries().len(), journal.next_sequence()), (0, 4));
        assert!(journal.wait_for(1, |_| true, Duration::from_millis(1)).await.is_none());
    }
}
