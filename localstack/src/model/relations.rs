//! Keeps listeners and target groups in step: a group knows the listeners that use it, and how long it counts as used after the last one.
//!
//! The only code that adds, changes or removes listeners. Imports `time` for what follows from a change.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::State;
use super::balancing::{Listener, TargetGroup};
use crate::clock::after;
use crate::durations::Durations;

impl State {
    /// Adds a listener, or replaces the one with its ARN.
    pub(crate) fn put_listener(&mut self, listener: Listener, now: Timestamp, durations: &Durations) {
        let (arn, balancer) = (listener.arn.clone(), listener.load_balancer.clone());
        let groups: BTreeSet<String> = listener.target_groups().into_iter().map(str::to_owned).collect();
        let former = self.balancing.listeners.get(&arn).map(|former| former.action.clone());
        if let Some(former) = former.filter(|former| *former != listener.action) {
            self.echo_action(&arn, former, now, durations);
        }
        if let Some(before) = self.balancing.listeners.insert(arn.clone(), listener) {
            for gone in before.target_groups().into_iter().filter(|before| !groups.contains(*before)) {
                self.detach(&arn, gone, now, durations);
            }
        }
        for group in groups {
            if let Some(group) = self.balancing.target_groups.get_mut(&group) {
                group.listeners.insert(arn.clone(), balancer.clone());
            }
            self.refresh_use(&group, now, durations);
        }
    }

    /// Removes a listener; one that is not there is ignored.
    pub(crate) fn remove_listener(&mut self, arn: &str, now: Timestamp, durations: &Durations) {
        if let Some(listener) = self.balancing.listeners.remove(arn) {
            for group in listener.target_groups() {
                self.detach(arn, group, now, durations);
            }
        }
    }

    fn detach(&mut self, listener: &str, group: &str, now: Timestamp, durations: &Durations) {
        if let Some(group) = self.balancing.target_groups.get_mut(group) {
            group.listeners.remove(listener);
            if group.listeners.is_empty() {
                group.busy_until = Some(after(now, durations.target_group_in_use));
            }
        }
        self.refresh_use(group, now, durations);
    }

    /// The ARNs of the groups that a load balancer's listeners forward to.
    pub(crate) fn groups_of(&self, load_balancer: &str) -> BTreeSet<String> {
        self.balancing.listeners_of(load_balancer).flat_map(Listener::target_groups).map(str::to_owned).collect()
    }
}

impl TargetGroup {
    /// Whether the group cannot be deleted: a listener uses it, or did so until a moment ago.
    pub(crate) fn busy(&self, now: Timestamp) -> bool {
        !self.listeners.is_empty() || self.busy_until.is_some_and(|until| until > now)
    }
}
