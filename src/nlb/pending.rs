//! What AWS is still busy with, polled in batches: load balancers that are `provisioning`, and security groups whose network
//! interfaces outlive their load balancer. One call for all of them, and no worker waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::aws::Aws;
use crate::aws::types::{LoadBalancerArn, SecurityGroupId};
use crate::clock;
use crate::error::Classified;
use crate::nlb::model::Subject;
use crate::nlb::observe::Observer;

/// Provisioning takes AWS one to five minutes, an emulator no time: look soon, then ever more rarely.
const PROVISIONING: Cadence = Cadence { first: Duration::from_millis(100), factor: 1.5, longest: Duration::from_secs(10) };

/// Interfaces linger for seconds to minutes.
const INTERFACES: Cadence = Cadence { first: Duration::from_secs(1), factor: 1.6, longest: Duration::from_secs(5) };

/// What is due within this time of each other is asked for in one call: load balancers, whose names people wait for, and
/// groups.
const GATHERING: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

struct Cadence {
    first: Duration,
    factor: f64,
    longest: Duration,
}

/// One thing that is waited for.
#[derive(Clone, Debug)]
struct Poll {
    due: Instant,
    delay: Duration,
    waiting: BTreeSet<Subject>,
    /// Whether it was seen to be busy: only then is being free a change.
    seen_busy: bool,
}

impl Poll {
    fn new(cadence: &Cadence) -> Self {
        Self { due: clock::now() + cadence.first, delay: cadence.first, waiting: BTreeSet::new(), seen_busy: false }
    }

    fn again(&mut self, cadence: &Cadence) {
        self.delay = self.delay.mul_f64(cadence.factor).min(cadence.longest);
        self.due = clock::now() + self.delay;
    }
}

#[derive(Default)]
struct State {
    load_balancers: BTreeMap<LoadBalancerArn, Poll>,
    groups: BTreeMap<SecurityGroupId, Poll>,
}

/// The poller; cheap to clone.
#[derive(Clone)]
pub struct Pending {
    aws: Aws,
    observer: Observer,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Pending {
    /// A poller with nothing to poll.
    #[must_use]
    pub fn new(aws: Aws, observer: Observer) -> Self {
        Self { aws, observer, state: Arc::default(), changed: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inventory may hold newly made load balancers: they are found there.
    pub fn look(&self) {
        self.changed.notify_one();
    }

    /// Wakes `subject` when the group's network interfaces are gone; never if it has none.
    pub fn await_interfaces(&self, group: SecurityGroupId, subject: Subject) {
        self.state().groups.entry(group).or_insert_with(|| Poll::new(&INTERFACES)).waiting.insert(subject);
        self.changed.notify_one();
    }

    /// Whether the group's network interfaces are waited for.
    #[must_use]
    pub fn awaits(&self, group: &SecurityGroupId) -> bool {
        self.state().groups.contains_key(group)
    }

    /// Polls until `shutdown`, and calls `wake` for each whose wait is over.
    pub async fn run(self, shutdown: CancellationToken, wake: impl Fn(Subject)) {
        loop {
            let (next, settled) = self.collect();
            settled.into_iter().for_each(&wake);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(next.unwrap_or_else(clock::now)), if next.is_some() => {
                    for subject in self.poll().await {
                        wake(subject);
                    }
                }
            }
        }
    }

    /// Takes over what the inventory says is provisioning. Tells when the next poll is due, and who need not wait any more:
    /// a listing may have seen the change first.
    fn collect(&self) -> (Option<Instant>, BTreeSet<Subject>) {
        let provisioning: BTreeMap<_, _> = self.observer.inventory().provisioning().into_iter().collect();
        let mut state = self.state();
        let settled = state.load_balancers.extract_if(.., |arn, _| !provisioning.contains_key(arn));
        let settled = settled.flat_map(|(_, poll)| poll.waiting).collect();
        for (arn, key) in provisioning {
            state.load_balancers.entry(arn).or_insert_with(|| Poll::new(&PROVISIONING)).waiting.insert(Subject::Service(key));
        }
        (state.load_balancers.values().chain(state.groups.values()).map(|poll| poll.due).min(), settled)
    }

    async fn poll(&self) -> BTreeSet<Subject> {
        let [first, second] = GATHERING.map(|gathering| clock::now() + gathering);
        let (load_balancers, groups): (Vec<_>, Vec<_>) = {
            let state = self.state();
            (
                state.load_balancers.iter().filter(|(_, poll)| poll.due <= first).map(|(arn, _)| arn.clone()).collect(),
                state.groups.iter().filter(|(_, poll)| poll.due <= second).map(|(id, _)| id.clone()).collect(),
            )
        };
        let (mut wake, freed) = futures::join!(self.poll_load_balancers(&load_balancers), self.poll_groups(&groups));
        wake.extend(freed);
        wake
    }

    async fn poll_load_balancers(&self, arns: &[LoadBalancerArn]) -> BTreeSet<Subject> {
        if arns.is_empty() {
            return BTreeSet::new();
        }
        let answer = self.aws.load_balancers_by_arn(arns).await;
        let mut state = self.state();
        for arn in arns {
            if let Some(poll) = state.load_balancers.get_mut(arn) {
                poll.again(&PROVISIONING);
            }
        }
        drop(state);
        match answer {
            Ok(found) => self.observer.inventory().set_states(arns, found).into_iter().map(Subject::Service).collect(),
            Err(error) => {
                tracing::debug!(%error, code = error.code(), "state of load balancers not read, asking again");
                BTreeSet::new()
            }
        }
    }

    async fn poll_groups(&self, groups: &[SecurityGroupId]) -> BTreeSet<Subject> {
        if groups.is_empty() {
            return BTreeSet::new();
        }
        let answer = self.observer.groups_in_use(groups).await;
        let mut state = self.state();
        let mut freed = BTreeSet::new();
        for id in groups {
            match &answer {
                Ok(in_use) if !in_use.contains(id) => {
                    // One that never was in use is held by something else (a rule of another group): whoever waits has his
                    // own back-off for that.
                    let poll = state.groups.remove(id).filter(|poll| poll.seen_busy);
                    freed.extend(poll.into_iter().flat_map(|poll| poll.waiting));
                }
                _ => {
                    if let Some(poll) = state.groups.get_mut(id) {
                        poll.seen_busy |= answer.is_ok();
                        poll.again(&INTERFACES);
                    }
                }
            }
        }
        if let Err(error) = answer {
            tracing::debug!(%error, code = error.code(), "network interfaces not read, asking again");
        }
        freed
    }
}
