//! Connections and bytes through a TCP listener, beside HAProxy in TCP mode, to the same target.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use landfall_localstack::{World, WorldOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::client::{ACCOUNT, Client, ELB, REGION, first};
use super::median;
use super::report::Report;
use super::server::Server;

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(3);
/// Connections at a time: short ones, and ones that carry as much as they can.
const SHORT: usize = 32;
const LONG: usize = 4;

/// The target's address, in the VPC and on this machine.
const TARGET: &str = "10.20.1.50";
const TARGET_HERE: Ipv4Addr = Ipv4Addr::new(127, 20, 1, 50);
const LISTENER_PORT: u16 = 9000;

/// What a client asks the target for, by one byte.
const ONE_BYTE: u8 = b'1';
const ZEROS: u8 = b'0';

/// Zeros, for those who want many.
static MUCH: [u8; 64 << 10] = [0; 64 << 10];

pub async fn measure(report: &mut Report, binary: &Path, folder: &Path) {
    let target = serve().await;
    let emulator = Server::emulator(binary, &["--data-plane", "--address-map", "10.20.0.0/16=127.20.0.0/16"]);
    let haproxy = Server::haproxy(target, folder);
    let ways = [(listener(&emulator, target.port()).await, emulator), (haproxy.address, haproxy)];
    // Connections, and Gbit: a second, and a second of processor time.
    let mut figures: [[Vec<f64>; 4]; 2] = Default::default();
    for round in 0..ROUNDS {
        for way in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (address, server) = &ways[way];
            let (before, begin) = (server.processor_time(), Instant::now());
            let connections = connections(*address).await;
            let (spent, taken) = (server.processor_time() - before, begin.elapsed().as_secs_f64());
            figures[way][0].push(connections / taken);
            figures[way][1].push(connections / spent);
            let (before, begin) = (server.processor_time(), Instant::now());
            let gigabits = bytes(*address).await * 8.0 / 1e9;
            let (spent, taken) = (server.processor_time() - before, begin.elapsed().as_secs_f64());
            figures[way][2].push(gigabits / taken);
            figures[way][3].push(gigabits / spent);
        }
    }
    let [ours, other] = figures.map(|figures| figures.map(median));
    report.table(&["data plane, TCP on loopback", "landfall-localstack", "HAProxy", "ratio", "at least"]);
    for (row, what) in [
        format!("connections per second, {SHORT} at a time"),
        "connections per second of processor time".to_owned(),
        format!("Gbit/s, {LONG} connections"),
        "Gbit per second of processor time".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        report.comparison(what, ours[row], other[row], None);
    }
}

/// Makes a load balancer with a TCP listener for the target; where it is open on this machine, once the target is healthy.
async fn listener(server: &Server, target_port: u16) -> SocketAddr {
    let client = Client::new(server.endpoint());
    let place = format!("account={ACCOUNT}&region={REGION}");
    let world = World::three_zones(WorldOptions { region: REGION.to_owned(), ..WorldOptions::default() });
    let seeded = client.admin("POST", &format!("/_landfall/seed?{place}"), &serde_json::json!(world).to_string()).await;
    let seeded: serde_json::Value = serde_json::from_str(&seeded).expect("JSON");
    let (vpc, subnet) = (seeded["vpc_id"].as_str().expect("a VPC"), seeded["subnets"][format!("public-{REGION}a")].as_str());
    let create = [("Name", "web"), ("Type", "network"), ("Subnets.member.1", subnet.expect("a subnet"))];
    let balancer = first(&client.call(ELB, "CreateLoadBalancer", &create).await, "LoadBalancerArn");
    let port = target_port.to_string();
    let create = [("Name", "web"), ("Protocol", "TCP"), ("Port", &port), ("VpcId", vpc), ("TargetType", "ip")];
    let group = first(&client.call(ELB, "CreateTargetGroup", &create).await, "TargetGroupArn");
    client.call(ELB, "RegisterTargets", &[("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", TARGET)]).await;
    let listen = [
        ("LoadBalancerArn", balancer.as_str()),
        ("Protocol", "TCP"),
        ("Port", &LISTENER_PORT.to_string()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", &group),
    ];
    client.call(ELB, "CreateListener", &listen).await;
    let begin = Instant::now();
    while !client.call(ELB, "DescribeTargetHealth", &[("TargetGroupArn", &group)]).await.contains(">healthy<") {
        assert!(begin.elapsed() < Duration::from_secs(30), "the target does not become healthy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let interface = [("Filter.1.Name", "subnet-id"), ("Filter.1.Value.1", subnet.expect("a subnet"))];
    let interfaces = client.call("ec2", "DescribeNetworkInterfaces", &interface).await;
    let address: Ipv4Addr = first(&interfaces, "privateIpAddress").parse().expect("an address");
    let [_, rest @ ..] = address.octets();
    SocketAddr::from(([127, rest[0], rest[1], rest[2]], LISTENER_PORT))
}

/// A target that sends what it is asked for; it closes first, as the side that does remembers the connection for a minute and must not be
/// the one that runs out of ports.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind((TARGET_HERE, 0)).await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            tokio::spawn(async move {
                match stream.read_u8().await {
                    Ok(ONE_BYTE) => drop(stream.write_all(b"1").await),
                    Ok(ZEROS) => while stream.write_all(&MUCH).await.is_ok() {},
                    // A health check.
                    _ => {}
                }
            });
        }
    });
    address
}

async fn ask(address: SocketAddr, what: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(&[what]).await.expect("asked");
    stream
}

/// One byte there and one back on a new connection, over and over; how many connections there were.
async fn connections(address: SocketAddr) -> f64 {
    let until = Instant::now() + TIME;
    let mut workers = JoinSet::new();
    for _ in 0..SHORT {
        workers.spawn(async move {
            let mut connections = 0;
            while Instant::now() < until {
                let mut answer = Vec::new();
                ask(address, ONE_BYTE).await.read_to_end(&mut answer).await.expect("an answer");
                assert_eq!(answer, b"1");
                connections += 1;
            }
            connections
        });
    }
    f64::from(workers.join_all().await.iter().sum::<u32>())
}

/// As much as comes; how many bytes that were.
async fn bytes(address: SocketAddr) -> f64 {
    let until = Instant::now() + TIME;
    let mut workers = JoinSet::new();
    for _ in 0..LONG {
        workers.spawn(async move {
            let mut stream = ask(address, ZEROS).await;
            let (mut buffer, mut bytes) = (vec![0; 256 << 10], 0);
            while Instant::now() < until {
                let count = stream.read(&mut buffer).await.expect("bytes");
                assert!(count > 0, "the connection has ended");
                bytes += count;
            }
            bytes
        });
    }
    workers.join_all().await.iter().sum::<usize>() as f64
}
