//! A work queue of keys: what is due runs, a bounded number at once, and never one key twice at the same time.
//!
//! Changes are gathered for a moment (a burst is one run); a change during a run leads to one more run afterwards, so no
//! wake-up is lost; a key whose work fails is tried again with its own exponential back-off, which success forgets. Nothing
//! here knows what a key is. Imports `clock`; neighbour: [`super::watch`], whose changes become keys.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Instant};

/// How long changes of one key are gathered before it runs.
pub const DEBOUNCE: Duration = Duration::from_millis(100);

/// First delay after a failure.
const BACKOFF_BASE: Duration = Duration::from_millis(500);

/// Longest delay between two tries.
pub const BACKOFF_LIMIT: Duration = Duration::from_secs(300);

/// What a run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// Nothing: it runs again when something changes. Forgets earlier failures.
    Done,
    /// To run again after this long at the latest. Forgets earlier failures.
    After(Duration),
    /// To run again after the back-off: it failed.
    Backoff,
}

/// The queue; [`Queue::run`] consumes it.
pub struct Queue<T> {
    concurrency: usize,
    shared: Arc<Shared<T>>,
}

/// Puts keys into a queue; cheap to clone.
pub struct QueueHandle<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for QueueHandle<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<T> {
    debounce: Duration,
    schedule: Mutex<Schedule<T>>,
    changed: Notify,
}

impl<T> Shared<T> {
    /// A panic cannot leave the schedule half-changed: a poisoned lock is as good as another.
    fn schedule(&self) -> MutexGuard<'_, Schedule<T>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which key runs when. A key is in `due` exactly if it is wanted and not running.
struct Schedule<T> {
    due: BTreeSet<(Instant, T)>,
    keys: HashMap<T, Key>,
}

/// What is remembered of a key; dropped when there is nothing to remember.
#[derive(Default)]
struct Key {
    /// When it is wanted next. While it runs: wanted once more.
    wanted: Option<Instant>,
    running: bool,
    /// Delays of its failures in a row.
    backoff: Option<ExponentialBackoff>,
}

impl<T: Clone + Ord + Hash> Schedule<T> {
    /// Asks for a run at `at` at the latest.
    fn want(&mut self, key: T, at: Instant) {
        let entry = self.keys.entry(key.clone()).or_default();
        let earliest = entry.wanted.map_or(at, |wanted| wanted.min(at));
        let previous = entry.wanted.replace(earliest);
        if !entry.running {
            if let Some(previous) = previous {
                self.due.remove(&(previous, key.clone()));
            }
            self.due.insert((earliest, key));
        }
    }

    /// Takes the key that has been due longest and marks it as running, or says when the next one is due.
    fn take(&mut self, now: Instant) -> Result<T, Option<Instant>> {
        match self.due.first() {
            None => Err(None),
            Some((at, _)) if *at > now => Err(Some(*at)),
            Some(_) => {
                let (_, key) = self.due.pop_first().ok_or(None)?;
                let entry = self.keys.entry(key.clone()).or_default();
                entry.wanted = None;
                entry.running = true;
                Ok(key)
            }
        }
    }

    /// Notes the end of a run.
    fn finish(&mut self, key: &T, outcome: Requeue, now: Instant) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.running = false;
        let asked = match outcome {
            Requeue::Done => None,
            Requeue::After(delay) => Some(delay),
            Requeue::Backoff => Some(entry.backoff.get_or_insert_with(backoff).next().unwrap_or(BACKOFF_LIMIT)),
        };
        if outcome != Requeue::Backoff {
            entry.backoff = None;
        }
        let during_the_run = entry.wanted.take();
        for at in [during_the_run, asked.and_then(|delay| now.checked_add(delay))].into_iter().flatten() {
            self.want(key.clone(), at);
        }
        if self.keys.get(key).is_some_and(|entry| entry.wanted.is_none() && entry.backoff.is_none()) {
            self.keys.remove(key);
        }
    }
}

/// Doubling delays, each lengthened by up to its own length at random: at most [`BACKOFF_LIMIT`] in the end.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(BACKOFF_BASE)
        .with_factor(2.0)
        .with_max_delay(BACKOFF_LIMIT / 2)
        .with_jitter()
        .without_max_times()
        .build()
}

impl<T: Clone + Ord + Hash + Debug + Send + 'static> Queue<T> {
    /// An empty queue that runs at most `concurrency` keys at once (at least one).
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self::with_debounce(concurrency, DEBOUNCE)
    }

    /// Like [`Queue::new`], gathering changes for `debounce` instead of [`DEBOUNCE`].
    #[must_use]
    pub fn with_debounce(concurrency: usize, debounce: Duration) -> Self {
        let schedule = Mutex::new(Schedule { due: BTreeSet::new(), keys: HashMap::new() });
        Self { concurrency: concurrency.max(1), shared: Arc::new(Shared { debounce, schedule, changed: Notify::new() }) }
    }

    /// A way to put keys in, before or while it runs.
    #[must_use]
    pub fn handle(&self) -> QueueHandle<T> {
        QueueHandle { shared: self.shared.clone() }
    }

    /// Runs `work` for every key that is due until `shutdown`; then starts nothing more and waits for what is running.
    ///
    /// Each run is a task of its own: a panic is logged and counts as a failure of that key alone.
    pub async fn run<F, Fut>(self, shutdown: CancellationToken, work: F)
    where
        F: Fn(T) -> Fut,
        Fut: Future<Output = Requeue> + Send + 'static,
    {
        let mut running = JoinSet::new();
        loop {
            let next = self.start_due(&mut running, &work);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = running.join_next() => self.finish(ended),
                () = self.shared.changed.notified() => {}
                () = tokio::time::sleep_until(next.unwrap_or_else(clock::now)), if next.is_some() => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            self.finish(ended);
        }
    }

    /// Starts what is due, as far as the concurrency allows, and returns when there will be more to start.
    fn start_due<F, Fut>(&self, running: &mut JoinSet<(T, Requeue)>, work: &F) -> Option<Instant>
    where
        F: Fn(T) -> Fut,
        Fut: Future<Output = Requeue> + Send + 'static,
    {
        while running.len() < self.concurrency {
            let taken = self.shared.schedule().take(clock::now());
            match taken {
                Ok(key) => {
                    let run = AssertUnwindSafe(work(key.clone())).catch_unwind();
                    running.spawn(async move {
                        let outcome = run.await.unwrap_or_else(|_| {
                            tracing::error!(?key, "work panicked, trying again with back-off");
                            Requeue::Backoff
                        });
                        (key, outcome)
                    });
                }
                Err(next) => return next,
            }
        }
        None
    }

    /// Runs are never cancelled and their panics are caught, so there always is an answer.
    fn finish(&self, ended: Result<(T, Requeue), tokio::task::JoinError>) {
        match ended {
            Ok((key, outcome)) => self.shared.schedule().finish(&key, outcome, clock::now()),
            Err(error) => tracing::error!(%error, "a run ended without an answer"),
        }
    }
}

impl<T: Clone + Ord + Hash> QueueHandle<T> {
    /// Asks for a run soon: after the debounce time, or when a free place is found. Shortens a back-off.
    pub fn enqueue(&self, key: T) {
        self.enqueue_after(key, self.shared.debounce);
    }

    /// Asks for a run after `delay` at the latest. Any run in between counts: what is still wanted then is for that run to say.
    pub fn enqueue_after(&self, key: T, delay: Duration) {
        // A delay beyond the end of time asks for nothing.
        if let Some(at) = clock::now().checked_add(delay) {
            self.shared.schedule().want(key, at);
            self.shared.changed.notify_one();
        }
    }

    /// Keys that are due and wait for a free place, or for the end of their own run.
    #[must_use]
    pub fn depth(&self) -> usize {
        let now = clock::now();
        self.shared.schedule().keys.values().filter(|key| key.wanted.is_some_and(|at| at <= now)).count()
    }
}

#[cfg(test)]
mod tests;
