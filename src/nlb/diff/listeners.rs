//! Listeners of the wanted load balancer: one for each port of the Service, none besides.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::load_balancer;
use super::target_groups;
use crate::aws::types::{Listener, TargetGroupArn};
use crate::nlb::model::{Action, Desired, DesiredListener, TargetGroupKey, TargetGroupRef};

/// Plans all listeners. One whose target group is in conflict stays as it is.
pub(super) fn plan(
    draft: &mut Draft,
    desired: &Desired,
    load_balancer: &load_balancer::Ready<'_>,
    target_groups: &BTreeMap<TargetGroupKey, target_groups::Ready>,
) {
    let seen = load_balancer.observed.map(|observed| &observed.listeners);
    for (port, wanted) in &desired.listeners {
        let Some(target_group) = target_groups.get(&wanted.target_group) else { continue };
        match seen.and_then(|seen| seen.get(port)) {
            None => {
                let action = Action::CreateListener {
                    load_balancer: load_balancer.reference.clone(),
                    port: *port,
                    protocol: wanted.protocol.clone(),
                    target_group: target_group.reference.clone(),
                    tags: wanted.tags.clone(),
                };
                draft.step(load_balancer.from.max(target_group.from), action, "not there");
            }
            Some(listener) => {
                if let Some(reason) = difference(listener, wanted, &target_group.reference) {
                    let action = Action::ModifyListener {
                        load_balancer: load_balancer.reference.clone(),
                        listener: listener.arn.clone(),
                        port: *port,
                        protocol: wanted.protocol.clone(),
                        target_group: target_group.reference.clone(),
                    };
                    draft.step(target_group.from, action, reason);
                }
            }
        }
    }
    for (port, listener) in seen.into_iter().flatten().filter(|(port, _)| !desired.listeners.contains_key(port)) {
        let action = Action::DeleteListener {
            load_balancer: load_balancer.reference.clone(),
            listener: listener.arn.clone(),
            port: *port,
        };
        draft.step(0, action, format!("port {port} is not in the Service"));
    }
}

fn difference(is: &Listener, should: &DesiredListener, target_group: &TargetGroupRef) -> Option<String> {
    let mut changes = Vec::new();
    if is.protocol != should.protocol {
        changes.push(format!("protocol {} → {}", is.protocol, should.protocol));
    }
    let forwards: BTreeSet<&TargetGroupArn> = match target_group {
        TargetGroupRef::Existing { id, .. } => BTreeSet::from([id]),
        TargetGroupRef::New(_) => BTreeSet::new(),
    };
    if forwards.is_empty() || is.target_groups.iter().collect::<BTreeSet<_>>() != forwards {
        changes.push(format!("forwards to another target group than {}", target_group.name()));
    }
    (!changes.is_empty()).then(|| changes.join(", "))
}
