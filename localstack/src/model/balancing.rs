//! Load balancers, listeners, target groups, targets and their health.
//!
//! Plain data and the relations between it: a group knows its listeners and thereby its one load balancer. Changed by `elbv2/`, `time.rs`
//! and the results of `health.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;

use super::Tags;

/// The load balancing of one account in one region; every map is keyed by ARN.
#[derive(Debug, Default)]
pub(crate) struct Balancing {
    pub(crate) load_balancers: BTreeMap<String, LoadBalancer>,
    pub(crate) target_groups: BTreeMap<String, TargetGroup>,
    pub(crate) listeners: BTreeMap<String, Listener>,
}

#[derive(Debug, Clone)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) subnet_id: String,
    pub(crate) address: Ipv4Addr,
    /// Whether the user chose the address (only then AWS shows it).
    pub(crate) chosen: bool,
    pub(crate) interface_id: String,
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

#[derive(Debug, Clone)]
pub(crate) struct TargetGroup {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) vpc_id: String,
    pub(crate) kind: TargetKind,
    pub(crate) check: HealthCheck,
    /// Attributes that differ from their defaults or were written.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: Tags,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Tls,
    Udp,
    TcpUdp,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Tls, Self::Udp, Self::TcpUdp].into_iter().find(|protocol| protocol.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
        }
    }

    pub(crate) fn carries_udp(self) -> bool {
        matches!(self, Self::Udp | Self::TcpUdp)
    }

    /// Whether a listener of this protocol may forward to a group of the other (NLB user guide, listener configuration).
    pub(crate) fn forwards_to(self, group: Self) -> bool {
        match self {
            Self::Tcp => matches!(group, Self::Tcp | Self::TcpUdp),
            Self::Tls => matches!(group, Self::Tcp | Self::Tls),
            Self::Udp => matches!(group, Self::Udp | Self::TcpUdp),
            Self::TcpUdp => group == Self::TcpUdp,
        }
    }
}

/// A target group's target type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Instance,
    Ip,
}

impl TargetKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Ip => "ip",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TargetKey {
    pub(crate) id: String,
    pub(crate) port: u16,
}

#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where traffic and health checks go: the registered address, or the instance's primary private address.
    pub(crate) address: IpAddr,
    /// `None`: all zones.
    pub(crate) zone: Option<String>,
    /// Why the target gets no traffic whatever its health.
    pub(crate) disuse: Option<Disuse>,
    pub(crate) draining: bool,
    pub(crate) health: Health,
    /// Consecutive equal results of health checks: successes above zero, failures below.
    pub(crate) streak: i64,
    /// Set by hand: `health` stays as it is, no health check is made.
    pub(crate) pinned: bool,
    /// Changes whenever the target begins anew; see [`super::timers::Check`].
    pub(crate) generation: u64,
}

impl Target {
    pub(crate) fn in_use(&self) -> bool {
        self.disuse.is_none() && !self.draining
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disuse {
    /// No listener forwards to the group.
    GroupNotUsed,
    /// The target's zone is not enabled for the load balancer.
    ZoneNotEnabled,
    /// The instance is stopped or terminated.
    InstanceState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
}

#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) arn: String,
    /// ARN of its load balancer.
    pub(crate) load_balancer: String,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) action: Forward,
    /// Attributes that differ from their defaults or were written.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: Tags,
}

/// A listener's default action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// ARN of the target group.
    pub(crate) target_group: String,
    pub(crate) order: Option<i64>,
}

impl Balancing {
    /// The listeners of a load balancer.
    pub(crate) fn listeners_of(&self, load_balancer: &str) -> impl Iterator<Item = &Listener> {
        self.listeners.values().filter(move |listener| listener.load_balancer == load_balancer)
    }

    /// The group's load balancer, if a listener uses it.
    pub(crate) fn balancer_of(&self, group: &TargetGroup) -> Option<&LoadBalancer> {
        self.load_balancers.get(group.load_balancer()?)
    }
}
