//! The prober: makes the health checks that fall due, and moves everything else along when its time comes.
//!
//! One task for the whole emulator. It sleeps until the next timer of any account, a change or a move of the clock; `model/time.rs` decides
//! what a result means, `health/probe.rs` makes one check.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::durations::Durations;
use crate::model::State;
use crate::model::balancing::{CheckProtocol, HealthCheck};
use crate::model::time::CheckResult;
use crate::model::timers::Check;
use crate::shared::Shared;
use probe::{Matcher, ProbeKind, ProbeOutcome};

pub(crate) mod probe;

/// Health checks that run at the same time.
const PARALLEL: usize = 256;

/// One health check, ready to be made.
struct Job {
    state: Arc<Mutex<State>>,
    check: Check,
    target: SocketAddr,
    kind: ProbeKind,
    timeout: Duration,
    due: Timestamp,
}

/// Runs until `shutdown`.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut changes = shared.timer_changes();
    loop {
        changes.mark_unchanged();
        let mut next: Option<Timestamp> = None;
        for state in shared.accounts() {
            let (jobs, timer) = shared.with(&state, |inner, _, durations| {
                let checks = std::mem::take(&mut inner.checks);
                let jobs: Vec<Job> = checks
                    .into_iter()
                    .filter_map(|(due, check)| prepare(inner, Arc::clone(&state), due, check, durations))
                    .collect();
                (jobs, inner.timers.next())
            });
            next = [next, timer].into_iter().flatten().min();
            for job in jobs {
                let (shared, slots) = (Arc::clone(&shared), Arc::clone(&slots));
                let work = async move {
                    let Ok(_slot) = slots.acquire_owned().await else { return };
                    let result = outcome(probe::probe(job.target, &job.kind, job.timeout).await);
                    shared.with(&job.state, |inner, now, durations| inner.checked(&job.check, job.due, now, result, durations));
                };
                tokio::spawn(shutdown.clone().run_until_cancelled_owned(work));
            }
        }
        let timer = async {
            match next {
                Some(when) => shared.clock.sleep_until(when).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = timer => {}
            _ = changes.changed() => {}
        }
    }
}

fn prepare(state: &State, shared: Arc<Mutex<State>>, due: Timestamp, check: Check, durations: &Durations) -> Option<Job> {
    let group = state.balancing.target_groups.get(&check.group)?;
    let target = group.targets.get(&check.key).filter(|target| target.generation == check.generation)?;
    let port = group.check.port.unwrap_or(check.key.port);
    let own_timeout = Duration::from_secs(group.check.timeout.into());
    Some(Job {
        state: shared,
        target: SocketAddr::new(target.address, port),
        kind: kind(&group.check),
        timeout: durations.health_interval.map_or(own_timeout, |interval| own_timeout.min(interval)),
        due,
        check,
    })
}

fn kind(check: &HealthCheck) -> ProbeKind {
    let path = || check.path.clone().unwrap_or_else(|| "/".to_owned());
    let codes = || check.matcher.as_deref().and_then(|codes| Matcher::parse(codes).ok());
    match (check.protocol, codes()) {
        (CheckProtocol::Http, Some(codes)) => ProbeKind::Http { path: path(), codes },
        (CheckProtocol::Https, Some(codes)) => ProbeKind::Https { path: path(), codes },
        // HTTP checks always have codes, so this is TCP.
        _ => ProbeKind::Tcp,
    }
}

fn outcome(outcome: ProbeOutcome) -> CheckResult {
    match outcome {
        ProbeOutcome::Healthy => Ok(()),
        ProbeOutcome::Unhealthy { reason, description } => Err((reason.to_owned(), description)),
    }
}
