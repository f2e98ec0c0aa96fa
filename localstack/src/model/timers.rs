//! What is going to happen, and when.
//!
//! An event names what it is about and is ignored when that is gone or has moved on, so nothing is ever cancelled. Imports `balancing`'s
//! target key only; `time.rs` carries events out.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::balancing::TargetKey;

/// A health check of one target, of one registration of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    /// ARN of the target group.
    pub(crate) group: String,
    pub(crate) key: TargetKey,
    /// The target's generation when this was planned; another one means that it is about a past life.
    pub(crate) generation: u64,
}

/// Something that happens in AWS's own time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A load balancer ends `provisioning`.
    Provisioned { load_balancer: String },
    /// A network interface that its load balancer no longer needs is deleted.
    InterfaceReleased { interface: String },
    /// A target's registration has reached the load balancer: health checks begin.
    Registered(Check),
    /// A health check is due.
    CheckDue(Check),
    /// An unhealthy target has drained.
    UnhealthyDrained(Check),
    /// A target's deregistration delay is over.
    Drained(Check),
    /// A deregistration has reached the load balancer: no new connections any more.
    DeregistrationSpread { group: String, address: SocketAddr, generation: u64 },
    /// A listener's new action has reached the load balancer.
    ListenerSwitched { listener: String, generation: u64 },
}

/// Events in the order of their time; those of one instant in the order in which they were planned.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Timers {
    #[serde(with = "super::pairs")]
    queue: BTreeMap<(Timestamp, u64), Event>,
    planned: u64,
    #[serde(skip)]
    changed: bool,
}

impl Timers {
    pub(crate) fn plan(&mut self, when: Timestamp, event: Event) {
        self.planned += 1;
        self.changed = true;
        self.queue.insert((when, self.planned), event);
    }

    /// The next event that is due by `now`, with the time it was due.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<(Timestamp, Event)> {
        let first = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((when, _), event) = first.remove_entry();
        Some((when, event))
    }

    /// A number that has not been used before, for a target's new life.
    pub(crate) fn fresh(&mut self) -> u64 {
        self.planned += 1;
        self.planned
    }

    /// Whether anything was planned since the last time this was asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Lets the prober look again.
    pub(crate) fn wake(&mut self) {
        self.changed = true;
    }

    /// The targets that a health check, or the registration that ends in one, is planned for.
    pub(crate) fn checked_targets(&self) -> impl Iterator<Item = &Check> {
        self.queue.values().filter_map(|event| match event {
            Event::Registered(check) | Event::CheckDue(check) => Some(check),
            _ => None,
        })
    }

    /// When the next event is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|((when, _), _)| *when)
    }
}
