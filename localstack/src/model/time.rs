//! What happens as time passes, and what a change sets going: provisioning, registration, health, draining, lingering.
//!
//! The only code that carries out timers. Imports `durations`, `clock` for arithmetic, and its siblings.

use jiff::Timestamp;

use super::State;
use super::balancing::{Balancing, Disuse, Health, Target, TargetGroup, TargetKey, TargetKind};
use super::network::{InstanceState, Network};
use super::timers::{Check, Event, Timers};
use crate::clock::{after, later};
use crate::durations::Durations;

/// The result of one health check: `Err` holds AWS's reason and description.
pub(crate) type CheckResult = Result<(), (String, String)>;

impl State {
    /// Carries out everything that was due by `now`.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        while let Some((due, event)) = self.timers.due(now) {
            self.dirty |= !matches!(event, Event::CheckDue(_));
            match event {
                Event::Provisioned { load_balancer } => {
                    if let Some(balancer) = self.balancing.load_balancers.get_mut(&load_balancer)
                        && balancer.provisioning.is_some_and(|until| until <= due)
                    {
                        balancer.provisioning = None;
                        balancer.serving = true;
                    }
                }
                Event::InterfaceReleased { interface } => self.network.remove_interface(&interface),
                Event::Registered(check) => {
                    if let Some(target) = target_mut(&mut self.balancing, &check) {
                        target.health = Health::Checking;
                        self.timers.plan(due, Event::CheckDue(check));
                    }
                }
                Event::CheckDue(check) => {
                    if target_mut(&mut self.balancing, &check).is_some_and(|target| target.in_use() && !target.pinned) {
                        self.checks.push((due, check));
                    }
                }
                Event::UnhealthyDrained(check) => {
                    if let Some(target) = target_mut(&mut self.balancing, &check)
                        && target.unhealthy_draining.is_some_and(|until| until <= due)
                    {
                        target.unhealthy_draining = None;
                    }
                }
                Event::Drained(check) => self.drained(&check),
                Event::DeregistrationSpread { group, address, generation } => self.echoes.end_target(group, address, generation),
                Event::ListenerSwitched { listener, generation } => self.echoes.end_action(&listener, generation),
            }
        }
    }

    fn drained(&mut self, check: &Check) {
        if target_mut(&mut self.balancing, check).is_none() {
            return;
        }
        if let Some(group) = self.balancing.target_groups.get_mut(&check.group)
            && let Some(target) = group.targets.remove(&check.key)
            && group.attribute_is("deregistration_delay.connection_termination.enabled", "true")
        {
            group.cut.insert((target.address, check.key.port));
        }
    }

    /// Takes note of a health check's result and plans the next check of the target.
    pub(crate) fn checked(&mut self, check: &Check, due: Timestamp, now: Timestamp, result: CheckResult, durations: &Durations) {
        let Some(group) = self.balancing.target_groups.get_mut(&check.group) else { return };
        let interval = durations.health_interval.unwrap_or_else(|| std::time::Duration::from_secs(group.check.interval.into()));
        let needed = |own: u32| durations.health_thresholds.unwrap_or(own);
        let (to_healthy, to_unhealthy) = (needed(group.check.healthy), needed(group.check.unhealthy));
        let drain = group.unhealthy_drain();
        let Some(target) = group.targets.get_mut(&check.key).filter(|target| target.generation == check.generation) else {
            return;
        };
        if !target.in_use() || target.pinned {
            return;
        }
        if target.take_note(result, to_healthy, to_unhealthy) {
            self.dirty = true;
            let unhealthy = matches!(target.health, Health::Unhealthy { .. });
            target.unhealthy_draining = drain.filter(|_| unhealthy).map(|interval| after(now, interval));
            if let Some(until) = target.unhealthy_draining {
                self.timers.plan(until, Event::UnhealthyDrained(check.clone()));
            }
        }
        // When the clock was moved, the checks of the skipped time follow at once, but no more than change any health.
        let earliest = later(now, -jiff::SignedDuration::try_from(interval.saturating_mul(MAX_CATCH_UP)).unwrap_or_default());
        self.timers.plan(after(due, interval).max(earliest), Event::CheckDue(check.clone()));
    }

    /// Looks again at which targets of a group are in use: after its listeners, its targets, the zones of its load balancer or an instance
    /// changed. Targets that come into use begin with their registration, those that go out of use stop being checked.
    pub(crate) fn refresh_use(&mut self, group: &str, now: Timestamp, durations: &Durations) {
        let disuse: Vec<(TargetKey, Option<Disuse>)> = {
            let Some(group) = self.balancing.target_groups.get(group) else { return };
            let reason = |key: &TargetKey, target: &Target| disuse(&self.balancing, &self.network, group, key, target);
            group.targets.iter().map(|(key, target)| (key.clone(), reason(key, target))).collect()
        };
        let begin = self.first_check(group, now, durations);
        let Some(group) = self.balancing.target_groups.get_mut(group) else { return };
        for (key, disuse) in disuse {
            let Some(target) = group.targets.get_mut(&key) else { continue };
            if target.disuse == disuse || target.draining {
                continue;
            }
            let was_in_use = target.disuse.is_none();
            target.disuse = disuse;
            if disuse.is_none() {
                start(&mut self.timers, &group.arn, &key, target, begin);
            } else if was_in_use {
                target.generation = self.timers.fresh();
            }
        }
    }

    /// Begins a target's life in use: registering, then checked.
    pub(crate) fn start_target(&mut self, group: &str, key: &TargetKey, now: Timestamp, durations: &Durations) {
        let begin = self.first_check(group, now, durations);
        if let Some(target) = self.balancing.target_groups.get_mut(group).and_then(|group| group.targets.get_mut(key)) {
            start(&mut self.timers, group, key, target, begin);
        }
    }

    /// Registration takes its time, and never ends before the load balancer is there.
    fn first_check(&self, group: &str, now: Timestamp, durations: &Durations) -> Timestamp {
        let registered = after(now, durations.registration);
        let group = self.balancing.target_groups.get(group);
        let balancer = group.and_then(|group| self.balancing.balancer_of(group)).filter(|balancer| !balancer.serving);
        balancer.and_then(|balancer| balancer.provisioning).map_or(registered, |until| registered.max(until))
    }

    /// Puts a load balancer to `provisioning` for as long as a change takes.
    pub(crate) fn reprovision(&mut self, load_balancer: &str, now: Timestamp, durations: &Durations) {
        let until = after(now, durations.reprovisioning);
        let Some(balancer) = self.balancing.load_balancers.get_mut(load_balancer) else { return };
        let until = balancer.provisioning.map_or(until, |already| already.max(until));
        balancer.provisioning = Some(until);
        self.timers.plan(until, Event::Provisioned { load_balancer: load_balancer.to_owned() });
    }
}

/// No threshold is above 10, so ten results show any change.
const MAX_CATCH_UP: u32 = 10;

fn target_mut<'a>(balancing: &'a mut Balancing, check: &Check) -> Option<&'a mut Target> {
    let target = balancing.target_groups.get_mut(&check.group)?.targets.get_mut(&check.key)?;
    (target.generation == check.generation).then_some(target)
}

fn start(timers: &mut Timers, group: &str, key: &TargetKey, target: &mut Target, begin: Timestamp) {
    target.generation = timers.fresh();
    target.streak = 0;
    target.unhealthy_draining = None;
    target.pinned = false;
    target.health = Health::Registering;
    let check = Check { group: group.to_owned(), key: key.clone(), generation: target.generation };
    timers.plan(begin, Event::Registered(check));
}

fn disuse(balancing: &Balancing, network: &Network, group: &TargetGroup, key: &TargetKey, target: &Target) -> Option<Disuse> {
    if target.unusable {
        return Some(Disuse::IpUnusable);
    }
    let running = |id: &str| network.instances.get(id).is_some_and(|instance| instance.state == InstanceState::Running);
    let Some(balancer) = balancing.balancer_of(group) else { return Some(Disuse::GroupNotUsed) };
    if group.kind == TargetKind::Instance && !running(&key.id) {
        return Some(Disuse::InstanceState);
    }
    let enabled = target.zone.as_ref().is_none_or(|zone| balancer.zones.contains_key(zone));
    (!enabled).then_some(Disuse::ZoneNotEnabled)
}

impl Target {
    /// Counts a result; whether it changed the target's health.
    fn take_note(&mut self, result: CheckResult, to_healthy: u32, to_unhealthy: u32) -> bool {
        let step = if result.is_ok() { 1 } else { -1 };
        self.streak = if self.streak.signum() == step { self.streak.saturating_add(step) } else { step };
        let enough = i64::from(if result.is_ok() { to_healthy } else { to_unhealthy });
        let decided = self.streak.abs() >= enough;
        let already = matches!((&self.health, &result), (Health::Healthy, Ok(())) | (Health::Unhealthy { .. }, Err(_)));
        if decided || already {
            self.health = match result {
                Ok(()) => Health::Healthy,
                Err((reason, description)) => Health::Unhealthy { reason, description },
            };
        }
        decided && !already
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            address: "10.0.0.1".parse().unwrap(),
            zone: None,
            disuse: None,
            draining: false,
            health: Health::Checking,
            unhealthy_draining: None,
            unusable: false,
            streak: 0,
            pinned: false,
            quic_server_id: None,
            generation: 1,
        }
    }

    #[test]
    fn health_changes_after_consecutive_results_only() {
        let failure = || Err(("Target.Timeout".to_owned(), "Request timed out".to_owned()));
        let mut target = target();
        let mut history = Vec::new();
        for result in [Ok(()), Ok(()), failure(), Ok(()), Ok(()), Ok(()), failure(), Ok(()), failure(), failure(), Ok(())] {
            history.push(target.take_note(result, 3, 2));
        }
        assert_eq!(history.iter().enumerate().filter(|(_, changed)| **changed).map(|(at, _)| at).collect::<Vec<_>>(), [5, 9]);
        assert!(matches!(target.health, Health::Unhealthy { .. }), "one success is not enough");
    }

    #[test]
    fn an_unhealthy_target_shows_the_latest_reason() {
        let mut target = target();
        assert!(target.take_note(Err(("Target.Timeout".to_owned(), String::new())), 1, 1));
        assert!(!target.take_note(Err(("Target.FailedHealthChecks".to_owned(), String::new())), 1, 1));
        assert!(matches!(&target.health, Health::Unhealthy { reason, .. } if reason == "Target.FailedHealthChecks"));
    }
}
