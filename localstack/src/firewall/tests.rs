use super::*;
use crate::testing::Kit;

struct Bench {
    kit: Kit,
    /// The nodes' group of the standard VPC, which lets nothing in.
    nodes: String,
    group: String,
    balancer: String,
    /// A load balancer without groups.
    bare: String,
}

/// A node's address and the port of its service.
const NODE: &str = "10.20.1.10:30080";

impl Bench {
    fn new() -> Self {
        let kit = Kit::instant();
        let group = kit.security_group("front");
        let balancer = kit.load_balancer("web", &[("SecurityGroups.member.1", &group)]);
        let bare = kit.load_balancer("bare", &[]);
        Self { nodes: kit.seeded.security_groups["nodes"].clone(), group, balancer, bare, kit }
    }

    fn authorize(&self, direction: &str, group: &str, protocol: &str, ports: (&str, &str), peer: (&str, &str)) {
        let parameters = [
            ("GroupId", group),
            ("IpPermissions.1.IpProtocol", protocol),
            ("IpPermissions.1.FromPort", ports.0),
            ("IpPermissions.1.ToPort", ports.1),
            peer,
        ];
        self.kit.ec2(direction, &parameters).unwrap();
    }

    fn ingress(&self, group: &str, protocol: &str, ports: (&str, &str), peer: (&str, &str)) {
        self.authorize("AuthorizeSecurityGroupIngress", group, protocol, ports, peer);
    }

    fn ask<R>(&self, balancer: &str, question: impl FnOnce(&Firewall<'_>, &LoadBalancer) -> R) -> R {
        let state = self.kit.shared.account(crate::testing::ACCOUNT, crate::testing::REGION);
        self.kit
            .shared
            .with(&state, |state, _, _| question(&Firewall::new(&state.network), &state.balancing.load_balancers[balancer]))
    }

    /// The address that a load balancer has.
    fn node(&self, balancer: &str) -> IpAddr {
        self.ask(balancer, |_, balancer| IpAddr::V4(balancer.zones.values().next().unwrap().address))
    }

    fn target(&self, balancer: &str, origin: Origin, target: &str) -> Sources {
        self.ask(balancer, |rules, balancer| rules.target(balancer, origin, target.parse().unwrap(), Transport::Tcp))
    }
}

fn cidr(text: &str) -> (&str, &str) {
    ("IpPermissions.1.IpRanges.1.CidrIp", text)
}

fn source(group: &str) -> (&str, &str) {
    ("IpPermissions.1.Groups.1.GroupId", group)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_listener_lets_in_whom_the_rules_of_its_protocol_and_port_name() {
    let bench = Bench::new();
    let clients = |transport, port| bench.ask(&bench.balancer, |rules, balancer| rules.listener(balancer, transport, port));
    assert_eq!(clients(Transport::Tcp, 443), Sources::nobody(), "a new group lets nothing in");
    bench.ingress(&bench.group, "tcp", ("443", "444"), cidr("192.0.2.0/24"));
    bench.ingress(&bench.group, "udp", ("53", "53"), cidr("198.51.100.0/24"));
    assert!(clients(Transport::Tcp, 444).admit(ip("192.0.2.7")));
    assert!(!clients(Transport::Tcp, 444).admit(ip("198.51.100.7")));
    assert!(!clients(Transport::Tcp, 445).admit(ip("192.0.2.7")));
    assert!(!clients(Transport::Udp, 443).admit(ip("192.0.2.7")));
    assert!(clients(Transport::Udp, 53).admit(ip("198.51.100.7")));
    // A group stands for the addresses of its members.
    bench.ingress(&bench.group, "tcp", ("443", "443"), source(&bench.nodes));
    assert!(clients(Transport::Tcp, 443).admit(ip("10.20.1.10")));
    assert!(!clients(Transport::Tcp, 443).admit(ip("10.20.1.11")));
    assert_eq!(bench.ask(&bench.bare, |rules, balancer| rules.listener(balancer, Transport::Tcp, 443)), Sources::Any);
}

#[test]
fn a_target_without_a_rule_is_closed_and_the_load_balancers_group_opens_it() {
    let bench = Bench::new();
    let node = bench.node(&bench.balancer);
    for origin in [Origin::Node(node), Origin::Clients] {
        assert_eq!(bench.target(&bench.balancer, origin, NODE), Sources::nobody());
    }
    assert_eq!(bench.target(&bench.balancer, Origin::Node(node), "10.20.1.99:80"), Sources::Any, "no interface, no rules");
    bench.ingress(&bench.nodes, "tcp", ("30000", "32767"), source(&bench.group));
    for origin in [Origin::Node(node), Origin::Clients] {
        assert_eq!(bench.target(&bench.balancer, origin, NODE), Sources::Any);
        assert_eq!(bench.target(&bench.balancer, origin, "10.20.1.10:29999"), Sources::nobody());
    }
    // The rule names a group that the other load balancer does not have.
    assert_eq!(bench.target(&bench.bare, Origin::Node(bench.node(&bench.bare)), NODE), Sources::nobody());
}

#[test]
fn without_groups_the_address_that_the_target_sees_decides() {
    let bench = Bench::new();
    let node = bench.node(&bench.bare);
    bench.ingress(&bench.nodes, "tcp", ("30080", "30080"), cidr("192.0.2.0/24"));
    assert_eq!(bench.target(&bench.bare, Origin::Node(node), NODE), Sources::nobody());
    let clients = bench.target(&bench.bare, Origin::Clients, NODE);
    assert!(clients.admit(ip("192.0.2.7")) && !clients.admit(ip("192.0.3.7")) && !clients.admit(node));
    bench.ingress(&bench.nodes, "tcp", ("30080", "30080"), cidr(&format!("{node}/32")));
    assert_eq!(bench.target(&bench.bare, Origin::Node(node), NODE), Sources::Any);
}

#[test]
fn what_the_load_balancers_groups_do_not_let_out_arrives_nowhere() {
    let bench = Bench::new();
    let node = bench.node(&bench.balancer);
    bench.ingress(&bench.nodes, "tcp", ("30080", "30080"), source(&bench.group));
    let all = [("GroupId", bench.group.as_str()), ("IpPermissions.1.IpProtocol", "-1"), cidr("0.0.0.0/0")];
    bench.kit.ec2("RevokeSecurityGroupEgress", &all).unwrap();
    assert_eq!(bench.target(&bench.balancer, Origin::Node(node), NODE), Sources::nobody());
    bench.authorize("AuthorizeSecurityGroupEgress", &bench.group, "tcp", ("30080", "30080"), source(&bench.nodes));
    assert_eq!(bench.target(&bench.balancer, Origin::Node(node), NODE), Sources::Any);
    assert_eq!(bench.target(&bench.balancer, Origin::Node(node), "10.20.1.99:30080"), Sources::nobody());
}
