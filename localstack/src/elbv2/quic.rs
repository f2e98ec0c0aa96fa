//! Server ids of QUIC targets: which groups have them, what they look like, that no two targets of a listener share one.
//!
//! Imports `model`; called by `targets.rs`.

use crate::error::ApiError;
use crate::model::balancing::{Balancing, TargetGroup, TargetKey};
use crate::query::Params;

/// Checks the server id of a target that is to be registered, beside the targets that are there and the `others` of the same call.
pub(super) fn check<'a>(
    asked: &Params,
    key: &TargetKey,
    group: &TargetGroup,
    balancing: &Balancing,
    mut others: impl Iterator<Item = Option<&'a str>>,
) -> Result<(), ApiError> {
    let given = asked.text("QuicServerId");
    let (target, protocol) = (&key.id, group.protocol.name());
    let id = match given {
        None if group.protocol.carries_quic() => {
            let message = format!("Target '{target}' needs a QuicServerId, as every target of a {protocol} target group does");
            return Err(ApiError::validation(message));
        }
        None => return Ok(()),
        Some(_) if !group.protocol.carries_quic() => {
            let message = format!("QuicServerId cannot be specified for target '{target}' of a {protocol} target group");
            return Err(ApiError::validation(message));
        }
        Some(id) => id,
    };
    let hexadecimal = |text: &str| text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !id.strip_prefix("0x").is_some_and(hexadecimal) {
        let message = format!("QuicServerId '{id}' is not valid: it is 0x followed by 16 hexadecimal digits in lower case");
        return Err(ApiError::validation(message));
    }
    if let Some(present) = group.targets.get(key).filter(|target| !target.draining)
        && present.quic_server_id.as_deref() != Some(id)
    {
        let message = format!("The QuicServerId of target '{target}' cannot be changed: deregister it first");
        return Err(ApiError::validation(message));
    }
    let beside =
        group.listeners.keys().filter_map(|arn| balancing.listeners.get(arn)).flat_map(|listener| listener.target_groups());
    let beside = beside.filter(|arn| *arn != group.arn).filter_map(|arn| balancing.target_groups.get(arn));
    let mut taken = std::iter::once(group)
        .chain(beside)
        .flat_map(|other| other.targets.iter().filter(move |(own, _)| other.arn != group.arn || *own != key))
        .filter_map(|(_, target)| target.quic_server_id.as_deref());
    if taken.any(|other| other == id) || others.any(|other| other == Some(id)) {
        return Err(ApiError::validation(format!("QuicServerId '{id}' is in use by another target of the listener")));
    }
    Ok(())
}
