//! What a load balancer still does although the API has moved on: it takes minutes until a change has reached all of its nodes.
//!
//! A deregistered target still gets new connections, a listener that was switched still forwards to the group it had. The API shows the
//! change at once; only `dataplane.rs` reads this. Ends with timers (`time.rs`).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::State;
use super::balancing::{Forward, Health, Listener, TargetKey};
use super::timers::Event;
use crate::clock::after;
use crate::durations::Durations;

/// What is still done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Echoes {
    /// Listener → the action it had, with the generation of the timer that ends this.
    actions: BTreeMap<String, (u64, Forward)>,
    /// Target group, address → the target as it was.
    #[serde(with = "super::pairs")]
    targets: BTreeMap<(String, SocketAddr), (u64, EchoedTarget)>,
}

/// A deregistered target that is still sent new connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EchoedTarget {
    pub(crate) zone: Option<String>,
    pub(crate) healthy: bool,
}

impl Echoes {
    /// The action that a listener's connections follow.
    pub(crate) fn action<'a>(&'a self, listener: &'a Listener) -> &'a Forward {
        self.actions.get(&listener.arn).map_or(&listener.action, |(_, former)| former)
    }

    /// Deregistered targets of a group that are still sent new connections.
    pub(crate) fn targets(&self, group: &str) -> impl Iterator<Item = (SocketAddr, &EchoedTarget)> {
        self.targets.iter().filter(move |((own, _), _)| own == group).map(|((_, address), (_, target))| (*address, target))
    }

    /// Whether a deregistered target of a group is still sent new connections.
    pub(crate) fn has_target(&self, group: &str, address: SocketAddr) -> bool {
        self.targets.contains_key(&(group.to_owned(), address))
    }

    /// A listener's switch has reached the load balancer.
    pub(super) fn end_action(&mut self, listener: &str, generation: u64) {
        if self.actions.get(listener).is_some_and(|(own, _)| *own == generation) {
            self.actions.remove(listener);
        }
    }

    /// A deregistration has reached the load balancer.
    pub(super) fn end_target(&mut self, group: String, address: SocketAddr, generation: u64) {
        let key = (group, address);
        if self.targets.get(&key).is_some_and(|(own, _)| *own == generation) {
            self.targets.remove(&key);
        }
    }
}

impl State {
    /// Lets a listener go on with the action it had. One that is still catching up with an earlier change keeps to what it did before that.
    pub(super) fn echo_action(&mut self, listener: &str, former: Forward, now: Timestamp, durations: &Durations) {
        if durations.listener_switch.is_zero() || self.echoes.actions.contains_key(listener) {
            return;
        }
        let generation = self.timers.fresh();
        self.echoes.actions.insert(listener.to_owned(), (generation, former));
        let event = Event::ListenerSwitched { listener: listener.to_owned(), generation };
        self.timers.plan(after(now, durations.listener_switch), event);
    }

    /// Lets a target that is being deregistered get new connections for a while.
    pub(crate) fn echo_target(&mut self, group: &str, key: &TargetKey, now: Timestamp, durations: &Durations) {
        let target = self.balancing.target_groups.get(group).and_then(|group| group.targets.get(key));
        let Some(target) = target.filter(|target| target.in_use() && !durations.deregistration_propagation.is_zero()) else {
            return;
        };
        let address = SocketAddr::new(target.address, key.port);
        let echoed = EchoedTarget { zone: target.zone.clone(), healthy: target.health == Health::Healthy };
        let generation = self.timers.fresh();
        self.echoes.targets.insert((group.to_owned(), address), (generation, echoed));
        let event = Event::DeregistrationSpread { group: group.to_owned(), address, generation };
        self.timers.plan(after(now, durations.deregistration_propagation), event);
    }
}
