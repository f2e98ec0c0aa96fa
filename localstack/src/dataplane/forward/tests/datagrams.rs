//! UDP through a forwarder: a flow keeps its target, each client has its own, and idle flows are forgotten.

use super::*;

const PATIENT: Duration = Duration::from_secs(10);

/// A target that answers each datagram with its address and the datagram.
async fn echo(ip: &str) -> PoolTarget {
    let socket = UdpSocket::bind((ip, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let answer = [format!("{address} ").as_bytes(), &buffer[..length]].concat();
            let _ = socket.send_to(&answer, peer).await;
        }
    });
    pool_target(address)
}

async fn free_udp(ip: &str) -> SocketAddr {
    UdpSocket::bind((ip, 0)).await.unwrap().local_addr().unwrap()
}

fn udp(address: SocketAddr, targets: &[PoolTarget]) -> ListenerSpec {
    ListenerSpec { transport: Transport::Udp, idle: Duration::from_secs(120), ..spec(address, targets) }
}

async fn client(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket
}

/// Sends, and returns which target answered with what. An answer from elsewhere than the listener's address would not come in.
async fn ask(client: &UdpSocket, question: &[u8]) -> (SocketAddr, Vec<u8>) {
    client.send(question).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = tokio::time::timeout(PATIENT, client.recv(&mut buffer)).await.expect("an answer").unwrap();
    let at = buffer[..length].iter().position(|byte| *byte == b' ').unwrap();
    (String::from_utf8(buffer[..at].to_vec()).unwrap().parse().unwrap(), buffer[at + 1..length].to_vec())
}

#[tokio::test]
async fn a_flow_keeps_its_target_and_flows_spread() {
    let (forwarder, one, two) = (forwarder(), echo("127.9.3.1").await, echo("127.9.3.2").await);
    let address = free_udp("127.9.0.20").await;
    let targets = [one.clone(), two.clone()];
    applied(&forwarder, udp(address, &targets)).await;
    let mut seen = BTreeSet::new();
    let first = client(address).await;
    let (pinned, answer) = ask(&first, b"a question").await;
    assert_eq!(answer, b"a question");
    for _ in 0..40 {
        seen.insert(ask(&client(address).await, b"x").await.0);
    }
    assert_eq!(seen, BTreeSet::from([one.address, two.address]));
    let large = vec![7; 9000];
    assert_eq!(ask(&first, &large).await, (pinned, large));

    // Its target drains: the flow stays. It is cut: the next datagram goes to the other one.
    let mut targets = targets.to_vec();
    let at = targets.iter().position(|target| target.address == pinned).unwrap();
    targets[at].draining = true;
    applied(&forwarder, udp(address, &targets)).await;
    assert_eq!(ask(&first, b"x").await.0, pinned);
    targets[at].terminate = true;
    applied(&forwarder, udp(address, &targets)).await;
    tokio::time::timeout(PATIENT, async { while ask(&first, b"x").await.0 == pinned {} }).await.expect("another target");
}

#[tokio::test]
async fn an_idle_flow_is_forgotten() {
    let clock = Clock::new();
    let forwarder = Forwarder::new(Ways::new(Wiring::default(), clock.clone()));
    let (one, two) = (echo("127.9.3.3").await, echo("127.9.3.4").await);
    let address = free_udp("127.9.0.21").await;
    applied(&forwarder, udp(address, std::slice::from_ref(&one))).await;
    let client = client(address).await;
    assert_eq!(ask(&client, b"x").await.0, one.address);
    applied(&forwarder, udp(address, std::slice::from_ref(&two))).await;
    clock.advance(Duration::from_secs(119));
    assert_eq!(ask(&client, b"x").await.0, one.address, "a flow outlives the target's registration");
    clock.advance(Duration::from_secs(121));
    tokio::time::timeout(PATIENT, async { while ask(&client, b"x").await.0 == one.address {} }).await.expect("a new flow");
}

#[tokio::test]
async fn tcp_and_udp_share_a_port_and_the_address_is_free_afterwards() {
    let (forwarder, tcp_target, udp_target) = (forwarder(), target("127.9.3.5").await, echo("127.9.3.6").await);
    let address = free("127.9.0.22").await;
    let specs = vec![spec(address, std::slice::from_ref(&tcp_target)), udp(address, std::slice::from_ref(&udp_target))];
    assert!(forwarder.apply(specs).await.is_empty());
    assert_eq!(answered_by(address).await.unwrap(), tcp_target.address);
    assert_eq!(ask(&client(address).await, b"x").await.0, udp_target.address);
    assert!(forwarder.apply(Vec::new()).await.is_empty());
    UdpSocket::bind(address).await.unwrap();
}

#[tokio::test]
async fn each_datagram_names_the_client_with_proxy_protocol() {
    let target = UdpSocket::bind("127.9.3.7:0").await.unwrap();
    let forwarder = forwarder();
    let mut wanted = udp(free_udp("127.9.0.23").await, &[pool_target(target.local_addr().unwrap())]);
    wanted.pools[0].proxy_protocol_v2 = true;
    applied(&forwarder, wanted.clone()).await;
    let client = client(wanted.address).await;
    let mut buffer = [0; 512];
    for question in [&b"one"[..], b"another"] {
        client.send(question).await.unwrap();
        let length = tokio::time::timeout(PATIENT, target.recv(&mut buffer)).await.unwrap().unwrap();
        let header = proxy_protocol::header(client.local_addr().unwrap(), wanted.address, true);
        assert_eq!(buffer[..length], [&header, question].concat());
    }
}

#[tokio::test]
async fn refused_clients_and_closed_targets_get_nothing() {
    let (forwarder, target) = (forwarder(), echo("127.9.3.8").await);
    let mut wanted = udp(free_udp("127.9.0.24").await, std::slice::from_ref(&target));
    let client = client(wanted.address).await;
    for (clients, admits) in [(Sources::Only(Vec::new()), Sources::Any), (Sources::Any, Sources::Only(Vec::new()))] {
        (wanted.clients, wanted.pools[0].targets[0].admits) = (clients, admits);
        applied(&forwarder, wanted.clone()).await;
        client.send(b"x").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(100), client.recv(&mut [0; 64])).await.is_err());
    }
    (wanted.clients, wanted.pools[0].targets[0].admits) = (Sources::Any, Sources::Any);
    applied(&forwarder, wanted.clone()).await;
    assert_eq!(ask(&client, b"x").await.0, target.address);
}
