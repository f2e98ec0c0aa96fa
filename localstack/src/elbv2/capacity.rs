//! Reserved capacity of a load balancer, and its IP pools, which only application load balancers have.
//!
//! Rules of the NLB user guide ("Capacity reservations"): not with TLS listeners, one request at a time, two decreases a day. Imports
//! `names`, `model`. A request is provisioned by the passing of time alone, so that no timer is needed.

use jiff::{SignedDuration, Timestamp};

use super::names::{self, no_load_balancer};
use super::placement::configuration;
use super::show;
use crate::clock::{after, later};
use crate::error::ApiError;
use crate::model::balancing::{LoadBalancer, Protocol};
use crate::service::Call;
use crate::xml::Xml;

/// Units that may be reserved in one zone (default quota).
const MAX_UNITS_PER_ZONE: u32 = 45_000;
/// Decreases of reserved capacity within a day.
const MAX_DECREASES: usize = 2;

/// `DescribeCapacityReservation`.
pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let balancer = names::load_balancer(&call.state.balancing, call.params.required("LoadBalancerArn"))?;
    answer(out, balancer, call.now);
    Ok(())
}

fn decreases(balancer: &LoadBalancer, now: Timestamp) -> usize {
    let day_ago = later(now, -SignedDuration::from_hours(24));
    balancer.capacity.decreases.iter().filter(|when| **when > day_ago).count()
}

/// Whether the last request is not provisioned yet.
pub(super) fn is_pending(balancer: &LoadBalancer, now: Timestamp) -> bool {
    balancer.capacity.pending.is_some_and(|until| until > now)
}

fn answer(out: &mut Xml, balancer: &LoadBalancer, now: Timestamp) {
    let capacity = &balancer.capacity;
    out.optional("LastModifiedTime", capacity.modified.map(show::time));
    out.text("DecreaseRequestsRemaining", MAX_DECREASES.saturating_sub(decreases(balancer, now)));
    let Some(units) = capacity.units else { return };
    out.within("MinimumLoadBalancerCapacity", |xml| xml.text("CapacityUnits", units));
    let zones = u32::try_from(balancer.zones.len().max(1)).unwrap_or(1);
    let pending = is_pending(balancer, now);
    out.list("CapacityReservationState", balancer.zones.keys(), |xml, zone| {
        xml.within("State", |xml| xml.text("Code", if pending { "pending" } else { "provisioned" }));
        xml.text("AvailabilityZone", zone);
        xml.text("EffectiveCapacityUnits", if pending { 0.0 } else { f64::from(units) / f64::from(zones) });
    });
}

/// `ModifyCapacityReservation`.
pub(super) fn modify(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("LoadBalancerArn");
    let balancer = names::load_balancer(&call.state.balancing, arn)?;
    let reset = call.params.truth("ResetCapacityReservation") == Some(true);
    let units = call.params.number("MinimumLoadBalancerCapacity.CapacityUnits").and_then(|units| u32::try_from(units).ok());
    let wanted = match (units, reset) {
        (Some(_), true) | (None, false) => {
            let message = "Specify either MinimumLoadBalancerCapacity.CapacityUnits or ResetCapacityReservation";
            return Err(ApiError::validation(message));
        }
        (units, _) => units,
    };
    if call.state.balancing.listeners_of(arn).any(|listener| listener.protocol == Protocol::Tls) {
        return Err(configuration("Capacity cannot be reserved for load balancers with TLS listeners"));
    }
    if is_pending(balancer, call.now) {
        let message = format!("The capacity reservation of load balancer '{arn}' is still pending");
        return Err(ApiError::new("CapacityReservationPending", message));
    }
    let most = MAX_UNITS_PER_ZONE.saturating_mul(u32::try_from(balancer.zones.len()).unwrap_or(1));
    if let Some(units) = wanted.filter(|units| *units > most) {
        let message = format!("{units} capacity units are more than load balancer '{arn}' can reserve: {most}");
        return Err(ApiError::new("CapacityUnitsLimitExceeded", message));
    }
    let present = balancer.capacity.units;
    let decreased = matches!((present, wanted), (Some(present), Some(wanted)) if wanted < present);
    if decreased && decreases(balancer, call.now) >= MAX_DECREASES {
        let message = format!("The reserved capacity of load balancer '{arn}' was decreased {MAX_DECREASES} times today");
        return Err(ApiError::new("CapacityDecreaseRequestLimitExceeded", message));
    }
    let Some(balancer) = call.state.balancing.load_balancers.get_mut(arn) else { return Err(no_load_balancer(arn)) };
    let capacity = &mut balancer.capacity;
    if decreased {
        capacity.decreases.push(call.now);
    }
    if present != wanted {
        capacity.units = wanted;
        capacity.modified = Some(call.now);
        capacity.pending = Some(after(call.now, call.durations.reprovisioning));
    }
    answer(out, balancer, call.now);
    Ok(())
}

/// `ModifyIpPools`.
pub(super) fn modify_ip_pools(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("LoadBalancerArn");
    names::load_balancer(&call.state.balancing, arn)?;
    Err(ApiError::validation(format!(
        "Load balancer '{arn}' cannot have IP pools: they are not supported on load balancers with type 'network'"
    )))
}
