//! Targets: register, deregister, health.
//!
//! A target is an (id, port). Everything a call names is checked before any of it takes effect. Imports `names`, `model`; what follows in
//! time is in `model/time.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names;
use super::{quic, quotas};
use crate::clock::after;
use crate::error::ApiError;
use crate::model::balancing::{Disuse, Health, Target, TargetGroup, TargetKey, TargetKind};
use crate::model::network::{InstanceState, InterfaceOwner, Network};
use crate::model::timers::{Check, Event};
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

pub(super) fn register(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("TargetGroupArn");
    let state = &mut *call.state;
    let group = names::target_group(&state.balancing, arn)?;
    let mut places = BTreeMap::new();
    for asked in call.params.items("Targets") {
        let key = key(asked, group);
        let place = locate(asked, group, &state.network)?;
        quic::check(
            asked,
            &key,
            group,
            &state.balancing,
            places.values().map(|place: &Location| place.quic_server_id.as_deref()),
        )?;
        places.insert(key, place);
    }
    let joining = || places.iter().filter(|(key, _)| !group.targets.contains_key(*key)).map(|(_, place)| place.zone.as_deref());
    quotas::check_group(group, &state.quotas, joining().count())?;
    if let Some(balancer) = state.balancing.balancer_of(group) {
        quotas::check_targets(state, balancer, &BTreeSet::new(), &joining().map(|zone| (group, zone)).collect::<Vec<_>>())?;
    }
    for (key, place) in places {
        let Some(group) = state.balancing.target_groups.get_mut(arn) else { continue };
        group.cut.remove(&(place.address, key.port));
        if group.targets.get(&key).is_some_and(|target| !target.draining) {
            continue;
        }
        // Also for a draining target: registering it again ends the draining and begins anew.
        let target = Target {
            address: place.address,
            zone: place.zone,
            disuse: Some(Disuse::GroupNotUsed),
            draining: false,
            health: Health::Registering,
            unhealthy_draining: None,
            unusable: place.unusable,
            streak: 0,
            pinned: false,
            quic_server_id: place.quic_server_id,
            generation: state.timers.fresh(),
        };
        group.targets.insert(key, target);
    }
    state.refresh_use(arn, call.now, call.durations);
    Ok(())
}

pub(super) fn deregister(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("TargetGroupArn");
    let state = &mut *call.state;
    let keys: Vec<TargetKey> = {
        let group = names::target_group(&state.balancing, arn)?;
        call.params.items("Targets").into_iter().map(|asked| key(asked, group)).collect()
    };
    for key in &keys {
        state.echo_target(arn, key, call.now, call.durations);
    }
    let Some(group) = state.balancing.target_groups.get_mut(arn) else { return Ok(()) };
    let own_delay = group.attribute("deregistration_delay.timeout_seconds").parse().unwrap_or(300);
    let delay = call.durations.deregistration.unwrap_or(std::time::Duration::from_secs(own_delay));
    for key in keys {
        match group.targets.get_mut(&key) {
            // Deregistering what is not registered succeeds.
            None => {}
            Some(target) if target.draining => {}
            // A target without traffic has nothing to drain.
            Some(target) if target.disuse.is_some() => {
                group.targets.remove(&key);
            }
            Some(target) => {
                target.draining = true;
                target.generation = state.timers.fresh();
                let check = Check { group: arn.to_owned(), key, generation: target.generation };
                state.timers.plan(after(call.now, delay), Event::Drained(check));
            }
        }
    }
    Ok(())
}

fn key(asked: &Params, group: &TargetGroup) -> TargetKey {
    let port = asked.number("Port").and_then(|port| u16::try_from(port).ok()).unwrap_or(group.port);
    TargetKey { id: asked.required("Id").to_owned(), port }
}

/// Where a target is, once its id has proved to be a usable target of the group.
struct Location {
    address: IpAddr,
    zone: Option<String>,
    /// Whether the address is a load balancer's own.
    unusable: bool,
    quic_server_id: Option<String>,
}

impl Location {
    fn new(address: impl Into<IpAddr>, zone: Option<&str>) -> Self {
        Self { address: address.into(), zone: zone.map(str::to_owned), unusable: false, quic_server_id: None }
    }
}

fn locate(asked: &Params, group: &TargetGroup, network: &Network) -> Result<Location, ApiError> {
    let id = asked.required("Id");
    let zone = asked.text("AvailabilityZone");
    let mut location = match group.kind {
        TargetKind::Alb => {
            if zone.is_some() {
                let message = format!("An Availability Zone cannot be specified for application load balancer '{id}'");
                return Err(ApiError::validation(message));
            }
            // Application load balancers are not emulated, so that there is none to register.
            return Err(ApiError::new("InvalidTarget", format!("Application load balancer '{id}' does not exist")));
        }
        TargetKind::Instance => {
            if zone.is_some() {
                let message = format!("An Availability Zone cannot be specified for instance target '{id}'");
                return Err(ApiError::validation(message));
            }
            locate_instance(id, group, network)?
        }
        TargetKind::Ip => locate_ip(id, zone, group, network)?,
    };
    location.quic_server_id = asked.text("QuicServerId").map(str::to_owned);
    Ok(location)
}

fn locate_ip(id: &str, zone: Option<&str>, group: &TargetGroup, network: &Network) -> Result<Location, ApiError> {
    let version = if group.ipv6 { "IPv6" } else { "IPv4" };
    match id.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if !group.ipv6 => locate_v4(address, zone, group, network),
        Ok(IpAddr::V6(address)) if group.ipv6 => locate_v6(address, zone, group, network),
        _ => Err(ApiError::validation(format!(
            "The target ID '{id}' is not a valid {version} address, as a target group with type ip needs it"
        ))),
    }
}

fn locate_instance(id: &str, group: &TargetGroup, network: &Network) -> Result<Location, ApiError> {
    if !id.starts_with("i-") {
        return Err(ApiError::validation(format!(
            "Instance ID '{id}' is not valid, as a target group with type instance needs it"
        )));
    }
    let invalid = |why: &str| ApiError::new("InvalidTarget", format!("Instance '{id}' cannot be registered: {why}"));
    let instance = network.instances.get(id).ok_or_else(|| invalid("it does not exist"))?;
    if instance.state != InstanceState::Running {
        return Err(invalid("it is not in a running state"));
    }
    if instance.vpc_id != group.vpc_id {
        return Err(invalid(&format!("it is in {}, the target group in {}", instance.vpc_id, group.vpc_id)));
    }
    if group.ipv6 {
        return Err(invalid("it has no primary IPv6 address, as a target group with IP address type ipv6 needs it"));
    }
    Ok(Location::new(instance.address, Some(&instance.zone)))
}

fn locate_v4(address: Ipv4Addr, zone: Option<&str>, group: &TargetGroup, network: &Network) -> Result<Location, ApiError> {
    let invalid = |why: &str| ApiError::new("InvalidTarget", format!("The IP address '{address}' cannot be registered: {why}"));
    if network.vpcs.get(&group.vpc_id).is_some_and(|vpc| vpc.contains(address)) {
        let subnet =
            network.subnet_of(&group.vpc_id, address).ok_or_else(|| invalid("it is in no subnet of the target group's VPC"))?;
        if let Some(zone) = zone.filter(|zone| *zone != subnet.zone) {
            return Err(ApiError::validation(format!(
                "The IP address '{address}' is in Availability Zone {}, not {zone}",
                subnet.zone
            )));
        }
        let unusable = subnet.taken.contains(&address) && is_load_balancers(address, &group.vpc_id, network);
        return Ok(Location { unusable, ..Location::new(address, Some(&subnet.zone)) });
    }
    let shared = u32::from(address) & 0xffc0_0000 == u32::from(Ipv4Addr::new(100, 64, 0, 0));
    if !address.is_private() && !shared {
        return Err(invalid(
            "outside the VPC only addresses of 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 and 192.168.0.0/16 can be",
        ));
    }
    match zone {
        Some("all") => Ok(Location::new(address, None)),
        Some(zone) if network.zones.contains(zone) => Ok(Location::new(address, Some(zone))),
        Some(zone) => Err(ApiError::validation(format!("'{zone}' is not a valid Availability Zone"))),
        None => {
            let message =
                format!("If the IP address '{address}' is outside the VPC, you must specify an Availability Zone (or 'all')");
            Err(ApiError::validation(message))
        }
    }
}

fn locate_v6(address: Ipv6Addr, zone: Option<&str>, group: &TargetGroup, network: &Network) -> Result<Location, ApiError> {
    let mut subnets = network.subnets.values().filter(|subnet| subnet.vpc_id == group.vpc_id);
    let subnet = subnets.find(|subnet| subnet.ipv6_cidr.is_some_and(|cidr| cidr.contains(&address)));
    let subnet = subnet.ok_or_else(|| {
        ApiError::new("InvalidTarget", format!("The IP address '{address}' cannot be registered: it is in no subnet of the VPC"))
    })?;
    if let Some(zone) = zone.filter(|zone| *zone != subnet.zone) {
        let message = format!("The IP address '{address}' is in Availability Zone {}, not {zone}", subnet.zone);
        return Err(ApiError::validation(message));
    }
    Ok(Location::new(address, Some(&subnet.zone)))
}

fn is_load_balancers(address: Ipv4Addr, vpc_id: &str, network: &Network) -> bool {
    let mut own = network.interfaces.values().filter(|interface| interface.owner == InterfaceOwner::LoadBalancer);
    own.any(|interface| interface.vpc_id == vpc_id && (interface.address == address || interface.secondary.contains(&address)))
}

pub(super) fn describe_health(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let group = names::target_group(&call.state.balancing, call.params.required("TargetGroupArn"))?;
    let balancer = call.state.balancing.balancer_of(group);
    let shifting = balancer.is_some_and(|balancer| balancer.attribute_is("zonal_shift.config.enabled", "true"));
    let asked = call.params.items("Targets");
    if asked.is_empty() {
        let all = &group.targets;
        out.list("TargetHealthDescriptions", all, |xml, (key, target)| show(xml, group, key, Some(target), shifting));
        return Ok(());
    }
    let keys: Vec<TargetKey> = asked.into_iter().map(|asked| key(asked, group)).collect();
    out.list("TargetHealthDescriptions", keys, |xml, key| show(xml, group, &key, group.targets.get(&key), shifting));
    Ok(())
}

fn show(xml: &mut Xml, group: &TargetGroup, key: &TargetKey, target: Option<&Target>, shifting: bool) {
    xml.within("Target", |xml| {
        xml.text("Id", &key.id);
        xml.text("Port", key.port);
        let zone = target.map(|target| target.zone.as_deref().unwrap_or("all"));
        xml.optional("AvailabilityZone", zone);
        xml.optional("QuicServerId", target.and_then(|target| target.quic_server_id.as_ref()));
    });
    xml.text("HealthCheckPort", group.check.port.unwrap_or(key.port));
    let (state, reason, description) = target.map_or(NOT_REGISTERED, describe);
    xml.within("TargetHealth", |xml| {
        xml.text("State", state);
        xml.optional("Reason", (!reason.is_empty()).then_some(reason));
        xml.optional("Description", (!description.is_empty()).then_some(description));
    });
    // A load balancer takes part in zonal shift, of which the emulator has none.
    if shifting && target.is_some() {
        xml.within("AdministrativeOverride", |xml| {
            xml.text("State", "no_override");
            xml.text("Reason", "AdministrativeOverride.NoOverride");
            xml.text("Description", "No override is currently active on target");
        });
    }
}

type Shown<'a> = (&'static str, &'a str, &'a str);

const NOT_REGISTERED: Shown<'static> = ("unused", "Target.NotRegistered", "Target is not registered to the target group");

/// AWS's state, reason and description of a target; empty where AWS gives none.
pub(crate) fn describe(target: &Target) -> Shown<'_> {
    if target.draining {
        return ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress");
    }
    match target.disuse {
        Some(Disuse::GroupNotUsed) => {
            return ("unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer");
        }
        Some(Disuse::ZoneNotEnabled) => {
            return ("unused", "Target.NotInUse", "Target is in an Availability Zone that is not enabled for the load balancer");
        }
        Some(Disuse::IpUnusable) => {
            return ("unused", "Target.IpUnusable", "The target IP address is reserved for use by a load balancer");
        }
        Some(Disuse::InstanceState) => return ("unused", "Target.InvalidState", "Target is in the stopped or terminated state"),
        None => {}
    }
    match &target.health {
        Health::Registering => ("initial", "Elb.RegistrationInProgress", "Target registration is in progress"),
        Health::Checking => ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress"),
        Health::Healthy => ("healthy", "", ""),
        Health::Unhealthy { reason, description } if target.unhealthy_draining.is_some() => {
            ("unhealthy.draining", reason, description)
        }
        Health::Unhealthy { reason, description } => ("unhealthy", reason, description),
        Health::Unavailable => ("unavailable", "Elb.InternalError", "Target health is unavailable due to an internal error"),
    }
}
