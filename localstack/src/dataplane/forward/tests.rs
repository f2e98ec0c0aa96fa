//! Real sockets on 127.0.0.0/8: what clients and targets see through a forwarder.

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::clock::Clock;
use crate::dataplane::Wiring;
use crate::proxy_protocol;

mod datagrams;

/// A target that sends its name and then, on end of input, what it was sent; `name` is its address.
async fn target(ip: &str) -> PoolTarget {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(format!("{address} saw {}\n", peer.ip()).as_bytes()).await;
                let mut sent = Vec::new();
                if stream.read_to_end(&mut sent).await.is_ok() {
                    let _ = stream.write_all(&sent).await;
                }
            });
        }
    });
    pool_target(address)
}

fn pool_target(address: SocketAddr) -> PoolTarget {
    PoolTarget { address, local: address, admits: Sources::Any, healthy: true, draining: false, terminate: false }
}

fn forwarder() -> Forwarder {
    Forwarder::new(Ways::new(Wiring::default(), Clock::new()))
}

/// An address that nobody listens on at the moment.
async fn free(ip: &str) -> SocketAddr {
    TcpListener::bind((ip, 0)).await.unwrap().local_addr().unwrap()
}

fn spec(address: SocketAddr, targets: &[PoolTarget]) -> ListenerSpec {
    ListenerSpec {
        id: "listener/1".to_owned(),
        transport: Transport::Tcp,
        address,
        local: address,
        nodes: vec![address.ip()],
        idle: Duration::from_secs(350),
        tls: None,
        clients: Sources::Any,
        pools: vec![Pool { weight: 1, targets: targets.to_vec(), ..Pool::default() }],
        sticky: false,
    }
}

async fn applied(forwarder: &Forwarder, spec: ListenerSpec) {
    assert!(forwarder.apply(vec![spec]).await.is_empty());
}

/// The first line that a target sends.
async fn greeting(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(line).unwrap())
}

/// Says something to the target, closes that direction, and returns what comes back until the target closes its own.
async fn converse(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn answered_by(address: SocketAddr) -> io::Result<SocketAddr> {
    let line = greeting(&mut TcpStream::connect(address).await?).await?;
    Ok(line.split(' ').next().unwrap().parse().unwrap())
}

async fn assert_reset(stream: &mut TcpStream) {
    let error = stream.read_to_end(&mut Vec::new()).await.expect_err("an orderly close");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn half_close_passes_both_ways_and_nothing_is_lost() {
    let (forwarder, target) = (forwarder(), target("127.9.1.1").await);
    let address = free("127.9.0.1").await;
    applied(&forwarder, spec(address, std::slice::from_ref(&target))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    assert_eq!(greeting(&mut client).await.unwrap(), format!("{} saw 127.9.0.1\n", target.address));
    // More than the sockets' buffers hold: the target answers only after the client has closed its direction.
    let text: Vec<u8> = (0..3_000_000_u32).map(|index| index as u8).collect();
    assert!(converse(&mut client, &text).await == text);
}

#[tokio::test]
async fn flows_spread_over_healthy_targets_only() {
    let forwarder = forwarder();
    let mut targets = vec![target("127.9.1.2").await, target("127.9.1.3").await, target("127.9.1.4").await];
    targets[2].healthy = false;
    let address = free("127.9.0.2").await;
    applied(&forwarder, spec(address, &targets)).await;
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        seen.insert(answered_by(address).await.unwrap());
    }
    assert_eq!(seen, BTreeSet::from([targets[0].address, targets[1].address]));
}

#[tokio::test]
async fn nobody_to_answer_is_a_reset() {
    let (forwarder, mut target) = (forwarder(), target("127.9.1.5").await);
    let address = free("127.9.0.3").await;
    applied(&forwarder, spec(address, &[])).await;
    assert_eq!(answered_by(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    target.local = free("127.9.1.5").await;
    applied(&forwarder, spec(address, &[target])).await;
    assert_eq!(answered_by(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn draining_keeps_connections_and_termination_cuts_them() {
    let forwarder = forwarder();
    let mut targets = vec![target("127.9.1.6").await];
    let address = free("127.9.0.4").await;
    applied(&forwarder, spec(address, &targets)).await;
    let (mut kept, mut cut) = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    greeting(&mut kept).await.unwrap();
    greeting(&mut cut).await.unwrap();

    targets[0].draining = true;
    targets.push(target("127.9.1.7").await);
    applied(&forwarder, spec(address, &targets)).await;
    assert_eq!(answered_by(address).await.unwrap(), targets[1].address);
    assert_eq!(converse(&mut kept, b"still here").await, b"still here");

    targets[0].terminate = true;
    applied(&forwarder, spec(address, &targets)).await;
    assert_reset(&mut cut).await;
}

#[tokio::test]
async fn termination_spares_connections_made_later() {
    let forwarder = forwarder();
    let mut target = target("127.9.1.8").await;
    let address = free("127.9.0.5").await;
    (target.healthy, target.terminate) = (false, true);
    applied(&forwarder, spec(address, std::slice::from_ref(&target))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    greeting(&mut client).await.unwrap();
    let mut other = spec(address, &[target]);
    other.pools[0].sticky = true;
    applied(&forwarder, other).await;
    assert_eq!(converse(&mut client, b"failed open").await, b"failed open");
}

#[tokio::test]
async fn a_target_that_is_back_at_once_is_used_while_its_former_connections_are_cut() {
    let (forwarder, target) = (forwarder(), target("127.9.1.18").await);
    let address = free("127.9.0.15").await;
    applied(&forwarder, spec(address, std::slice::from_ref(&target))).await;
    let mut former = TcpStream::connect(address).await.unwrap();
    greeting(&mut former).await.unwrap();
    let gone = PoolTarget { draining: true, terminate: true, ..target.clone() };
    applied(&forwarder, spec(address, &[target.clone(), gone])).await;
    assert_reset(&mut former).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    greeting(&mut client).await.unwrap();
    applied(&forwarder, spec(address, &[target])).await;
    assert_eq!(converse(&mut client, b"still here").await, b"still here");
}

#[tokio::test]
async fn a_removed_listener_refuses_and_its_connections_live() {
    let (forwarder, target) = (forwarder(), target("127.9.1.9").await);
    let address = free("127.9.0.6").await;
    applied(&forwarder, spec(address, std::slice::from_ref(&target))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    greeting(&mut client).await.unwrap();
    assert!(forwarder.apply(Vec::new()).await.is_empty());
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);

    // Another listener may have the address at once, while connections of the first still hold it.
    let mut next = spec(address, &[target]);
    next.id = "listener/2".to_owned();
    applied(&forwarder, next).await;
    answered_by(address).await.unwrap();
    assert_eq!(converse(&mut client, b"old").await, b"old");

    let mut client = TcpStream::connect(address).await.unwrap();
    greeting(&mut client).await.unwrap();
    drop(forwarder);
    assert_reset(&mut client).await;
}

#[tokio::test]
async fn swapping_pools_refuses_nobody() {
    let (forwarder, one, two) = (forwarder(), target("127.9.1.10").await, target("127.9.1.11").await);
    let address = free("127.9.0.7").await;
    applied(&forwarder, spec(address, std::slice::from_ref(&one))).await;
    let clients = tokio::spawn(async move {
        for _ in 0..300 {
            answered_by(address).await.unwrap();
        }
    });
    for pool in [&one, &two].into_iter().cycle() {
        applied(&forwarder, spec(address, std::slice::from_ref(pool))).await;
        tokio::task::yield_now().await;
        if clients.is_finished() {
            break;
        }
    }
    clients.await.unwrap();
}

#[tokio::test]
async fn one_bad_address_harms_no_other() {
    let (forwarder, target) = (forwarder(), target("127.9.1.12").await);
    let taken = TcpListener::bind("127.9.0.8:0").await.unwrap();
    let (bad, good) = (taken.local_addr().unwrap(), free("127.9.0.9").await);
    let mut twice = spec(good, &[]);
    twice.id = "listener/2".to_owned();
    let specs = vec![spec(bad, &[]), spec(good, std::slice::from_ref(&target)), twice];
    let errors = forwarder.apply(specs.clone()).await;
    let failed: BTreeSet<_> = errors.iter().map(|error| (error.address, error.id.as_str())).collect();
    assert_eq!(failed, BTreeSet::from([(bad, "listener/1"), (good, "listener/2")]));
    assert_eq!(answered_by(good).await.unwrap(), target.address);

    drop(taken);
    assert_eq!(forwarder.apply(specs).await.len(), 1, "the freed address is tried again");
    assert_eq!(answered_by(bad).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "open, with nobody behind it");
}

#[tokio::test]
async fn proxy_protocol_names_the_client() {
    let target = TcpListener::bind("127.9.1.13:0").await.unwrap();
    let pool_target = pool_target(target.local_addr().unwrap());
    let forwarder = forwarder();
    let mut wanted = spec(free("127.9.0.10").await, &[pool_target]);
    wanted.pools[0].proxy_protocol_v2 = true;
    applied(&forwarder, wanted.clone()).await;
    let mut client = TcpStream::connect(wanted.address).await.unwrap();
    client.write_all(b"GET").await.unwrap();
    let mut received = [0; 103];
    target.accept().await.unwrap().0.read_exact(&mut received).await.unwrap();
    let mut expected = proxy_protocol::header(client.local_addr().unwrap(), wanted.address, false);
    expected.extend(b"GET");
    assert_eq!(received.to_vec(), expected);
}

#[tokio::test]
async fn an_idle_connection_is_reset() {
    let clock = Clock::new();
    let forwarder = Forwarder::new(Ways::new(Wiring::default(), clock.clone()));
    let address = free("127.9.0.11").await;
    applied(&forwarder, spec(address, &[target("127.9.1.14").await])).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    greeting(&mut client).await.unwrap();
    clock.advance(Duration::from_secs(351));
    assert_reset(&mut client).await;
}

#[tokio::test]
async fn a_target_sees_a_client_of_this_machine_when_addresses_are_kept() {
    let (forwarder, target) = (forwarder(), target("127.9.1.15").await);
    let mut wanted = spec(free("127.9.0.12").await, std::slice::from_ref(&target));
    wanted.pools[0].preserve_client = true;
    applied(&forwarder, wanted.clone()).await;
    let connect = async |from: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        socket.connect(wanted.address).await.unwrap()
    };
    assert_eq!(greeting(&mut connect("127.9.2.1").await).await.unwrap(), format!("{} saw 127.9.2.1\n", target.address));
    // A target that comes back to itself this way never gets an answer.
    let mut hairpin = connect("127.9.1.15").await;
    let answer = tokio::time::timeout(Duration::from_millis(100), hairpin.read_u8()).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn refused_clients_get_no_answer_at_all() {
    let (forwarder, target) = (forwarder(), target("127.9.1.16").await);
    let mut wanted = spec(free("127.9.0.13").await, std::slice::from_ref(&target));
    wanted.clients = Sources::Only(vec!["127.9.2.0/25".parse().unwrap()]);
    applied(&forwarder, wanted.clone()).await;
    let connect = async |from: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let mut stream = socket.connect(wanted.address).await.unwrap();
        greeting(&mut stream).await
    };
    connect("127.9.2.100").await.unwrap();
    // Long enough for the kernel's answer, were there one; the first repetition of a lost attempt comes after a second.
    let refused = tokio::time::timeout(Duration::from_millis(300), connect("127.9.2.200")).await;
    assert!(refused.is_err(), "{refused:?}");

    // The other way round, and without opening the socket anew.
    wanted.clients = Sources::Only(vec!["127.9.2.200/32".parse().unwrap()]);
    applied(&forwarder, wanted.clone()).await;
    tokio::time::timeout(Duration::from_secs(10), connect("127.9.2.200")).await.expect("an answer").unwrap();
    let refused = tokio::time::timeout(Duration::from_millis(300), connect("127.9.2.100")).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn a_target_that_lets_nobody_in_leaves_clients_waiting() {
    let (forwarder, mut target) = (forwarder(), target("127.9.1.17").await);
    target.admits = Sources::Only(Vec::new());
    let address = free("127.9.0.14").await;
    applied(&forwarder, spec(address, &[target])).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_millis(100), greeting(&mut client)).await;
    assert!(answer.is_err(), "{answer:?}");
}
