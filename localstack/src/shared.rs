//! What all parts of a running emulator share: the accounts, the clock, the journal, the faults, the durations.
//!
//! The one place where an account's lock is taken: time is settled first, and prober and data plane are told afterwards. No lock is ever
//! held over an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::durations::Durations;
use crate::faults::Faults;
use crate::ids::Ids;
use crate::journal::Journal;
use crate::model::{Place, State};

/// The parts of a running emulator.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
    durations: Mutex<Durations>,
    accounts: Mutex<Accounts>,
    request_ids: Mutex<Ids>,
    /// Counts what the prober has to look at: new timers, checks that fell due.
    timers: watch::Sender<u64>,
    /// Counts what the data plane has to look at.
    routes: watch::Sender<u64>,
    seed: u64,
}

/// States by account and region.
type Accounts = BTreeMap<(String, String), Arc<Mutex<State>>>;

/// A lock that a panicking holder has not made useless: every change of a state is complete or has not begun.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(durations: Durations, seed: u64) -> Self {
        Self {
            clock: Clock::new(),
            journal: Journal::new(),
            faults: Faults::default(),
            durations: Mutex::new(durations),
            accounts: Mutex::default(),
            request_ids: Mutex::new(Ids::new(seed, "server")),
            timers: watch::Sender::new(0),
            routes: watch::Sender::new(0),
            seed,
        }
    }

    pub(crate) fn durations(&self) -> Durations {
        *lock(&self.durations)
    }

    pub(crate) fn set_durations(&self, durations: Durations) {
        *lock(&self.durations) = durations;
    }

    pub(crate) fn request_id(&self) -> String {
        lock(&self.request_ids).uuid()
    }

    /// The state of an account in a region, made empty at first use.
    pub(crate) fn account(&self, account: &str, region: &str) -> Arc<Mutex<State>> {
        let mut accounts = lock(&self.accounts);
        let key = (account.to_owned(), region.to_owned());
        let fresh = || {
            let place = Place { account: account.to_owned(), region: region.to_owned() };
            Arc::new(Mutex::new(State::new(place, self.seed)))
        };
        Arc::clone(accounts.entry(key).or_insert_with(fresh))
    }

    /// All accounts that were ever used.
    pub(crate) fn accounts(&self) -> Vec<Arc<Mutex<State>>> {
        lock(&self.accounts).values().map(Arc::clone).collect()
    }

    /// Works on a state in the present: what was due has happened before, whoever has to look is told afterwards.
    pub(crate) fn with<R>(&self, state: &Mutex<State>, work: impl FnOnce(&mut State, Timestamp, &Durations) -> R) -> R {
        let durations = self.durations();
        let mut state = lock(state);
        // Read under the lock: time must not run backwards between two calls on one account.
        let now = self.clock.now();
        state.settle(now);
        let result = work(&mut state, now, &durations);
        let (timers, routes) = (state.timers.take_changed() || !state.checks.is_empty(), std::mem::take(&mut state.dirty));
        drop(state);
        for (changed, sender) in [(timers, &self.timers), (routes, &self.routes)] {
            if changed {
                sender.send_modify(|count| *count += 1);
            }
        }
        result
    }

    /// Each [`watch::Receiver::changed`] means that the prober has to look at some account.
    pub(crate) fn timer_changes(&self) -> watch::Receiver<u64> {
        self.timers.subscribe()
    }

    /// Each [`watch::Receiver::changed`] means that the data plane has to look at some account.
    pub(crate) fn route_changes(&self) -> watch::Receiver<u64> {
        self.routes.subscribe()
    }
}
