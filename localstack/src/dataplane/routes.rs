//! From state to listeners: what has to be open on which addresses, and who is behind it.
//!
//! Imports `model`, `firewall` and the forwarder's words; does nothing itself. Each zone's address is a listener of its own, because it has
//! its own targets, and so is each transport.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::Wiring;
use super::choose::Minimum;
use super::forward::{ListenerSpec, Pool, PoolTarget};
use crate::firewall::{Firewall, Origin, Sources, Transport};
use crate::model::State;
use crate::model::balancing::{
    Alpn, Disuse, Forward, Health, Listener, LoadBalancer, Protocol, Target, TargetGroup, TargetKey, Tls, Zone,
};
use crate::model::security_policies::{self, SecurityPolicy};
use crate::tls::{Pem, Settings};

/// A UDP flow without datagrams is forgotten after this long (NLB user guide, "Connection idle timeout").
const UDP_IDLE: Duration = Duration::from_secs(120);

/// The listeners of an account that have to be open now. Takes the connections to be cut out of the state: they are told once.
pub(super) fn listeners(state: &mut State, now: Timestamp, wiring: &Wiring) -> Vec<ListenerSpec> {
    let mut specs = Vec::new();
    let view = View { state, now, firewall: wiring.firewall.then(|| Firewall::new(&state.network)), wiring };
    for listener in state.balancing.listeners.values() {
        let Some(balancer) = state.balancing.load_balancers.get(&listener.load_balancer).filter(|balancer| balancer.serving)
        else {
            continue;
        };
        for (zone, place) in &balancer.zones {
            for ip in place.addresses() {
                let address = SocketAddr::new(ip, listener.port);
                let spec = |&transport| Place { view: &view, listener, balancer, zone, place, transport, address }.spec();
                specs.extend(transports(listener.protocol).iter().map(spec));
            }
        }
    }
    for group in state.balancing.target_groups.values_mut() {
        group.cut.clear();
    }
    specs
}

/// What a listener's protocol is carried by here.
fn transports(protocol: Protocol) -> &'static [Transport] {
    match protocol {
        // QUIC is in the API alone.
        Protocol::Tcp | Protocol::Tls | Protocol::TcpQuic => &[Transport::Tcp],
        Protocol::Udp => &[Transport::Udp],
        Protocol::TcpUdp => &[Transport::Tcp, Transport::Udp],
        Protocol::Quic => &[],
    }
}

struct View<'a> {
    state: &'a State,
    now: Timestamp,
    /// `None`: rules do not hold.
    firewall: Option<Firewall<'a>>,
    wiring: &'a Wiring,
}

/// One listener in one zone.
struct Place<'a> {
    view: &'a View<'a>,
    listener: &'a Listener,
    balancer: &'a LoadBalancer,
    zone: &'a str,
    place: &'a Zone,
    transport: Transport,
    address: SocketAddr,
}

impl Place<'_> {
    fn spec(&self) -> ListenerSpec {
        let wiring = self.view.wiring;
        let firewall = self.view.firewall.as_ref();
        ListenerSpec {
            id: self.listener.arn.clone(),
            transport: self.transport,
            address: self.address,
            local: wiring.listener_to_local(self.address),
            nodes: self.place.addresses().map(|node| wiring.addresses.to_local(node)).collect(),
            idle: self.idle(),
            tls: self.listener.tls.as_ref().map(|tls| self.tls(tls)),
            clients: firewall.map_or(Sources::Any, |rules| rules.listener(self.balancer, self.transport, self.address.port())),
            pools: self.pools(),
            sticky: self.action().sticky,
        }
    }

    /// The rule for the client's IP version, if the listener has one.
    fn action(&self) -> &Forward {
        let rule = self.listener.rules.values().find(|rule| rule.ipv6 == self.address.is_ipv6());
        rule.map_or_else(|| self.default_action(), |rule| &rule.action)
    }

    /// What the listener still does, or when its groups are gone, what it is to do.
    fn default_action(&self) -> &Forward {
        let groups = &self.view.state.balancing.target_groups;
        let followed = [self.view.state.echoes.action(self.listener), &self.listener.action];
        let leads = |action: &&Forward| action.groups.iter().any(|share| groups.contains_key(&share.target_group));
        followed.into_iter().find(leads).unwrap_or(&self.listener.action)
    }

    fn tls(&self, tls: &Tls) -> Settings {
        let policy = security_policies::find(&tls.policy);
        let certificates = tls.all_certificates().filter_map(|arn| self.view.state.certificate(arn, self.view.now));
        Settings {
            certificates: certificates.map(|own| Pem { chain: own.chain, key: own.key.pem().to_owned() }).collect(),
            protocols: policy.map_or(&[][..], |policy| policy.protocols),
            ciphers: policy.into_iter().flat_map(SecurityPolicy::ciphers).collect(),
            alpn: protocols(tls.alpn),
        }
    }

    fn idle(&self) -> Duration {
        match self.transport {
            Transport::Udp => UDP_IDLE,
            Transport::Tcp => Duration::from_secs(self.listener.attribute("tcp.idle_timeout.seconds").parse().unwrap_or(350)),
        }
    }

    fn pools(&self) -> Vec<Pool> {
        let groups = &self.view.state.balancing.target_groups;
        let shares = self.action().groups.iter();
        shares.filter_map(|share| Some(self.pool(groups.get(&share.target_group)?, share.weight.into()))).collect()
    }

    fn pool(&self, group: &TargetGroup, weight: u32) -> Pool {
        let crosses = group.crosses_zones(self.balancer);
        let echoes = &self.view.state.echoes;
        let cut_unhealthy = group.attribute_is("target_health_state.unhealthy.connection_termination.enabled", "true");
        let preserve_client = group.attribute_is("preserve_client_ip.enabled", "true");
        // A target of no zone (an address outside of the VPC, zone `all`) is used from every zone.
        let here = |target: &Target| crosses || target.zone.as_deref().is_none_or(|zone| zone == self.zone);
        let target = |key: &TargetKey, target: &Target| {
            let address = SocketAddr::new(target.address, key.port);
            PoolTarget {
                admits: self.admits(address, preserve_client),
                healthy: target.health == Health::Healthy,
                draining: target.draining && !echoes.has_target(&group.arn, address) || target.unhealthy_draining.is_some(),
                // Takes effect when it becomes true; a pool that fails open may use the target afterwards.
                terminate: cut_unhealthy && matches!(target.health, Health::Unhealthy { .. }),
                ..self.gone(address)
            }
        };
        // Whoever forwards to a group without listeners has not caught up with its losing them.
        let used = |disuse: Option<Disuse>| disuse.is_none_or(|why| why == Disuse::GroupNotUsed && group.listeners.is_empty());
        let used = group.targets.iter().filter(|(_, target)| used(target.disuse) && here(target));
        let present = used.map(|(key, value)| target(key, value));
        let registered = |address: SocketAddr| {
            let is = |(key, target): (&TargetKey, &Target)| SocketAddr::new(target.address, key.port) == address;
            group.targets.iter().any(is) || group.cut.contains(&(address.ip(), address.port()))
        };
        let echoed = echoes.targets(&group.arn).filter(|(address, target)| {
            !registered(*address) && (crosses || target.zone.as_deref().is_none_or(|zone| zone == self.zone))
        });
        let echoed = echoed.map(|(address, target)| PoolTarget {
            admits: self.admits(address, preserve_client),
            healthy: target.healthy,
            draining: false,
            terminate: false,
            ..self.gone(address)
        });
        let cut = group.cut.iter().map(|&(address, port)| self.gone(SocketAddr::new(address, port)));
        Pool {
            group: group.arn.clone(),
            weight,
            targets: present.chain(echoed).chain(cut).collect(),
            minimum: minimum(group),
            // NLB user guide, "Sticky sessions": not for TLS listeners.
            sticky: self.listener.protocol != Protocol::Tls && group.attribute_is("stickiness.enabled", "true"),
            proxy_protocol_v2: group.attribute_is("proxy_protocol_v2.enabled", "true"),
            preserve_client,
            tls: group.protocol == Protocol::Tls,
        }
    }

    fn admits(&self, target: SocketAddr, preserve_client: bool) -> Sources {
        let Some(firewall) = &self.view.firewall else { return Sources::Any };
        // Across IP versions, a client's address cannot be kept.
        let kept = preserve_client && self.address.is_ipv4() == target.is_ipv4();
        let origin =
            if kept { Origin::Clients } else { Origin::Node(self.place.towards(target.ip()).unwrap_or(self.address.ip())) };
        firewall.target(self.balancer, origin, target, self.transport)
    }

    /// A target that is no longer registered, and whose flows have to end.
    fn gone(&self, address: SocketAddr) -> PoolTarget {
        let local = self.view.wiring.to_local(address);
        PoolTarget { address, local, admits: Sources::Any, healthy: false, draining: true, terminate: true }
    }
}

/// The application protocols of an ALPN policy, the preferred one first (NLB user guide, "ALPN policies").
fn protocols(policy: Option<Alpn>) -> &'static [&'static str] {
    match policy {
        Some(Alpn::Http1Only) => &["http/1.1", "http/1.0"],
        Some(Alpn::Http2Only) => &["h2"],
        Some(Alpn::Http2Optional) => &["http/1.1", "http/1.0", "h2"],
        Some(Alpn::Http2Preferred) => &["h2", "http/1.1", "http/1.0"],
        Some(Alpn::None) | None => &[],
    }
}

fn minimum(group: &TargetGroup) -> Minimum {
    let value = |key: &str| {
        group
            .attribute(&format!("target_group_health.unhealthy_state_routing.minimum_healthy_targets.{key}"))
            .parse()
            .unwrap_or(0)
    };
    Minimum { count: value("count"), percentage: value("percentage") }
}
