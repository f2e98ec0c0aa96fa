//! Targets of one group: register whoever is missing, then deregister whoever is too much. Identity is id and port.

use std::collections::BTreeSet;

use super::draft::Draft;
use crate::aws::types::{Target, TargetState, Targets};
use crate::nlb::model::{Action, TargetGroupRef};

/// Targets that one call registers or deregisters. AWS takes more (1,000 a group), but one bad target fails its whole call.
const BATCH: usize = 200;

/// Plans both changes; registrations go in `wave`. Returns the wave from which on all desired targets are registered.
pub(super) fn plan(draft: &mut Draft, wave: u8, group: &TargetGroupRef, desired: &BTreeSet<Target>, observed: &Targets) -> u8 {
    let register: Vec<&Target> = desired.iter().filter(|target| !serves(observed, target)).collect();
    let wanted: BTreeSet<(&str, u16)> = desired.iter().map(|target| (target.id.as_str(), target.port)).collect();
    let deregister: Vec<Target> = observed
        .iter()
        .filter(|((id, port), health)| !drains(&health.state) && !wanted.contains(&(id.as_str(), *port)))
        .map(|((id, port), _)| Target { id: id.clone(), port: *port, availability_zone: None })
        .collect();
    let registered = if register.is_empty() { wave } else { wave + 1 };
    for batch in register.chunks(BATCH) {
        let targets = batch.iter().map(|target| (*target).clone()).collect();
        draft.step(wave, Action::RegisterTargets { target_group: group.clone(), targets }, "not registered");
    }
    for batch in deregister.chunks(BATCH) {
        let targets = batch.iter().cloned().collect();
        draft.step(registered, Action::DeregisterTargets { target_group: group.clone(), targets }, "no longer a target");
    }
    registered
}

/// A target that drains counts as absent: registering it again ends the draining, and an address may have a new owner.
fn drains(state: &TargetState) -> bool {
    matches!(state, TargetState::Draining | TargetState::UnhealthyDraining)
}

fn serves(observed: &Targets, target: &Target) -> bool {
    observed.get(&(target.id.clone(), target.port)).is_some_and(|health| !drains(&health.state))
}
