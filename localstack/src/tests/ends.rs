//! What clients and targets meet at their ends of the way: security-group rules, mapped addresses, UDP, weights, health checks' sources.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use super::traffic::{Bench, ask, serve, until};
use crate::testing::first;
use crate::{Options, SecurityGroups};

/// How long an answer is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(300);

fn enforcing() -> Options {
    Options { security_groups: SecurityGroups::Enforced, ..Options::default() }
}

impl Bench {
    fn ec2(&self, action: &str, parameters: &[(&str, &str)]) {
        self.region.call("ec2", action, parameters).unwrap();
    }

    /// Lets a peer reach a TCP port of a group's members, or no longer.
    fn rule(&self, action: &str, group: &str, port: &str, peer: (&str, &str)) {
        let parameters = [
            ("GroupId", group),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", port),
            ("IpPermissions.1.ToPort", port),
            peer,
        ];
        self.ec2(action, &parameters);
    }

    fn target_group(&self, name: &str, more: &[(&str, &str)]) -> String {
        let mut create = vec![("Name", name), ("Port", "9000"), ("VpcId", self.seeded.vpc_id.as_str())];
        create.extend(more);
        first(&self.call("CreateTargetGroup", &create), "TargetGroupArn")
    }

    fn group_attribute(&self, group: &str, key: &str, value: &str) {
        let attribute = [("TargetGroupArn", group), ("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)];
        self.call("ModifyTargetGroupAttributes", &attribute);
    }
}

async fn from(source: &str, address: SocketAddr) -> Option<String> {
    use tokio::io::AsyncReadExt;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    let mut text = [0; 3];
    socket.connect(address).await.ok()?.read_exact(&mut text).await.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_missing_node_rule_is_a_timeout_and_the_rule_mends_it() {
    let bench = Bench::with(47, 127, enforcing()).await;
    let create = [("GroupName", "front"), ("GroupDescription", "test"), ("VpcId", bench.seeded.vpc_id.as_str())];
    let front = first(&bench.region.call("ec2", "CreateSecurityGroup", &create).unwrap(), "groupId");
    let subnet = bench.seeded.subnets["public-us-west-2a"].as_str();
    let create =
        [("Name", "web"), ("Type", "network"), ("Subnets.member.1", subnet), ("SecurityGroups.member.1", front.as_str())];
    let balancer = first(&bench.call("CreateLoadBalancer", &create), "LoadBalancerArn");
    let group = bench.target_group("web", &[("Protocol", "TCP"), ("TargetType", "instance")]);
    bench.call("CreateListener", &crate::testing::listener(&balancer, "8080", &group));
    let _node = serve("127.47.1.10:30080".parse().unwrap(), "one").await;
    let register =
        [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", "i-00000000000000001"), ("Targets.member.1.Port", "30080")];
    bench.call("RegisterTargets", &register);

    until("the check has timed out", async || bench.states(&group) == ["unhealthy"]).await;
    let target = &bench.region.targets(&group)[0];
    assert_eq!((target.reason.as_str(), target.description.as_str()), ("Target.Timeout", "Request timed out"));
    let nodes = bench.seeded.security_groups["nodes"].as_str();
    bench.rule("AuthorizeSecurityGroupIngress", nodes, "30080", ("IpPermissions.1.Groups.1.GroupId", &front));
    until("the node is healthy", async || bench.states(&group) == ["healthy"]).await;

    let address = bench.address(0);
    assert!(tokio::time::timeout(SILENCE, ask(address)).await.is_err(), "the load balancer's own group lets nobody in yet");
    let clients = ("IpPermissions.1.IpRanges.1.CidrIp", "127.200.0.0/16");
    bench.rule("AuthorizeSecurityGroupIngress", &front, "8080", clients);
    until("a client gets through", async || {
        tokio::time::timeout(SILENCE, from("127.200.0.1", address)).await.is_ok_and(|answer| answer.as_deref() == Some("one"))
    })
    .await;
    assert!(tokio::time::timeout(SILENCE, from("127.201.0.1", address)).await.is_err());

    // The node rule goes: new connections hang, and the next checks find the node unhealthy.
    bench.rule("RevokeSecurityGroupIngress", nodes, "30080", ("IpPermissions.1.Groups.1.GroupId", &front));
    until("the node is unhealthy", async || bench.states(&group) == ["unhealthy"]).await;
    until("a client waits", async || tokio::time::timeout(SILENCE, from("127.200.0.1", address)).await.is_err()).await;
}

#[tokio::test]
async fn rules_are_ignored_unless_asked_for() {
    let bench = Bench::new(48).await;
    let (_, group) = bench.load_balancer();
    let node = bench.node(1, 30080);
    let _node = serve(node, "one").await;
    bench.change("RegisterTargets", &group, node);
    until("it answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
}

#[tokio::test]
async fn a_mapped_vpc_is_served_on_this_machines_addresses() {
    let options = Options { address_map: "10.49.0.0/16=127.49.0.0/16".parse().unwrap(), ..enforcing() };
    let dns = Some("127.0.0.1:0".parse().unwrap());
    let bench = Bench::with(49, 10, Options { dns, low_port_offset: 10_000, ..options }).await;
    let (balancer, group) = bench.load_balancer();
    bench.call("CreateListener", &crate::testing::listener(&balancer, "80", &group));
    let _one = serve("127.49.1.20:9000".parse().unwrap(), "one").await;
    bench.change("RegisterTargets", &group, "10.49.1.20:9000".parse().unwrap());
    until("healthy", async || bench.states(&group) == ["healthy"]).await;
    let vpc_address = bench.address(0).ip();
    let IpAddr::V4(four) = vpc_address else { panic!("IPv6") };
    assert_eq!(four.octets()[0], 10, "the API speaks of VPC addresses");
    let [_, b, c, d] = four.octets();
    for port in [8080, 10_080] {
        let here = SocketAddr::from(([127, b, c, d], port));
        until("it answers", async || ask(here).await.as_deref() == Some("one")).await;
    }

    let name = bench.region.load_balancers()[0].dns_name.clone();
    let resolver = bench.emulator.dns_address().unwrap();
    assert_eq!(super::client::resolve(resolver, &name).await, [IpAddr::from([127, b, c, d])]);
}

#[tokio::test]
async fn udp_goes_to_a_healthy_target_and_back() {
    let bench = Bench::new(50).await;
    let subnet = bench.seeded.subnets["public-us-west-2a"].as_str();
    let balancer = first(
        &bench.call("CreateLoadBalancer", &[("Name", "dns"), ("Type", "network"), ("Subnets.member.1", subnet)]),
        "LoadBalancerArn",
    );
    let group = bench.target_group("dns", &[("Protocol", "TCP_UDP"), ("TargetType", "ip")]);
    let mut listener = crate::testing::listener(&balancer, "8080", &group);
    listener[1].1 = "TCP_UDP";
    bench.call("CreateListener", &listener);
    let target = bench.node(1, 9000);
    let _tcp = serve(target, "tcp").await;
    let server = UdpSocket::bind(target).await.unwrap();
    let seen = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
        server.send_to(&buffer[..length], peer).await.unwrap();
        peer
    });
    bench.change("RegisterTargets", &group, target);
    until("healthy and open", async || ask(bench.address(0)).await.as_deref() == Some("tcp")).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(bench.address(0)).await.unwrap();
    client.send(b"question").await.unwrap();
    let mut answer = [0; 512];
    let length = tokio::time::timeout(Duration::from_secs(10), client.recv(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(&answer[..length], b"question");
    assert_eq!(seen.await.unwrap().ip(), client.local_addr().unwrap().ip(), "UDP targets see the client's address");
}

#[tokio::test]
async fn weights_decide_between_groups() {
    let bench = Bench::new(51).await;
    let (balancer, blue) = bench.load_balancer();
    let green = bench.target_group("green", &[("Protocol", "TCP"), ("TargetType", "ip")]);
    let (one, two) = (bench.node(1, 9000), bench.node(1, 9001));
    let (_one, _two) = (serve(one, "one").await, serve(two, "two").await);
    let forward = |weights: [&'static str; 2]| {
        [
            ("Protocol", "TCP"),
            ("Port", "8081"),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.Weight", weights[0]),
            ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.Weight", weights[1]),
        ]
    };
    let groups = [
        ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", blue.as_str()),
        ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn", green.as_str()),
    ];
    let create = [&[("LoadBalancerArn", balancer.as_str())][..], &forward(["1", "1"]), &groups].concat();
    let listener = first(&bench.call("CreateListener", &create), "ListenerArn");
    bench.change("RegisterTargets", &blue, one);
    bench.change("RegisterTargets", &green, two);
    let address = SocketAddr::new(bench.address(0).ip(), 8081);
    let answers = async || {
        let mut seen = BTreeSet::new();
        for _ in 0..40 {
            seen.extend(ask(address).await);
        }
        seen
    };
    until("both groups answer", async || answers().await == BTreeSet::from(["one".to_owned(), "two".to_owned()])).await;
    let modify = [&[("ListenerArn", listener.as_str())][..], &forward(["0", "5"]), &groups].concat();
    bench.call("ModifyListener", &modify);
    until("the second group has everything", async || answers().await == BTreeSet::from(["two".to_owned()])).await;
}

#[tokio::test]
async fn health_checks_come_from_the_nodes_that_use_the_target() {
    let bench = Bench::new(52).await;
    let (_, group) = bench.load_balancer();
    let target = bench.node(1, 9000);
    let listener = TcpListener::bind(target).await.unwrap();
    bench.change("RegisterTargets", &group, target);
    let [a, b] = [bench.address(0).ip(), bench.address(1).ip()];
    let (_, first) = tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.expect("a check").unwrap();
    assert_eq!(first.ip(), a, "the node in the target's zone");
    bench.group_attribute(&group, "load_balancing.cross_zone.enabled", "true");
    let both = async {
        let mut seen = BTreeSet::new();
        while seen != BTreeSet::from([a, b]) {
            seen.insert(listener.accept().await.unwrap().1.ip());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("checks from both nodes");
}

#[tokio::test]
async fn health_checks_begin_with_a_proxy_header_when_flows_do() {
    use tokio::io::AsyncReadExt;
    let bench = Bench::new(53).await;
    let (_, group) = bench.load_balancer();
    bench.group_attribute(&group, "proxy_protocol_v2.enabled", "true");
    let target = bench.node(1, 9000);
    let listener = TcpListener::bind(target).await.unwrap();
    bench.change("RegisterTargets", &group, target);
    let (mut check, _) = tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.expect("a check").unwrap();
    let mut sent = Vec::new();
    check.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, crate::proxy_protocol::health_check());
}

#[tokio::test]
async fn an_unhealthy_target_that_drains_keeps_its_connections_and_gets_no_new_ones() {
    use tokio::io::AsyncReadExt;
    let bench = Bench::new(57).await;
    let (_, group) = bench.load_balancer();
    bench.group_attribute(&group, "target_health_state.unhealthy.connection_termination.enabled", "false");
    bench.group_attribute(&group, "target_health_state.unhealthy.draining_interval_seconds", "600");
    bench.call("ModifyTargetGroup", &[("TargetGroupArn", &group), ("HealthCheckPort", "9100")]);
    let target = bench.node(1, 9000);
    let _target = serve(target, "one").await;
    let checked = serve(bench.node(1, 9100), "").await;
    bench.change("RegisterTargets", &group, target);
    until("healthy", async || bench.states(&group) == ["healthy"]).await;
    until("it answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
    let mut held = tokio::net::TcpStream::connect(bench.address(0)).await.unwrap();
    let mut text = [0; 3];
    held.read_exact(&mut text).await.unwrap();

    checked.abort();
    until("it drains", async || bench.states(&group) == ["unhealthy.draining"]).await;
    until("there are no new connections", async || ask(bench.address(0)).await.is_none()).await;
    assert!(tokio::time::timeout(SILENCE, held.read(&mut text)).await.is_err(), "the held connection lives");
    bench.emulator.clock().advance(Duration::from_secs(601));
    until("the group fails open", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
}
