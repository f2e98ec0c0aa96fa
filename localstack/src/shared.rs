//! What all parts of a running emulator share: the accounts, the clock, the journal, the faults, the durations.
//!
//! The one place where an account's lock is taken: time is settled first, and prober and data plane are told afterwards. No lock is ever
//! held over an await.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::dataplane::Capabilities;
use crate::durations::Durations;
use crate::faults::Faults;
use crate::ids::Ids;
use crate::journal::Journal;
use crate::model::certificates::{ServerCertificates, Uploads};
use crate::model::quotas::Quotas;
use crate::model::{Place, State};
use crate::policy::Enforcement;

/// The parts of a running emulator.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
    pub(crate) policy: Enforcement,
    /// What the data plane can do here, for those who ask; empty where none was started.
    pub(crate) capabilities: OnceLock<Capabilities>,
    durations: Mutex<Durations>,
    quotas: Mutex<Quotas>,
    accounts: Mutex<Accounts>,
    /// IAM's certificates, by account.
    server_certificates: Mutex<BTreeMap<String, ServerCertificates>>,
    request_ids: Mutex<Ids>,
    /// What was asked for and is not emulated, with how often.
    unsupported: Mutex<BTreeMap<String, u64>>,
    /// Counts what the prober has to look at: new timers, checks that fell due.
    timers: watch::Sender<u64>,
    /// Counts what the data plane has to look at.
    routes: watch::Sender<u64>,
    seed: AtomicU64,
}

/// Different things that were asked for and are not emulated: whoever sends nonsense must not fill the memory.
const MAX_UNSUPPORTED: usize = 1000;

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
            faults: Faults::new(seed),
            policy: Enforcement::default(),
            capabilities: OnceLock::new(),
            durations: Mutex::new(durations),
            quotas: Mutex::default(),
            accounts: Mutex::default(),
            server_certificates: Mutex::default(),
            unsupported: Mutex::default(),
            request_ids: Mutex::new(Ids::new(seed, "server")),
            timers: watch::Sender::new(0),
            routes: watch::Sender::new(0),
            seed: AtomicU64::new(seed),
        }
    }

    pub(crate) fn durations(&self) -> Durations {
        *lock(&self.durations)
    }

    pub(crate) fn set_durations(&self, durations: Durations) {
        *lock(&self.durations) = durations;
    }

    /// The quotas of accounts to come.
    pub(crate) fn quotas(&self) -> Quotas {
        *lock(&self.quotas)
    }

    /// Sets the quotas of every account and region, present and to come.
    pub(crate) fn set_quotas(&self, quotas: Quotas) {
        *lock(&self.quotas) = quotas;
        for state in self.accounts() {
            self.with(&state, |state, _, _| state.quotas = quotas);
        }
    }

    pub(crate) fn request_id(&self) -> String {
        lock(&self.request_ids).uuid()
    }

    /// Counts something that was asked for and is not emulated; beyond a thousand different things only those that are known.
    pub(crate) fn count_unsupported(&self, what: String) {
        let mut counts = lock(&self.unsupported);
        if counts.len() < MAX_UNSUPPORTED || counts.contains_key(&what) {
            *counts.entry(what).or_default() += 1;
        }
    }

    /// What was asked for and is not emulated, with how often.
    pub(crate) fn unsupported(&self) -> BTreeMap<String, u64> {
        lock(&self.unsupported).clone()
    }

    /// The state of an account in a region, made empty at first use.
    pub(crate) fn account(&self, account: &str, region: &str) -> Arc<Mutex<State>> {
        let mut accounts = lock(&self.accounts);
        let key = (account.to_owned(), region.to_owned());
        let fresh = || {
            let place = Place { account: account.to_owned(), region: region.to_owned() };
            let mut state = State::new(place, self.seed(), self.server_certificates_of(account));
            state.quotas = self.quotas();
            Arc::new(Mutex::new(state))
        };
        Arc::clone(accounts.entry(key).or_insert_with(fresh))
    }

    /// IAM's certificates of an account.
    pub(crate) fn server_certificates_of(&self, account: &str) -> ServerCertificates {
        lock(&self.server_certificates).entry(account.to_owned()).or_default().clone()
    }

    /// IAM's certificates of all accounts.
    pub(crate) fn server_certificates(&self) -> BTreeMap<String, ServerCertificates> {
        lock(&self.server_certificates).clone()
    }

    /// What identifiers of new accounts are derived from.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.load(Ordering::Relaxed)
    }

    /// Where request ids come from, to be saved.
    pub(crate) fn saved_request_ids(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(&*lock(&self.request_ids))
    }

    /// Empties every account, and takes identifiers from here on from this seed.
    pub(crate) fn begin_again(&self, seed: u64, request_ids: Ids) {
        self.seed.store(seed, Ordering::Relaxed);
        *lock(&self.request_ids) = request_ids;
        for certificates in self.server_certificates().into_values() {
            *certificates.lock() = Uploads::default();
        }
        for state in self.accounts() {
            self.with(&state, |state, _, _| {
                *state = State::new(state.place.clone(), seed, state.server_certificates.clone());
                state.quotas = self.quotas();
                state.dirty = true;
            });
        }
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
        state.remember(now, durations.longest_lag().max(self.faults.longest_lag()));
        state.settle(now);
        let result = work(&mut state, now, &durations);
        if state.dirty {
            state.share_certificate_uses();
        }
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
