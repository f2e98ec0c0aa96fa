//! ELBv2: load balancers, target groups, listeners, targets, tags, attributes.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types as sdk;

use super::{Converted, Object};
use crate::aws::types::{
    HealthCheck, HealthCheckProtocol, IpAddressType, Listener, LoadBalancer, LoadBalancerArn, LoadBalancerState, Protocol,
    Scheme, SecurityGroupId, SubnetId, Tags, Target, TargetGroup, TargetGroupArn, TargetHealth, TargetState, TargetType, VpcId,
};

/// Spelling of "the port that traffic goes to" in a health check.
pub(in crate::aws) const TRAFFIC_PORT: &str = "traffic-port";

pub(in crate::aws) fn load_balancer(of: &sdk::LoadBalancer) -> Converted<LoadBalancer> {
    let object = Object { kind: "load balancer", name: of.load_balancer_arn() };
    let state = object.required(of.state(), "state")?;
    Ok(LoadBalancer {
        arn: object.text(of.load_balancer_arn(), "ARN")?.into(),
        name: object.text(of.load_balancer_name(), "name")?,
        dns_name: object.text(of.dns_name(), "DNS name")?,
        scheme: Scheme::from(object.required(of.scheme(), "scheme")?.as_str()),
        // AWS documents IPv4 as the default.
        ip_address_type: of.ip_address_type().map_or(IpAddressType::Ipv4, |family| family.as_str().into()),
        state: LoadBalancerState::from(object.required(state.code(), "state code")?.as_str()),
        state_reason: state.reason().filter(|reason| !reason.is_empty()).map(str::to_owned),
        vpc: VpcId::from(object.text(of.vpc_id(), "VPC id")?),
        subnets: of.availability_zones().iter().filter_map(sdk::AvailabilityZone::subnet_id).map(SubnetId::from).collect(),
        security_groups: of.security_groups().iter().map(|id| SecurityGroupId::from(id.as_str())).collect(),
    })
}

/// Whether a target group can be expressed: one of a Lambda function has neither protocol nor port.
pub(in crate::aws) fn has_targets_with_ports(of: &sdk::TargetGroup) -> bool {
    of.target_type() != Some(&sdk::TargetTypeEnum::Lambda)
}

pub(in crate::aws) fn target_group(of: &sdk::TargetGroup) -> Converted<TargetGroup> {
    let object = Object { kind: "target group", name: of.target_group_arn() };
    Ok(TargetGroup {
        arn: object.text(of.target_group_arn(), "ARN")?.into(),
        name: object.text(of.target_group_name(), "name")?,
        protocol: Protocol::from(object.required(of.protocol(), "protocol")?.as_str()),
        port: object.port(of.port(), "port")?,
        target_type: TargetType::from(object.required(of.target_type(), "target type")?.as_str()),
        ip_address_type: of.ip_address_type().map_or(IpAddressType::Ipv4, |family| family.as_str().into()),
        health_check: health_check(of, &object)?,
        vpc: of.vpc_id().map(VpcId::from),
        load_balancers: of.load_balancer_arns().iter().map(|arn| LoadBalancerArn::from(arn.as_str())).collect(),
    })
}

fn health_check(of: &sdk::TargetGroup, object: &Object<'_>) -> Converted<HealthCheck> {
    let protocol = HealthCheckProtocol::from(object.required(of.health_check_protocol(), "health check protocol")?.as_str());
    let tcp = protocol == HealthCheckProtocol::Tcp;
    Ok(HealthCheck {
        port: match of.health_check_port() {
            None | Some(TRAFFIC_PORT) => None,
            Some(number) => Some(object.required(number.parse().ok(), "health check port")?),
        },
        path: of.health_check_path().filter(|path| !tcp && !path.is_empty()).map(str::to_owned),
        success_codes: of.matcher().and_then(sdk::Matcher::http_code).filter(|_| !tcp).map(str::to_owned),
        interval_seconds: object.required(of.health_check_interval_seconds(), "health check interval")?,
        timeout_seconds: object.required(of.health_check_timeout_seconds(), "health check timeout")?,
        healthy_threshold: object.required(of.healthy_threshold_count(), "healthy threshold")?,
        unhealthy_threshold: object.required(of.unhealthy_threshold_count(), "unhealthy threshold")?,
        protocol,
    })
}

pub(in crate::aws) fn listener(of: &sdk::Listener) -> Converted<Listener> {
    let object = Object { kind: "listener", name: of.listener_arn() };
    Ok(Listener {
        arn: object.text(of.listener_arn(), "ARN")?.into(),
        port: object.port(of.port(), "port")?,
        protocol: Protocol::from(object.required(of.protocol(), "protocol")?.as_str()),
        target_groups: of.default_actions().iter().flat_map(forwarded).collect(),
    })
}

/// An action names its target groups in one of two places, or the same one in both.
fn forwarded(action: &sdk::Action) -> BTreeSet<TargetGroupArn> {
    let listed = action.forward_config().map(sdk::ForwardActionConfig::target_groups).unwrap_or_default();
    listed
        .iter()
        .filter_map(sdk::TargetGroupTuple::target_group_arn)
        .chain(action.target_group_arn())
        .map(TargetGroupArn::from)
        .collect()
}

pub(in crate::aws) fn target_health(of: &sdk::TargetHealthDescription) -> Converted<((String, u16), TargetHealth)> {
    let target = of.target();
    let object = Object { kind: "target", name: target.and_then(sdk::TargetDescription::id) };
    let id = object.text(object.name, "id")?;
    let port = object.port(target.and_then(sdk::TargetDescription::port), "port")?;
    let health = of.target_health();
    let state = object.required(health.and_then(sdk::TargetHealth::state), "state")?;
    let reason = health.and_then(sdk::TargetHealth::reason).map(|reason| reason.as_str().to_owned());
    Ok(((id, port), TargetHealth { state: TargetState::from(state.as_str()), reason }))
}

pub(in crate::aws) fn tags(of: &[sdk::Tag]) -> Tags {
    of.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

pub(in crate::aws) fn to_tags(tags: &Tags) -> Vec<sdk::Tag> {
    tags.iter().map(|(key, value)| sdk::Tag::builder().key(key).value(value).build()).collect()
}

pub(in crate::aws) fn to_target(target: &Target) -> sdk::TargetDescription {
    sdk::TargetDescription::builder()
        .id(&target.id)
        .port(i32::from(target.port))
        .set_availability_zone(target.availability_zone.clone())
        .build()
}

/// A default action that forwards all to one target group.
pub(in crate::aws) fn to_forward(target_group: &TargetGroupArn) -> sdk::Action {
    sdk::Action::builder().r#type(sdk::ActionTypeEnum::Forward).target_group_arn(target_group.as_str()).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/net/n/0";

    fn balancer() -> sdk::builders::LoadBalancerBuilder {
        sdk::LoadBalancer::builder()
            .load_balancer_arn(ARN)
            .load_balancer_name("n")
            .dns_name("n-0.elb.eu-west-1.amazonaws.com")
            .scheme(sdk::LoadBalancerSchemeEnum::Internal)
            .vpc_id("vpc-1")
            .state(sdk::LoadBalancerState::builder().code(sdk::LoadBalancerStateEnum::Active).build())
            .availability_zones(sdk::AvailabilityZone::builder().subnet_id("subnet-b").build())
            .availability_zones(sdk::AvailabilityZone::builder().subnet_id("subnet-a").build())
    }

    fn group() -> sdk::builders::TargetGroupBuilder {
        sdk::TargetGroup::builder()
            .target_group_arn("tg")
            .target_group_name("t")
            .protocol(sdk::ProtocolEnum::Tcp)
            .port(80)
            .target_type(sdk::TargetTypeEnum::Ip)
            .health_check_protocol(sdk::ProtocolEnum::Tcp)
            .health_check_port("traffic-port")
            .health_check_interval_seconds(10)
            .health_check_timeout_seconds(10)
            .healthy_threshold_count(3)
            .unhealthy_threshold_count(3)
    }

    #[test]
    fn a_load_balancer_is_read_whole() {
        let read = load_balancer(&balancer().build()).unwrap();
        assert_eq!(read.ip_address_type, IpAddressType::Ipv4);
        assert!(read.state.serves());
        assert_eq!(read.subnets.iter().map(SubnetId::as_str).collect::<Vec<_>>(), ["subnet-a", "subnet-b"]);
        assert!(read.security_groups.is_empty());
    }

    #[test]
    fn states_that_aws_adds_later_are_kept() {
        let state = sdk::LoadBalancerState::builder().code("hibernating".into()).reason("").build();
        let read = load_balancer(&balancer().state(state).build()).unwrap();
        assert_eq!(read.state, LoadBalancerState::Other("hibernating".into()));
        assert_eq!(read.state_reason, None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = load_balancer(&balancer().set_dns_name(None).build()).unwrap_err();
        assert_eq!(error.to_string(), format!("AWS shows load balancer {ARN} without a usable DNS name"));
        let error = load_balancer(&sdk::LoadBalancer::builder().build()).unwrap_err();
        assert_eq!(error.to_string(), "AWS shows a load balancer without a usable state");
        let error = target_group(&group().port(70_000).build()).unwrap_err();
        assert_eq!(error.to_string(), "AWS shows target group tg without a usable port");
        let error = target_group(&group().health_check_port("http").build()).unwrap_err();
        assert_eq!(error.to_string(), "AWS shows target group tg without a usable health check port");
    }

    #[test]
    fn a_tcp_check_has_neither_path_nor_codes_and_an_http_check_keeps_both() {
        let matcher = sdk::Matcher::builder().http_code("200-399").build();
        let tcp = target_group(&group().health_check_path("/x").matcher(matcher.clone()).build()).unwrap().health_check;
        assert_eq!((tcp.port, tcp.path, tcp.success_codes), (None, None, None));
        let http = group().health_check_protocol(sdk::ProtocolEnum::Http).health_check_path("/x").health_check_port("10256");
        let http = target_group(&http.matcher(matcher).build()).unwrap().health_check;
        assert_eq!((http.port, http.path.as_deref(), http.success_codes.as_deref()), (Some(10256), Some("/x"), Some("200-399")));
    }

    #[test]
    fn a_listener_forwards_to_the_groups_named_in_either_place_once() {
        let tuple = |arn: &str| sdk::TargetGroupTuple::builder().target_group_arn(arn).build();
        let action = sdk::Action::builder()
            .r#type(sdk::ActionTypeEnum::Forward)
            .target_group_arn("a")
            .forward_config(sdk::ForwardActionConfig::builder().target_groups(tuple("a")).target_groups(tuple("b")).build())
            .build();
        let read = listener(
            &sdk::Listener::builder().listener_arn("l").port(443).protocol("QUIC".into()).default_actions(action).build(),
        )
        .unwrap();
        assert_eq!(read.protocol, Protocol::Other("QUIC".into()));
        assert_eq!(read.target_groups, ["a", "b"].map(TargetGroupArn::from).into());
    }

    #[test]
    fn targets_are_told_apart_by_id_and_port() {
        let target = sdk::TargetDescription::builder().id("10.0.0.1").port(8080).availability_zone("eu-west-1a").build();
        let health = sdk::TargetHealth::builder()
            .state("unhealthy.draining".into())
            .reason(sdk::TargetHealthReasonEnum::DeregistrationInProgress)
            .build();
        let described = sdk::TargetHealthDescription::builder().target(target).target_health(health).build();
        let ((id, port), health) = target_health(&described).unwrap();
        assert_eq!((id.as_str(), port), ("10.0.0.1", 8080));
        assert_eq!(health.state, TargetState::UnhealthyDraining);
        assert_eq!(health.reason.as_deref(), Some("Target.DeregistrationInProgress"));
    }
}
