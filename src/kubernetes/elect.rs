//! Leader election on a `coordination.k8s.io/v1` Lease: [`super::lease`] decides, this reads, writes and tells.
//!
//! Every write is made against the version last seen, every call has a time limit, and nothing is repeated behind our back:
//! the client must be [`super::client::Clients::lease`]. Whoever writes to AWS asks [`Leadership::is_valid`] first.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::lease::{Candidate, Decision, LeaseRecord, Timings};
use super::{Error, call};
use crate::clock::{self, Instant};
use crate::error::{Class, Classified};

/// Which lease, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Name of this process, unique among the replicas; shows as `holderIdentity`.
    pub identity: String,
    /// Timings; on the wire the duration is rounded up to whole seconds.
    pub timings: Timings,
}

/// The lease was held and is not any more: another process may be working already. End the process.
#[derive(Debug, thiserror::Error)]
#[error("lost the lease {lease}: {reason}")]
pub struct LeaseLost {
    /// Namespace and name.
    pub lease: String,
    /// Who took it, or why it could not be renewed.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Standby,
    Leading(Instant),
    Ended,
}

/// Whether this process may act. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// `None`: there is no election.
    state: Option<watch::Receiver<State>>,
}

impl Leadership {
    /// Leadership that is always there: a single replica (`--leader-elect=false`).
    #[must_use]
    pub fn unopposed() -> Self {
        Self { state: None }
    }

    /// Whether this process is the leader at this moment: true only until the renew deadline, which counts from the start of
    /// the last renewal that succeeded. Ask before each write.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.state.as_ref().is_none_or(|state| matches!(*state.borrow(), State::Leading(until) if clock::now() < until))
    }

    /// Waits until this process leads; `false` if the election ended without that.
    pub async fn acquired(&self) -> bool {
        let Some(mut state) = self.state.clone() else { return true };
        loop {
            match *state.borrow_and_update() {
                State::Leading(until) if clock::now() < until => return true,
                State::Ended => return false,
                State::Leading(_) | State::Standby => {}
            }
            if state.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Resolves when this process has led and may not act any more, or when the election ended.
    pub async fn lost(&self) {
        let Some(mut state) = self.state.clone() else { return std::future::pending().await };
        loop {
            let now = *state.borrow_and_update();
            let changed = match now {
                State::Ended => return,
                State::Standby => state.changed().await,
                State::Leading(until) => tokio::select! {
                    biased;
                    changed = state.changed() => changed,
                    () = tokio::time::sleep_until(until) => return,
                },
            };
            if changed.is_err() {
                return;
            }
        }
    }
}

/// Takes part in the election until `stop` is cancelled, then hands the lease back.
///
/// Cancel `stop` only after the last write: the lease is renewed until then, and another replica takes over at once
/// afterwards. The task ends with an error as soon as the lease is lost; it ends with `Ok` after `stop`.
#[must_use]
pub fn start(
    client: Client,
    settings: LeaseSettings,
    stop: CancellationToken,
) -> (Leadership, JoinHandle<Result<(), LeaseLost>>) {
    let (sender, receiver) = watch::channel(State::Standby);
    let elector = Elector {
        api: Api::namespaced(client, &settings.namespace),
        label: format!("{}/{}", settings.namespace, settings.name),
        candidate: Candidate::new(settings.identity.clone(), settings.timings),
        stored: None,
        state: sender,
        last_error: None,
        settings,
    };
    (Leadership { state: Some(receiver) }, tokio::spawn(elector.run(stop)))
}

struct Elector {
    api: Api<Lease>,
    /// Namespace and name, for messages.
    label: String,
    settings: LeaseSettings,
    candidate: Candidate,
    /// The object last seen, so that what others wrote on it is kept.
    stored: Option<Lease>,
    state: watch::Sender<State>,
    last_error: Option<String>,
}

/// Pause after a failed call: short enough for several tries before the deadline.
const ERROR_PAUSE: Duration = Duration::from_millis(500);

/// Writes per round that may meet somebody else's.
const CONFLICT_ATTEMPTS: u32 = 4;

impl Elector {
    async fn run(mut self, stop: CancellationToken) -> Result<(), LeaseLost> {
        loop {
            let pause = match self.round().await {
                Ok(pause) => {
                    self.last_error = None;
                    pause
                }
                Err(Failure::Call(error)) => self.note(&error),
                Err(Failure::Lost(reason)) => {
                    self.state.send_replace(State::Ended);
                    return Err(LeaseLost { lease: self.label, reason });
                }
            };
            // A renewal is due in time even if the pause asked for is longer than what is left of the deadline.
            let left = self.candidate.valid_until().map_or(pause, |until| until.saturating_duration_since(clock::now()));
            if stop.run_until_cancelled(tokio::time::sleep(pause.min(left))).await.is_none() {
                self.state.send_replace(State::Ended);
                self.release().await;
                return Ok(());
            }
        }
    }

    /// Looks, decides and writes; returns how long to wait before the next round. If somebody else wrote in between, it looks
    /// and decides again at once: what was read is not going to get fresher by waiting.
    async fn round(&mut self) -> Result<Duration, Failure> {
        // The holder knows the version that it wrote last: no need to read. Everybody else decides on what is there now.
        if self.candidate.valid_until().is_none() {
            self.read().await?;
        }
        let mut attempt = 1;
        loop {
            let written = match self.candidate.decide(clock::now()) {
                Decision::Wait(pause) => return Ok(pause),
                Decision::Lost => return Err(Failure::Lost(self.reason())),
                Decision::Create => self.write(0, true).await,
                Decision::Acquire { transitions } => self.write(transitions, true).await,
                Decision::Renew => {
                    let transitions = self.candidate.record().map_or(0, |record| record.transitions);
                    self.write(transitions, false).await
                }
            };
            match written {
                Ok(()) => return Ok(self.settings.timings.retry_period),
                // Or the answer to our own write was lost: only the API server knows.
                Err(error) if error.class() == Class::Stale && attempt < CONFLICT_ATTEMPTS => self.read().await?,
                Err(error) => return Err(error.into()),
            }
            attempt += 1;
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let action = format!("get Lease {}", self.label);
        let lease = call(action, self.limit(), self.api.get_opt(&self.settings.name)).await?;
        self.candidate.observe(lease.as_ref().map(|lease| self.record(lease)), clock::now());
        self.stored = lease;
        Ok(())
    }

    /// Writes the lease as ours against the version last seen.
    async fn write(&mut self, transitions: i32, taken: bool) -> Result<(), Error> {
        let sent = clock::now();
        let time = MicroTime(clock::wall());
        let mut lease = self.stored.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(self.settings.identity.clone());
        spec.lease_duration_seconds = Some(whole_seconds(self.settings.timings.lease_duration));
        spec.lease_transitions = Some(transitions);
        spec.renew_time = Some(time.clone());
        if taken {
            spec.acquire_time = Some(time);
        }
        let written = self.put(&lease).await?;
        let led_before = self.candidate.valid_until().is_some();
        self.candidate.wrote(self.record(&written), sent, clock::now());
        self.stored = Some(written);
        if let Some(until) = self.candidate.valid_until() {
            self.state.send_replace(State::Leading(until));
        }
        if !led_before {
            tracing::info!(lease = %self.label, identity = %self.settings.identity, transitions, "leading");
        }
        Ok(())
    }

    async fn put(&self, lease: &Lease) -> Result<Lease, Error> {
        let parameters = PostParams { field_manager: Some(super::MANAGER.to_owned()), ..PostParams::default() };
        if lease.metadata.resource_version.is_some() {
            let action = format!("update Lease {}", self.label);
            call(action, self.limit(), self.api.replace(&self.settings.name, &parameters, lease)).await
        } else {
            call(format!("create Lease {}", self.label), self.limit(), self.api.create(&parameters, lease)).await
        }
    }

    /// Gives the lease back if it is ours, so that nobody has to wait for it to run out. Best effort.
    async fn release(&mut self) {
        if self.candidate.valid_until().is_none() {
            return;
        }
        let released = async {
            let lease = call(format!("get Lease {}", self.label), ERROR_PAUSE * 4, self.api.get(&self.settings.name)).await?;
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(&self.settings.identity) {
                return Ok(());
            }
            let spec = LeaseSpec { holder_identity: None, renew_time: Some(MicroTime(clock::wall())), ..spec };
            let lease = Lease { spec: Some(spec), ..lease };
            let parameters = PostParams::default();
            let action = format!("release Lease {}", self.label);
            call(action, ERROR_PAUSE * 4, self.api.replace(&self.settings.name, &parameters, &lease)).await.map(|_| ())
        };
        match released.await {
            Ok::<(), Error>(()) => tracing::info!(lease = %self.label, "lease released"),
            // It has gone, with its namespace: nobody waits for it.
            Err(error) if error.class() == Class::Stale => tracing::debug!(%error, "the lease was not released"),
            Err(error) => tracing::warn!(%error, "the lease was not released; it runs out by itself"),
        }
    }

    /// Time limit of one call: two tries fit into the deadline, and none outlasts it.
    fn limit(&self) -> Duration {
        let half = self.settings.timings.renew_deadline / 2;
        self.candidate.valid_until().map_or(half, |until| half.min(until.saturating_duration_since(clock::now())))
    }

    /// Logs a failure once, however often it repeats, and says when to try again.
    fn note(&mut self, error: &Error) -> Duration {
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            tracing::warn!(%error, "election");
        }
        self.last_error = Some(text);
        ERROR_PAUSE.min(self.settings.timings.retry_period)
    }

    fn reason(&self) -> String {
        match self.candidate.record().map(|record| record.holder.as_deref()) {
            Some(Some(holder)) if holder == self.settings.identity => {
                let limit = self.settings.timings.renew_deadline.as_secs_f32();
                let cause = self.last_error.as_deref().unwrap_or("the process did not run");
                format!("not renewed within {limit} s: {cause}")
            }
            Some(Some(holder)) => format!("{holder} holds it now"),
            Some(None) => "it was released by somebody else".to_owned(),
            None => "it was deleted".to_owned(),
        }
    }

    fn record(&self, lease: &Lease) -> LeaseRecord {
        let spec = lease.spec.clone().unwrap_or_default();
        let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        LeaseRecord {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: duration.unwrap_or(self.settings.timings.lease_duration),
            transitions: spec.lease_transitions.unwrap_or_default(),
            version: lease.metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// Why a round ended without a result.
enum Failure {
    Call(Error),
    Lost(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Rounded up: others may wait longer than we ask, never shorter.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn leadership() -> (watch::Sender<State>, Leadership) {
        let (sender, receiver) = watch::channel(State::Standby);
        (sender, Leadership { state: Some(receiver) })
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_itself_when_nobody_renews_it() {
        let (sender, leadership) = leadership();
        assert!(!leadership.is_valid());
        assert!(leadership.acquired().now_or_never().is_none());
        let until = clock::now() + Duration::from_secs(10);
        sender.send_replace(State::Leading(until));
        assert!(leadership.acquired().await);
        assert!(leadership.is_valid());
        leadership.lost().await;
        assert_eq!(clock::now(), until);
        assert!(!leadership.is_valid());
        assert!(leadership.acquired().now_or_never().is_none(), "the past does not count");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_prolongs_it_and_the_end_of_the_election_ends_it() {
        let (sender, leadership) = leadership();
        sender.send_replace(State::Leading(clock::now() + Duration::from_secs(10)));
        let mut lost = Box::pin(leadership.lost());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!((&mut lost).now_or_never().is_none());
        sender.send_replace(State::Leading(clock::now() + Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!((&mut lost).now_or_never().is_none());
        assert!(leadership.is_valid());
        sender.send_replace(State::Ended);
        lost.await;
        assert!(!leadership.is_valid());
        assert!(!leadership.acquired().await);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_election_it_is_always_there() {
        let leadership = Leadership::unopposed();
        assert!(leadership.is_valid() && leadership.acquired().await);
        assert!(leadership.lost().now_or_never().is_none());
    }

    #[test]
    fn seconds_on_the_wire_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_secs(15)), 15);
        assert_eq!(whole_seconds(Duration::from_millis(14_001)), 15);
    }
}
