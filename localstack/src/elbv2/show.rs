//! Load balancers, target groups, listeners as XML.
//!
//! Imports `xml`, `model`. Element names and their presence follow AWS's service model; what AWS leaves out for a network load balancer is
//! left out here.

use jiff::Timestamp;

use crate::ids;
use crate::model::Tags;
use crate::model::balancing::{Forward, Listener, LoadBalancer, TargetGroup};
use crate::xml::Xml;

/// The content of a `LoadBalancer`.
pub(super) fn load_balancer(xml: &mut Xml, balancer: &LoadBalancer, region: &str) {
    xml.text("LoadBalancerArn", &balancer.arn);
    xml.text("DNSName", &balancer.dns_name);
    xml.text("CanonicalHostedZoneId", hosted_zone(region));
    xml.text("CreatedTime", time(balancer.created));
    xml.text("LoadBalancerName", &balancer.name);
    xml.text("Scheme", balancer.scheme());
    xml.text("VpcId", &balancer.vpc_id);
    xml.within("State", |xml| {
        xml.text("Code", balancer.state());
        xml.optional("Reason", balancer.failure.as_ref());
    });
    xml.text("Type", "network");
    zones(xml, balancer);
    if !balancer.security_groups.is_empty() {
        xml.texts("SecurityGroups", &balancer.security_groups);
    }
    xml.optional("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", balancer.enforce_private_link.as_ref());
    versions(xml, balancer);
}

/// A load balancer's `AvailabilityZones`.
pub(super) fn zones(xml: &mut Xml, balancer: &LoadBalancer) {
    xml.list("AvailabilityZones", &balancer.zones, |xml, (name, zone)| {
        xml.text("ZoneName", name);
        xml.text("SubnetId", &zone.subnet_id);
        // AWS shows only addresses that were chosen, not those it picked.
        let chosen = zone.chosen.then_some(zone.address);
        let ipv6 = zone.ipv6.filter(|_| zone.ipv6_chosen);
        let any = chosen.is_some() || ipv6.is_some() || zone.elastic.is_some();
        xml.list("LoadBalancerAddresses", any.then_some(zone.elastic.as_ref()), |xml, elastic| {
            xml.optional("IpAddress", elastic.map(|(_, address)| address));
            xml.optional("AllocationId", elastic.map(|(allocation, _)| allocation));
            xml.optional("PrivateIPv4Address", chosen);
            xml.optional("IPv6Address", ipv6);
        });
        if zone.source_nat_prefix.is_some() {
            xml.texts("SourceNatIpv6Prefixes", zone.source_nat_prefix);
        }
    });
}

/// A load balancer's `IpAddressType` and `EnablePrefixForIpv6SourceNat`.
pub(super) fn versions(xml: &mut Xml, balancer: &LoadBalancer) {
    xml.text("IpAddressType", if balancer.dualstack { "dualstack" } else { "ipv4" });
    xml.text("EnablePrefixForIpv6SourceNat", if balancer.prefix_for_source_nat { "on" } else { "off" });
}

/// The content of a `TargetGroup`.
pub(super) fn target_group(xml: &mut Xml, group: &TargetGroup) {
    let check = &group.check;
    xml.text("TargetGroupArn", &group.arn);
    xml.text("TargetGroupName", &group.name);
    xml.text("Protocol", group.protocol.name());
    xml.text("Port", group.port);
    xml.text("VpcId", &group.vpc_id);
    xml.text("HealthCheckProtocol", check.protocol.name());
    xml.text("HealthCheckPort", check.port_text());
    xml.text("HealthCheckEnabled", true);
    xml.text("HealthCheckIntervalSeconds", check.interval);
    xml.text("HealthCheckTimeoutSeconds", check.timeout);
    xml.text("HealthyThresholdCount", check.healthy);
    xml.text("UnhealthyThresholdCount", check.unhealthy);
    xml.optional("HealthCheckPath", check.path.as_ref());
    if let Some(codes) = &check.matcher {
        xml.within("Matcher", |xml| xml.text("HttpCode", codes));
    }
    xml.texts("LoadBalancerArns", group.load_balancer());
    xml.text("TargetType", group.kind.name());
    xml.text("IpAddressType", if group.ipv6 { "ipv6" } else { "ipv4" });
}

/// The content of a `Listener`.
pub(super) fn listener(xml: &mut Xml, listener: &Listener) {
    xml.text("ListenerArn", &listener.arn);
    xml.text("LoadBalancerArn", &listener.load_balancer);
    xml.text("Port", listener.port);
    xml.text("Protocol", listener.protocol.name());
    if let Some(tls) = &listener.tls {
        xml.list("Certificates", [&tls.default_certificate], |xml, arn| xml.text("CertificateArn", arn));
        xml.text("SslPolicy", &tls.policy);
        if let Some(alpn) = tls.alpn {
            xml.texts("AlpnPolicy", [alpn.name()]);
        }
    }
    xml.list("DefaultActions", [&listener.action], action);
}

/// The content of an `Action`.
pub(super) fn action(xml: &mut Xml, action: &Forward) {
    let several = action.groups.len() > 1;
    xml.text("Type", "forward");
    if !several {
        xml.optional("TargetGroupArn", action.target_groups().next());
    }
    xml.optional("Order", action.order);
    // However a single group was given, AWS shows it in both places.
    xml.within("ForwardConfig", |xml| {
        xml.list("TargetGroups", &action.groups, |xml, share| {
            xml.text("TargetGroupArn", &share.target_group);
            xml.optional("Weight", (several || share.weight != 1).then_some(share.weight));
        });
        if several {
            xml.within("TargetGroupStickinessConfig", |xml| xml.text("Enabled", action.sticky));
        }
    });
}

/// `Tags`.
pub(super) fn tags(xml: &mut Xml, tags: &Tags) {
    xml.list("Tags", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

/// AWS's timestamp form.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The Route 53 hosted zone of a region's network load balancers (AWS General Reference); for regions that are not listed here, an
/// invented one that is the region's own.
fn hosted_zone(region: &str) -> String {
    let known = match region {
        "us-east-1" => "Z26RNL4JYFTOTI",
        "us-east-2" => "ZLMOA37VPKANP",
        "us-west-1" => "Z24FKFUX50B4VW",
        "us-west-2" => "Z18D5FSROUN65G",
        "eu-central-1" => "Z3F0SRJ5LGBH90",
        "eu-west-1" => "Z2IFOLAFXWLO4F",
        _ => return format!("Z{}", ids::hex(region, 13).to_ascii_uppercase()),
    };
    known.to_owned()
}
