//! What AWS shows, as plain data: no SDK type, no client. Everything above `aws` speaks in these.
//!
//! Neighbours: `convert.rs` makes them from SDK types, `reads.rs` returns them, `writes.rs` takes their ids.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

/// Tags of one AWS object, key to value.
pub type Tags = BTreeMap<String, String>;

/// Attributes of a load balancer or target group, key to value as the API spells them.
pub type Attributes = BTreeMap<String, String>;

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The identifier as AWS spells it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl<T: Into<String>> From<T> for $name {
            fn from(value: T) -> Self {
                Self(value.into())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

identifiers! {
    /// `arn:aws:elasticloadbalancing:…:loadbalancer/net/<name>/<id>`.
    LoadBalancerArn;
    /// `arn:aws:elasticloadbalancing:…:targetgroup/<name>/<id>`.
    TargetGroupArn;
    /// `arn:aws:elasticloadbalancing:…:listener/net/<name>/<lb id>/<id>`.
    ListenerArn;
    /// `sg-…`.
    SecurityGroupId;
    /// `subnet-…`.
    SubnetId;
    /// `vpc-…`.
    VpcId;
    /// `i-…`.
    InstanceId;
}

/// Declares an enum of AWS spellings that keeps unknown ones (AWS adds values without notice).
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A value this version does not know, as AWS spelt it.
            Other(String),
        }
        impl $name {
            /// AWS's spelling.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

open_enum! {
    /// Where a load balancer is reachable from. Immutable.
    Scheme { /// Private addresses only.
        Internal = "internal", /// Public addresses.
        InternetFacing = "internet-facing", }
}
open_enum! {
    /// Address families of a load balancer or target group.
    IpAddressType { /// IPv4 only.
        Ipv4 = "ipv4", /// IPv4 and IPv6 (load balancers).
        Dualstack = "dualstack", /// IPv6 only (target groups).
        Ipv6 = "ipv6", }
}
open_enum! {
    /// Protocol of a listener or target group of an NLB.
    Protocol { /// TCP.
        Tcp = "TCP", /// UDP.
        Udp = "UDP", /// TCP and UDP on one port.
        TcpUdp = "TCP_UDP", /// TLS ended at the load balancer.
        Tls = "TLS", }
}
open_enum! {
    /// Protocol of a health check.
    HealthCheckProtocol { /// A TCP connection succeeds.
        Tcp = "TCP", /// A GET answers with a success code.
        Http = "HTTP", /// The same over TLS; the certificate is not checked.
        Https = "HTTPS", }
}
open_enum! {
    /// What a target id names. Immutable.
    TargetType { /// EC2 instance ids.
        Instance = "instance", /// Addresses.
        Ip = "ip", }
}
open_enum! {
    /// State of a load balancer.
    LoadBalancerState { /// Being made or changed: minutes.
        Provisioning = "provisioning", /// Serving.
        Active = "active", /// Serving, but could not scale.
        ActiveImpaired = "active_impaired", /// Could not be set up.
        Failed = "failed", }
}
open_enum! {
    /// Health of a target.
    TargetState { /// Registering, or in its first health checks.
        Initial = "initial", /// Healthy.
        Healthy = "healthy", /// Failing its checks.
        Unhealthy = "unhealthy", /// Its group or zone serves no listener.
        Unused = "unused", /// Deregistered, connections ending.
        Draining = "draining", /// Unhealthy, connections ending.
        UnhealthyDraining = "unhealthy.draining", /// Health is not known (an AWS fault).
        Unavailable = "unavailable", }
}

impl LoadBalancerState {
    /// Whether the load balancer serves traffic.
    #[must_use]
    pub fn serves(&self) -> bool {
        matches!(self, Self::Active | Self::ActiveImpaired)
    }
}

/// A Network Load Balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: LoadBalancerArn,
    /// Its name, unique in account and region.
    pub name: String,
    /// Its host name.
    pub dns_name: String,
    /// Its scheme.
    pub scheme: Scheme,
    /// Its address families.
    pub ip_address_type: IpAddressType,
    /// Its state, with AWS's reason when there is one.
    pub state: LoadBalancerState,
    /// AWS's words on the state.
    pub state_reason: Option<String>,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnets, one for each availability zone.
    pub subnets: BTreeSet<SubnetId>,
    /// Its security groups.
    pub security_groups: BTreeSet<SecurityGroupId>,
}

/// Health check of a target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// How it is made.
    pub protocol: HealthCheckProtocol,
    /// `None`: the port that traffic goes to (`traffic-port`).
    pub port: Option<u16>,
    /// Path of an HTTP check; `None` for TCP.
    pub path: Option<String>,
    /// Success codes of an HTTP check such as `200-399`; `None` for TCP.
    pub success_codes: Option<String>,
    /// Seconds between checks.
    pub interval_seconds: i32,
    /// Seconds until a check counts as failed.
    pub timeout_seconds: i32,
    /// Successes until healthy.
    pub healthy_threshold: i32,
    /// Failures until unhealthy.
    pub unhealthy_threshold: i32,
}

/// A target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// Its name, unique in account and region.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port used for targets registered without one.
    pub port: u16,
    /// What its targets are.
    pub target_type: TargetType,
    /// Its address family.
    pub ip_address_type: IpAddressType,
    /// Its health check.
    pub health_check: HealthCheck,
    /// Its VPC; `None` only for targets that are in none.
    pub vpc: Option<VpcId>,
    /// The load balancer whose listeners forward to it (at most one).
    pub load_balancers: BTreeSet<LoadBalancerArn>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Its ARN.
    pub arn: ListenerArn,
    /// Its port, unique in its load balancer.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The target groups that its default action forwards to.
    pub target_groups: BTreeSet<TargetGroupArn>,
}

/// One registration: identity of a target is id and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Target {
    /// Instance id or address.
    pub id: String,
    /// Port that traffic goes to.
    pub port: u16,
    /// `Some("all")` for an address outside the VPC; never compared (AWS fills it in).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
}

/// Health of one registered target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetHealth {
    /// Its state.
    pub state: TargetState,
    /// AWS's reason code, such as `Target.FailedHealthChecks`.
    pub reason: Option<String>,
}

/// Targets of a group: (id, port) to health.
pub type Targets = BTreeMap<(String, u16), TargetHealth>;

/// Where traffic that a security group rule admits comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleSource {
    /// An IPv4 or IPv6 CIDR in canonical form.
    Cidr(ipnet::IpNet),
    /// Members of a security group.
    SecurityGroup(SecurityGroupId),
    /// A managed prefix list (`pl-…`).
    PrefixList(String),
}

impl fmt::Display for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(cidr) => cidr.fmt(f),
            Self::SecurityGroup(id) => id.fmt(f),
            Self::PrefixList(id) => id.fmt(f),
        }
    }
}

/// One ingress rule of a security group. Identity in AWS: everything but the description.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Rule {
    /// `tcp`, `udp`, `icmp`, `-1` …
    pub protocol: String,
    /// First port; -1 for all of an ICMP or `-1` rule.
    pub from_port: i32,
    /// Last port.
    pub to_port: i32,
    /// Where from.
    pub source: RuleSource,
    /// Free text; ours names the cluster, so that only our own rules are ever revoked.
    pub description: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from_port == self.to_port {
            write!(f, "{}/{} from {}", self.protocol, self.from_port, self.source)
        } else {
            write!(f, "{}/{}-{} from {}", self.protocol, self.from_port, self.to_port, self.source)
        }
    }
}

/// A security group with its ingress rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its name, unique in the VPC.
    pub name: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its tags.
    pub tags: Tags,
    /// Its ingress rules, one source each.
    pub ingress: BTreeSet<Rule>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Name of its zone, such as `us-west-2a` (differs between accounts).
    pub zone: String,
    /// Id of its zone, such as `usw2-az1` (same in all accounts).
    pub zone_id: String,
    /// Whether it lies on an Outpost.
    pub outpost: bool,
    /// Its IPv4 CIDR.
    pub cidr: ipnet::Ipv4Net,
    /// Whether an IPv6 CIDR is associated.
    pub has_ipv6: bool,
    /// Free IPv4 addresses.
    pub available_addresses: i32,
    /// Its tags.
    pub tags: Tags,
}

/// An EC2 instance, as far as targets and their security groups need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Zone it runs in.
    pub zone: String,
    /// Security groups of its primary network interface (device index 0).
    pub security_groups: BTreeSet<SecurityGroupId>,
}
