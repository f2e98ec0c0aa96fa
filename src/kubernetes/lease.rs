//! PURE: who may hold a lease, and until when the holder may rely on it. Neighbour: [`super::elect`] does what this decides.
//!
//! The rules are those of client-go's leader election. A lease runs out when its record has not changed for its duration
//! *as measured by the candidate itself*: no clock is ever compared with another machine's. The holder relies on it only for
//! the renew deadline, which is shorter, counted from before it sent its last successful renewal. So even when answers are
//! lost or late, the old holder has stopped before the next may start, as long as no clock runs
//! `lease_duration / renew_deadline` times faster than another.

use std::time::Duration;

use crate::clock::Instant;

/// Timings. The flags' validation guarantees `retry_period < renew_deadline < lease_duration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long others leave a silent holder alone.
    pub lease_duration: Duration,
    /// How long a holder relies on its last renewal.
    pub renew_deadline: Duration,
    /// Time between two renewals, and between two looks at somebody else's lease.
    pub retry_period: Duration,
}

/// What a `coordination.k8s.io/v1` Lease says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; `None` when it was released or never held.
    pub holder: Option<String>,
    /// How long the holder asked to be left alone.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i32,
    /// `metadata.resourceVersion`: another version is a sign of life of the holder, and writes are made against it.
    pub version: String,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is no lease: create it, held by us.
    Create,
    /// The lease is free or has run out: write it, held by us, against the version last seen.
    Acquire {
        /// Value of `leaseTransitions` to write.
        transitions: i32,
    },
    /// We hold it: write a new `renewTime`, against the version last seen.
    Renew,
    /// Look again after this long.
    Wait(Duration),
    /// We held it and may not rely on it any more: stop.
    Lost,
}

/// One process that wants the lease, and what it has seen so far.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    timings: Timings,
    /// The record last seen, and since when it has not changed.
    seen: Option<(LeaseRecord, Instant)>,
    /// Until when we may act as the holder.
    valid_until: Option<Instant>,
}

impl Candidate {
    /// A candidate that has seen nothing. `identity` must be unique among live processes.
    #[must_use]
    pub fn new(identity: impl Into<String>, timings: Timings) -> Self {
        Self { identity: identity.into(), timings, seen: None, valid_until: None }
    }

    /// Until when this process may act as the holder; `None` before it became one.
    #[must_use]
    pub fn valid_until(&self) -> Option<Instant> {
        self.valid_until
    }

    /// The record last seen.
    #[must_use]
    pub fn record(&self) -> Option<&LeaseRecord> {
        self.seen.as_ref().map(|(record, _)| record)
    }

    /// Notes what was read, at the time the answer *arrived*: measuring from later only waits longer.
    pub fn observe(&mut self, record: Option<LeaseRecord>, now: Instant) {
        match record {
            None => self.seen = None,
            Some(record) if self.record() != Some(&record) => self.seen = Some((record, now)),
            Some(_) => {}
        }
    }

    /// Notes that our write succeeded: `record` is what is stored now, `sent` is when we *began* to write.
    pub fn wrote(&mut self, record: LeaseRecord, sent: Instant, now: Instant) {
        self.valid_until = Some(sent + self.timings.renew_deadline);
        self.seen = Some((record, now));
    }

    /// What to do, given what was observed. To be asked right after [`Candidate::observe`], unless the lease is ours: then
    /// it may be renewed from what is known.
    #[must_use]
    pub fn decide(&self, now: Instant) -> Decision {
        let held_by_us = self.record().is_some_and(|record| record.holder.as_deref() == Some(&self.identity));
        if let Some(valid_until) = self.valid_until
            && (now >= valid_until || !held_by_us)
        {
            return Decision::Lost;
        }
        match &self.seen {
            None => Decision::Create,
            // Also after a restart under the same name: who held it before is this process' own past.
            Some(_) if held_by_us => Decision::Renew,
            Some((record, since)) => {
                let left = (*since + record.duration).saturating_duration_since(now);
                if record.holder.is_none() || left.is_zero() {
                    Decision::Acquire { transitions: record.transitions.saturating_add(1) }
                } else {
                    Decision::Wait(left.min(self.timings.retry_period))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
