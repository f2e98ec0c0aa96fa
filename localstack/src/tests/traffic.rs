//! Health checks, forwarding and names, with real sockets on loopback addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::dns::Answer;
use crate::resolve;
use crate::testing::first;
use crate::{DataPlane, Durations, Emulator, Options, Region, Seeded, World, WorldOptions};

/// Each test has a /16 of its own: sockets of tests that run side by side must not meet.
pub(crate) struct Bench {
    pub(crate) emulator: Emulator,
    pub(crate) region: Region,
    pub(crate) seeded: Seeded,
    net: u8,
}

impl Bench {
    pub(crate) async fn new(net: u8) -> Self {
        Self::with(net, 127, Options::default()).await
    }

    /// The VPC is `first.net.0.0/16`.
    pub(crate) async fn with(net: u8, first: u8, options: Options) -> Self {
        let options = Options { data_plane: DataPlane::On, ..options };
        let emulator = Emulator::start(options).await.unwrap();
        let region = emulator.region("111122223333", "us-west-2");
        let world = World::three_zones(WorldOptions {
            vpc_cidr: Ipv4Net::new(Ipv4Addr::new(first, net, 0, 0), 16).unwrap(),
            load_balancer_cidr: Ipv4Net::new(Ipv4Addr::new(first, net, 128, 0), 17).unwrap(),
            ..WorldOptions::default()
        });
        let seeded = region.seed(&world);
        Self { emulator, region, seeded, net }
    }

    pub(crate) fn call(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.region.call("elasticloadbalancing", action, parameters).unwrap()
    }

    /// A load balancer in the zones a and b with a TCP listener on 8080, and its target group.
    pub(crate) fn load_balancer(&self) -> (String, String) {
        let [a, b] = ["a", "b"].map(|zone| self.seeded.subnets[&format!("public-us-west-2{zone}")].as_str());
        let create = [("Name", "web"), ("Type", "network"), ("Subnets.member.1", a), ("Subnets.member.2", b)];
        let balancer = first(&self.call("CreateLoadBalancer", &create), "LoadBalancerArn");
        let group = self.group("web");
        self.call("CreateListener", &crate::testing::listener(&balancer, "8080", &group));
        (balancer, group)
    }

    /// A target group for addresses.
    pub(crate) fn group(&self, name: &str) -> String {
        let create =
            [("Name", name), ("Protocol", "TCP"), ("Port", "9000"), ("VpcId", self.seeded.vpc_id.as_str()), ("TargetType", "ip")];
        first(&self.call("CreateTargetGroup", &create), "TargetGroupArn")
    }

    pub(crate) fn change(&self, action: &str, group: &str, address: SocketAddr) {
        let (id, port) = (address.ip().to_string(), address.port().to_string());
        self.call(action, &[("TargetGroupArn", group), ("Targets.member.1.Id", &id), ("Targets.member.1.Port", &port)]);
    }

    /// Where the load balancer answers in zone a (0) or b (1).
    pub(crate) fn address(&self, zone: usize) -> SocketAddr {
        SocketAddr::from((self.region.load_balancers()[0].zones[zone].address, 8080))
    }

    pub(crate) fn states(&self, group: &str) -> Vec<String> {
        self.region.targets(group).into_iter().map(|target| target.state).collect()
    }

    pub(crate) fn node(&self, zone: u8, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, self.net, zone, 20), port))
    }

    pub(crate) fn names(&self) -> Option<Vec<String>> {
        let name = self.region.load_balancers()[0].dns_name.clone();
        match resolve::lookup(&self.emulator.running.shared, &name) {
            Answer::Addresses(addresses) => Some(addresses.iter().map(ToString::to_string).collect()),
            Answer::NoSuchName => None,
        }
    }
}

/// A server that answers each connection with its name and keeps it open.
pub(crate) async fn serve(address: SocketAddr, name: &'static str) -> JoinHandle<()> {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(name.as_bytes()).await;
            open.push(stream);
        }
    })
}

/// Waits for a condition that real sockets bring about.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}

pub(crate) async fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut text = [0; 3];
    stream.read_exact(&mut text).await.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn targets_are_probed_and_served_in_their_zone() {
    let bench = Bench::new(41).await;
    let (_, group) = bench.load_balancer();
    let (one, two) = (bench.node(1, 9000), bench.node(2, 9000));
    let serving = serve(one, "one").await;
    let _two = serve(two, "two").await;
    for target in [one, two] {
        bench.change("RegisterTargets", &group, target);
    }
    until("both healthy", async || bench.states(&group) == ["healthy", "healthy"]).await;
    until("zone a answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
    until("zone b answers", async || ask(bench.address(1)).await.as_deref() == Some("two")).await;
    assert_eq!(bench.names().unwrap().len(), 2);

    serving.abort();
    until("the dead target is unhealthy", async || bench.states(&group) == ["unhealthy", "healthy"]).await;
    let target = &bench.region.targets(&group)[0];
    assert_eq!(target.reason, "Target.FailedHealthChecks");
    assert_eq!(bench.names().unwrap(), [bench.address(1).ip().to_string()], "a zone without a healthy target is withdrawn");
}

#[tokio::test]
async fn a_deregistered_target_keeps_its_connections_and_gets_no_new_ones() {
    let bench = Bench::new(42).await;
    bench.emulator.set_durations(Durations { deregistration: Some(Duration::from_secs(300)), ..Durations::instant() });
    let (_, group) = bench.load_balancer();
    let (one, two) = (bench.node(1, 9000), bench.node(1, 9001));
    let (_one, _two) = (serve(one, "one").await, serve(two, "two").await);
    bench.change("RegisterTargets", &group, one);
    until("healthy", async || bench.states(&group) == ["healthy"]).await;
    until("it answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
    let mut held = TcpStream::connect(bench.address(0)).await.unwrap();
    let mut text = [0; 3];
    held.read_exact(&mut text).await.unwrap();

    bench.change("RegisterTargets", &group, two);
    bench.change("DeregisterTargets", &group, one);
    until("the other is healthy", async || bench.states(&group) == ["draining", "healthy"]).await;
    until("the other answers", async || ask(bench.address(0)).await.as_deref() == Some("two")).await;
    for _ in 0..20 {
        assert_eq!(ask(bench.address(0)).await.as_deref(), Some("two"));
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), held.read(&mut text)).await.is_err(), "the held connection lives");
    bench.emulator.clock().advance(Duration::from_secs(301));
    until("it is gone", async || bench.states(&group) == ["healthy"]).await;
}

#[tokio::test]
async fn connections_are_cut_when_the_group_says_so() {
    let bench = Bench::new(43).await;
    let (_, group) = bench.load_balancer();
    let terminate = [
        ("TargetGroupArn", group.as_str()),
        ("Attributes.member.1.Key", "deregistration_delay.connection_termination.enabled"),
        ("Attributes.member.1.Value", "true"),
    ];
    bench.call("ModifyTargetGroupAttributes", &terminate);
    let one = bench.node(1, 9000);
    let _one = serve(one, "one").await;
    bench.change("RegisterTargets", &group, one);
    until("it answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
    let mut held = TcpStream::connect(bench.address(0)).await.unwrap();
    let mut text = [0; 3];
    held.read_exact(&mut text).await.unwrap();
    bench.change("DeregisterTargets", &group, one);
    let end = tokio::time::timeout(Duration::from_secs(10), held.read(&mut text)).await.expect("the connection is cut");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn a_deleted_load_balancer_neither_answers_nor_resolves() {
    let bench = Bench::new(44).await;
    let (balancer, group) = bench.load_balancer();
    let one = bench.node(1, 9000);
    let _one = serve(one, "one").await;
    bench.change("RegisterTargets", &group, one);
    let address = bench.address(0);
    until("it answers", async || ask(address).await.as_deref() == Some("one")).await;
    let name = bench.region.load_balancers()[0].dns_name.clone();
    let zonal = format!("us-west-2b.{name}");
    let of_zone = resolve::lookup(&bench.emulator.running.shared, &zonal);
    assert_eq!(of_zone, Answer::Addresses(vec![bench.address(1).ip()]));
    bench.call("DeleteLoadBalancer", &[("LoadBalancerArn", &balancer)]);
    until("it is closed", async || TcpStream::connect(address).await.is_err()).await;
    assert_eq!(resolve::lookup(&bench.emulator.running.shared, &name), Answer::NoSuchName);
}

#[tokio::test]
async fn names_resolve_only_after_their_time() {
    let bench = Bench::new(45).await;
    let slow =
        Durations { provisioning: Duration::from_secs(60), dns_propagation: Duration::from_secs(120), ..Durations::instant() };
    bench.emulator.set_durations(slow);
    bench.load_balancer();
    assert_eq!(bench.names(), None);
    bench.emulator.clock().advance(Duration::from_secs(61));
    assert_eq!(bench.names(), None);
    bench.emulator.clock().advance(Duration::from_secs(60));
    assert_eq!(bench.names().unwrap().len(), 2, "with nothing healthy, every zone is answered");
}

#[tokio::test]
async fn moving_the_clock_makes_the_checks_of_the_skipped_time() {
    let bench = Bench::new(46).await;
    bench.emulator.set_durations(Durations { health_interval: None, health_thresholds: None, ..Durations::instant() });
    let (_, group) = bench.load_balancer();
    let one = bench.node(1, 9000);
    let _one = serve(one, "one").await;
    bench.change("RegisterTargets", &group, one);
    // Five successes in a row, 30 seconds apart: two minutes from the first.
    bench.emulator.clock().advance(Duration::from_secs(125));
    until("healthy", async || bench.states(&group) == ["healthy"]).await;
}
