//! The prober: makes the health checks that fall due, and moves everything else along when its time comes.
//!
//! One task for the whole emulator. It sleeps until the next timer of any account, a change or a move of the clock; `model/time.rs` decides
//! what a result means, `health/probe.rs` makes one check.
//!
//! Every node of the load balancer that sends traffic to a target checks it, from its own address: the one in the target's zone, or all of
//! them. The target is as healthy as the one that sees it worst.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dataplane::Wiring;
use crate::durations::Durations;
use crate::firewall::{Firewall, Origin, Transport};
use crate::model::State;
use crate::model::balancing::{CheckProtocol, HealthCheck};
use crate::model::time::CheckResult;
use crate::model::timers::Check;
use crate::shared::Shared;
use probe::{Matcher, Probe, ProbeKind, ProbeOutcome};

pub(crate) mod probe;

/// Health checks that run at the same time.
const PARALLEL: usize = 256;

/// One health check, ready to be made.
struct Job {
    state: Arc<Mutex<State>>,
    check: Check,
    due: Timestamp,
    /// One for each node that checks the target.
    probes: Vec<Probe>,
}

/// Runs until `shutdown`.
pub(crate) async fn run(shared: Arc<Shared>, wiring: Wiring, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut changes = shared.timer_changes();
    loop {
        changes.mark_unchanged();
        let mut next: Option<Timestamp> = None;
        for state in shared.accounts() {
            let (jobs, timer) = shared.with(&state, |inner, _, durations| {
                let checks = std::mem::take(&mut inner.checks);
                let firewall = (wiring.firewall && !checks.is_empty()).then(|| Firewall::new(&inner.network));
                let view = View { state: inner, firewall, wiring: &wiring, durations };
                let prepared = checks.into_iter().filter_map(|(due, check)| {
                    let probes = view.probes(&check)?;
                    Some(Job { state: Arc::clone(&state), check, due, probes })
                });
                let jobs: Vec<Job> = prepared.collect();
                (jobs, inner.timers.next())
            });
            next = [next, timer].into_iter().flatten().min();
            for job in jobs {
                let (shared, slots) = (Arc::clone(&shared), Arc::clone(&slots));
                let work = async move {
                    let Ok(_slot) = slots.acquire_owned().await else { return };
                    let result = worst(job.probes).await;
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

struct View<'a> {
    state: &'a State,
    /// `None`: rules do not hold.
    firewall: Option<Firewall<'a>>,
    wiring: &'a Wiring,
    durations: &'a Durations,
}

impl View<'_> {
    /// The probes of one check; `None` when the target is gone.
    fn probes(&self, check: &Check) -> Option<Vec<Probe>> {
        let balancing = &self.state.balancing;
        let group = balancing.target_groups.get(&check.group)?;
        let target = group.targets.get(&check.key).filter(|target| target.generation == check.generation)?;
        let balancer = balancing.balancer_of(group)?;
        let crosses = group.crosses_zones(balancer);
        let address = SocketAddr::new(target.address, group.check.port.unwrap_or(check.key.port));
        let own_timeout = Duration::from_secs(group.check.timeout.into());
        let timeout = self.durations.health_interval.map_or(own_timeout, |interval| own_timeout.min(interval));
        let checking = balancer.zones.iter().filter(|(zone, _)| crosses || target.zone.as_ref().is_none_or(|own| own == *zone));
        let probes = checking.filter_map(|(_, place)| place.towards(target.address)).map(|node| {
            let admitted = self
                .firewall
                .as_ref()
                .is_none_or(|firewall| firewall.target(balancer, Origin::Node(node), address, Transport::Tcp).admit(node));
            Probe {
                from: self.wiring.addresses.to_local(node),
                target: self.wiring.to_local(address),
                named: address,
                kind: kind(&group.check),
                proxy_protocol: group.attribute_is("proxy_protocol_v2.enabled", "true"),
                dropped: !admitted,
                timeout,
            }
        });
        let probes: Vec<Probe> = probes.collect();
        // No node without an address of the target's IP version uses the target, so there is nothing to be found out.
        (!probes.is_empty()).then_some(probes)
    }
}

/// The result of a check: the first failure, if there is any.
async fn worst(probes: Vec<Probe>) -> CheckResult {
    let mut running: JoinSet<ProbeOutcome> = probes.into_iter().map(Probe::run).collect();
    while let Some(ended) = running.join_next().await {
        // A probe that panicked has found nothing.
        if let Ok(ProbeOutcome::Unhealthy { reason, description }) = ended {
            return Err((reason.to_owned(), description));
        }
    }
    Ok(())
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
