//! Load balancers, listeners, target groups, targets and their health.
//!
//! Plain data and the relations between it: a group knows its listeners and thereby its one load balancer. Changed by `elbv2/`, `time.rs`
//! and the results of `health.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Tags;

/// The load balancing of one account in one region; every map is keyed by ARN.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Balancing {
    pub(crate) load_balancers: BTreeMap<String, LoadBalancer>,
    pub(crate) target_groups: BTreeMap<String, TargetGroup>,
    pub(crate) listeners: BTreeMap<String, Listener>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadBalancer {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// The 16 hexadecimal digits at the end of the ARN.
    pub(crate) id: String,
    pub(crate) dns_name: String,
    pub(crate) internal: bool,
    pub(crate) vpc_id: String,
    pub(crate) created: Timestamp,
    /// `Some`: provisioning until then.
    pub(crate) provisioning: Option<Timestamp>,
    /// Whether it has ever been active: a load balancer that is being changed goes on serving.
    pub(crate) serving: bool,
    /// `Some`: the state is `failed` for this reason.
    pub(crate) failure: Option<String>,
    /// When its name begins to resolve.
    pub(crate) resolvable: Timestamp,
    /// Whether it has IPv6 addresses beside the IPv4 ones.
    pub(crate) dualstack: bool,
    /// Whether UDP over IPv6 gets its source address from a prefix of each zone (`EnablePrefixForIpv6SourceNat`).
    pub(crate) prefix_for_source_nat: bool,
    pub(crate) capacity: Capacity,
    /// Enabled zones by name.
    pub(crate) zones: BTreeMap<String, Zone>,
    pub(crate) security_groups: Vec<String>,
    /// `EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic`: `on` or `off`, for load balancers with security groups.
    pub(crate) enforce_private_link: Option<String>,
    /// Attributes that differ from their defaults or were written.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: Tags,
}

/// A load balancer's place in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) subnet_id: String,
    pub(crate) address: Ipv4Addr,
    /// Whether the user chose the address (only then AWS shows it).
    pub(crate) chosen: bool,
    /// The Elastic IP that the user gave: allocation id and public address.
    pub(crate) elastic: Option<(String, Ipv4Addr)>,
    /// Dual stack only.
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// Whether the user chose the IPv6 address.
    pub(crate) ipv6_chosen: bool,
    /// The /80 that UDP over IPv6 gets its source address from.
    pub(crate) source_nat_prefix: Option<Ipv6Net>,
    pub(crate) interface_id: String,
}

impl Zone {
    /// The addresses that listeners answer on.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(IpAddr::V4(self.address)).chain(self.ipv6.map(IpAddr::V6))
    }

    /// The address that traffic to a target comes from.
    pub(crate) fn towards(&self, target: IpAddr) -> Option<IpAddr> {
        self.addresses().find(|own| own.is_ipv4() == target.is_ipv4())
    }
}

/// A load balancer's reserved capacity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Capacity {
    /// Units reserved for the whole load balancer; `None`: nothing is reserved.
    pub(crate) units: Option<u32>,
    /// When the last request was made.
    pub(crate) modified: Option<Timestamp>,
    /// `Some`: the last request is `pending` until then.
    pub(crate) pending: Option<Timestamp>,
    /// When reserved capacity was decreased, in the last day.
    pub(crate) decreases: Vec<Timestamp>,
}

impl LoadBalancer {
    pub(crate) fn scheme(&self) -> &'static str {
        if self.internal { "internal" } else { "internet-facing" }
    }

    /// AWS's state code.
    pub(crate) fn state(&self) -> &'static str {
        match (&self.failure, self.provisioning) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "provisioning",
            (None, None) => "active",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetGroup {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) vpc_id: String,
    pub(crate) kind: TargetKind,
    /// Whether its targets have IPv6 addresses; they have IPv4 ones otherwise.
    pub(crate) ipv6: bool,
    pub(crate) check: HealthCheck,
    /// Attributes that differ from their defaults or were written.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: Tags,
    #[serde(with = "super::pairs")]
    pub(crate) targets: BTreeMap<TargetKey, Target>,
    /// Listener ARN → load balancer ARN; all the same load balancer.
    pub(crate) listeners: BTreeMap<String, String>,
    /// Still counted as in use until then, though no listener is left.
    pub(crate) busy_until: Option<Timestamp>,
    /// Targets whose connections the data plane has to cut at its next look.
    pub(crate) cut: BTreeSet<(IpAddr, u16)>,
}

impl TargetGroup {
    /// The load balancer that the group belongs to.
    pub(crate) fn load_balancer(&self) -> Option<&str> {
        self.listeners.values().next().map(String::as_str)
    }
}

/// Protocols of listeners and target groups of a network load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Tcp,
    Tls,
    Udp,
    TcpUdp,
    Quic,
    TcpQuic,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Tcp, Self::Tls, Self::Udp, Self::TcpUdp, Self::Quic, Self::TcpQuic];
        all.into_iter().find(|protocol| protocol.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
            Self::Quic => "QUIC",
            Self::TcpQuic => "TCP_QUIC",
        }
    }

    pub(crate) fn carries_udp(self) -> bool {
        matches!(self, Self::Udp | Self::TcpUdp)
    }

    pub(crate) fn carries_quic(self) -> bool {
        matches!(self, Self::Quic | Self::TcpQuic)
    }

    /// Whether a listener of this protocol may forward to a group of the other (NLB user guide, listener configuration).
    pub(crate) fn forwards_to(self, group: Self) -> bool {
        match self {
            Self::Tcp => matches!(group, Self::Tcp | Self::TcpUdp),
            Self::Tls => matches!(group, Self::Tcp | Self::Tls),
            Self::Udp => matches!(group, Self::Udp | Self::TcpUdp),
            Self::Quic => matches!(group, Self::Quic | Self::TcpQuic),
            // Of a listener with two protocols, each group has both.
            Self::TcpUdp | Self::TcpQuic => group == self,
        }
    }
}

/// A target group's target type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TargetKind {
    Instance,
    Ip,
    /// One application load balancer.
    Alb,
}

impl TargetKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Ip => "ip",
            Self::Alb => "alb",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthCheck {
    pub(crate) protocol: CheckProtocol,
    /// `None`: the port that the target receives traffic on.
    pub(crate) port: Option<u16>,
    /// HTTP and HTTPS only.
    pub(crate) path: Option<String>,
    /// HTTP and HTTPS only: success codes, `200-399`.
    pub(crate) matcher: Option<String>,
    /// Seconds.
    pub(crate) interval: u32,
    /// Seconds.
    pub(crate) timeout: u32,
    pub(crate) healthy: u32,
    pub(crate) unhealthy: u32,
}

impl HealthCheck {
    /// The port as AWS shows it in a target group.
    pub(crate) fn port_text(&self) -> String {
        self.port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CheckProtocol {
    Tcp,
    Http,
    Https,
}

impl CheckProtocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }
}

/// A target is identified by what was registered and the port: one id may be registered on several ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TargetKey {
    pub(crate) id: String,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Where traffic and health checks go: the registered address, or the instance's primary private address.
    pub(crate) address: IpAddr,
    /// `None`: all zones.
    pub(crate) zone: Option<String>,
    /// Why the target gets no traffic whatever its health.
    pub(crate) disuse: Option<Disuse>,
    pub(crate) draining: bool,
    pub(crate) health: Health,
    /// `Some`: unhealthy, and until then `unhealthy.draining`: it keeps its connections and gets no new ones.
    pub(crate) unhealthy_draining: Option<Timestamp>,
    /// Whether the address is one of a load balancer's own.
    pub(crate) unusable: bool,
    /// Consecutive equal results of health checks: successes above zero, failures below.
    pub(crate) streak: i64,
    /// Set by hand: `health` stays as it is, no health check is made.
    pub(crate) pinned: bool,
    /// QUIC only: `0x` and 16 hexadecimal digits, by which the target's connections are known.
    pub(crate) quic_server_id: Option<String>,
    /// Changes whenever the target begins anew; see [`super::timers::Check`].
    pub(crate) generation: u64,
}

impl Target {
    pub(crate) fn in_use(&self) -> bool {
        self.disuse.is_none() && !self.draining
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Disuse {
    /// No listener forwards to the group.
    GroupNotUsed,
    /// The target's zone is not enabled for the load balancer.
    ZoneNotEnabled,
    /// The instance is stopped or terminated.
    InstanceState,
    /// The address is a load balancer's.
    IpUnusable,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Health {
    /// `initial`, `Elb.RegistrationInProgress`.
    Registering,
    /// `initial`, `Elb.InitialHealthChecking`.
    Checking,
    Healthy,
    Unhealthy {
        reason: String,
        description: String,
    },
    /// Not known, for a reason of ELB's own.
    Unavailable,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listener {
    pub(crate) arn: String,
    /// ARN of its load balancer.
    pub(crate) load_balancer: String,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) action: Forward,
    /// By priority; they come before the default action.
    pub(crate) rules: BTreeMap<u32, Rule>,
    /// Tags of the default rule, which is a resource of its own to `AddTags`.
    pub(crate) default_rule_tags: Tags,
    /// TLS listeners have it, others have not.
    pub(crate) tls: Option<Tls>,
    /// Attributes that differ from their defaults or were written.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: Tags,
}

impl Listener {
    /// The ARNs of the groups that its default action and its rules forward to.
    pub(crate) fn target_groups(&self) -> BTreeSet<&str> {
        let rules = self.rules.values().flat_map(|rule| rule.action.target_groups());
        self.action.target_groups().chain(rules).collect()
    }
}

/// A rule of a listener of a dual-stack load balancer: where connections of one IP version go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) arn: String,
    /// The clients it is for: those that come by IPv6, or by IPv4.
    pub(crate) ipv6: bool,
    pub(crate) action: Forward,
    pub(crate) tags: Tags,
}

/// An action: forward to one or more groups, by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forward {
    /// At least one; never the same group twice.
    pub(crate) groups: Vec<Share>,
    pub(crate) order: Option<i64>,
    /// Whether the flows of a client stay with the group that the first one went to.
    pub(crate) sticky: bool,
}

/// A target group's share of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    /// ARN of the target group.
    pub(crate) target_group: String,
    /// 0 to 999, in proportion to the other groups' weights; 0: no new connections.
    pub(crate) weight: u16,
}

impl Forward {
    /// The ARNs of its groups.
    pub(crate) fn target_groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|share| share.target_group.as_str())
    }
}

/// How a TLS listener meets its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tls {
    /// Name of the security policy.
    pub(crate) policy: String,
    /// ARN of the default certificate, for clients that name no server or an unknown one.
    pub(crate) default_certificate: String,
    /// ARNs of the certificate list, from which the client's server name (SNI) chooses; may hold the default one too.
    pub(crate) certificates: BTreeSet<String>,
    pub(crate) alpn: Option<Alpn>,
}

impl Tls {
    /// The ARNs of all its certificates, the default one first.
    pub(crate) fn all_certificates(&self) -> impl Iterator<Item = &str> {
        let others = self.certificates.iter().filter(|arn| **arn != self.default_certificate);
        std::iter::once(&self.default_certificate).chain(others).map(String::as_str)
    }
}

/// An ALPN policy: which application protocols a TLS listener agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Alpn {
    Http1Only,
    Http2Only,
    Http2Optional,
    Http2Preferred,
    None,
}

impl Alpn {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Http1Only, Self::Http2Only, Self::Http2Optional, Self::Http2Preferred, Self::None];
        all.into_iter().find(|policy| policy.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1Only => "HTTP1Only",
            Self::Http2Only => "HTTP2Only",
            Self::Http2Optional => "HTTP2Optional",
            Self::Http2Preferred => "HTTP2Preferred",
            Self::None => "None",
        }
    }
}

impl Balancing {
    /// The rule with an ARN, with its listener and priority. Default rules are not written down.
    pub(crate) fn rule(&self, arn: &str) -> Option<(&Listener, u32, &Rule)> {
        let mut rules = self
            .listeners
            .values()
            .flat_map(|listener| listener.rules.iter().map(move |(priority, rule)| (listener, *priority, rule)));
        rules.find(|(_, _, rule)| rule.arn == arn)
    }

    /// The listeners of a load balancer.
    pub(crate) fn listeners_of(&self, load_balancer: &str) -> impl Iterator<Item = &Listener> {
        self.listeners.values().filter(move |listener| listener.load_balancer == load_balancer)
    }

    /// The group's load balancer, if a listener uses it.
    pub(crate) fn balancer_of(&self, group: &TargetGroup) -> Option<&LoadBalancer> {
        self.load_balancers.get(group.load_balancer()?)
    }
}
