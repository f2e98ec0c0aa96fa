//! A DNS responder for load balancers' names, over UDP and TCP.
//!
//! Imports the network and hickory's message codec; what a name means is the caller's `lookup`. Every other name is
//! answered `NXDOMAIN`: nothing is ever asked of another server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::address_map::AddressMap;

/// Seconds that an address may be cached: what ELB's names have.
const TTL: u32 = 60;

/// Seconds that an absence may be cached: the SOA record's own time to live in a Route 53 zone (RFC 2308 §5).
const NEGATIVE_TTL: u32 = 900;

/// What fits a UDP answer to a client that says nothing else (RFC 1035 §4.2.1).
const PLAIN_UDP: u16 = 512;

/// The largest UDP answer sent to any client: no fragments on an Ethernet path.
const LARGEST_UDP: u16 = 1232;

/// How long a TCP client may be silent (RFC 7766 §6.2.3 leaves the figure to the server).
const TCP_PATIENCE: Duration = Duration::from_secs(10);

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The name exists. Addresses of both families may be mixed; none at all is fine too.
    Addresses(Vec<IpAddr>),
    /// It does not.
    NoSuchName,
}

impl Answer {
    /// The same with the addresses where they are on this machine.
    pub(crate) fn mapped(self, map: &AddressMap) -> Self {
        match self {
            Self::Addresses(addresses) => Self::Addresses(addresses.into_iter().map(|address| map.to_local(address)).collect()),
            Self::NoSuchName => Self::NoSuchName,
        }
    }
}

/// The meaning of a name, which is given in lower case and without the trailing dot.
type Lookup = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// Answers queries at `address` (port 0: a free one) until `shutdown`; returns where once both sockets are open.
///
/// # Errors
/// When the address cannot be bound for UDP and TCP both.
pub(crate) async fn serve(address: SocketAddr, lookup: Lookup, shutdown: CancellationToken) -> io::Result<SocketAddr> {
    let (udp, tcp) = bind(address).await?;
    let address = udp.local_addr()?;
    let responder = Arc::new(Responder { lookup, turn: AtomicUsize::new(0) });
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(serve_udp(udp, Arc::clone(&responder))));
    tokio::spawn(serve_tcp(tcp, responder, shutdown));
    Ok(address)
}

/// Both sockets on one port.
async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    // A port that is free for UDP may be taken for TCP: with port 0, that is no reason to fail.
    let mut attempts = if address.port() == 0 { 16 } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await?;
        attempts -= 1;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if attempts == 0 => return Err(error),
            Err(_) => (),
        }
    }
}

async fn serve_udp(socket: UdpSocket, responder: Arc<Responder>) {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        buffer.clear();
        // An error here is about an earlier answer (its client is gone): no reason to stop.
        let Ok((_, client)) = socket.recv_buf_from(&mut buffer).await else { continue };
        if let Some(answer) = responder.answer(&buffer, Transport::Udp) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, responder: Arc<Responder>, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let conversation = converse(stream, Arc::clone(&responder));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(conversation));
    }
}

/// Any number of queries on one TCP connection, each with its length before it; ends when the client does or on nonsense.
async fn converse(mut stream: TcpStream, responder: Arc<Responder>) -> io::Result<()> {
    loop {
        let query = tokio::time::timeout(TCP_PATIENCE, async {
            let mut query = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut query).await?;
            io::Result::Ok(query)
        });
        let query = query.await??;
        let Some(answer) = responder.answer(&query, Transport::Tcp) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat()).await?;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

struct Responder {
    lookup: Lookup,
    /// Counts answers, so that each begins with another address and clients that take the first one spread over the zones.
    turn: AtomicUsize,
}

impl Responder {
    /// The answer to what came in; `None` to what is no query at all.
    fn answer(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = Message::from_vec(packet).ok().filter(|message| message.metadata.message_type == MessageType::Query)?;
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        // Like the VPC's resolver it takes questions about any name. Stub resolvers refuse a server that says otherwise.
        answer.metadata.recursion_available = true;
        answer.queries.clone_from(&query.queries);
        answer.edns = query.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(LARGEST_UDP);
            edns
        });
        match query.queries.as_slice() {
            _ if query.metadata.op_code != OpCode::Query => answer.metadata.response_code = ResponseCode::NotImp,
            [question] => self.fill(&mut answer, question),
            _ => answer.metadata.response_code = ResponseCode::FormErr,
        }
        let bytes = answer.to_vec().ok()?;
        let room = query.edns.map_or(PLAIN_UDP, |edns| edns.max_payload().clamp(PLAIN_UDP, LARGEST_UDP));
        if transport == Transport::Udp && bytes.len() > usize::from(room) {
            return answer.truncate().to_vec().ok();
        }
        Some(bytes)
    }

    fn fill(&self, answer: &mut Message, question: &Query) {
        let name = question.name().to_ascii().to_ascii_lowercase();
        match (self.lookup)(name.trim_end_matches('.')) {
            Answer::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
            Answer::Addresses(addresses) if question.query_class() == DNSClass::IN => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                answer.answers = records(question, &addresses, turn);
            }
            Answer::Addresses(_) => (),
        }
        answer.metadata.authoritative = true;
        if answer.answers.is_empty() {
            answer.authorities.extend(start_of_authority(question.name()));
        }
    }
}

/// The addresses of the family asked for, beginning with the `turn`-th.
fn records(question: &Query, addresses: &[IpAddr], turn: usize) -> Vec<Record> {
    let wanted = |data: &RData| matches!(question.query_type(), RecordType::ANY) || data.record_type() == question.query_type();
    let mut data: Vec<_> = addresses
        .iter()
        .map(|address| match address {
            IpAddr::V4(address) => RData::A(A(*address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(*address)),
        })
        .filter(wanted)
        .collect();
    if let Some(first) = turn.checked_rem(data.len()) {
        data.rotate_left(first);
    }
    data.into_iter().map(|data| Record::from_rdata(question.name().clone(), TTL, data)).collect()
}

/// The record that lets a client cache an absence: of the zone `elb.<region>.amazonaws.com` when `name` lies in one, else
/// of the root. `None` never happens; the names are constant.
fn start_of_authority(name: &Name) -> Option<Record> {
    let labels = name.num_labels();
    let is_elb =
        |count: &u8| name.trim_to(usize::from(*count)).iter().next().is_some_and(|label| label.eq_ignore_ascii_case(b"elb"));
    let zone = (1..=labels).rev().find(is_elb).map_or_else(Name::root, |count| name.trim_to(usize::from(count)));
    let primary = Name::from_str("ns.landfall.invalid.").ok()?;
    let mailbox = Name::from_str("hostmaster.landfall.invalid.").ok()?;
    let soa = SOA::new(primary, mailbox, 1, 7200, 900, 1_209_600, NEGATIVE_TTL);
    Some(Record::from_rdata(zone, NEGATIVE_TTL, RData::SOA(soa)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "lf-1-0123456789abcdef.elb.us-west-2.amazonaws.com";

    fn lookup(name: &str) -> Answer {
        match name {
            NAME => Answer::Addresses(["10.20.128.4", "10.20.144.4", "10.20.160.4"].map(|text| text.parse().unwrap()).into()),
            "dual.example" => Answer::Addresses(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
            "large.example" => Answer::Addresses((0..100).map(|last| IpAddr::from([10, 0, 0, last])).collect()),
            _ => Answer::NoSuchName,
        }
    }

    async fn server() -> (SocketAddr, CancellationToken) {
        let shutdown = CancellationToken::new();
        let address = serve("127.0.0.1:0".parse().unwrap(), Arc::new(lookup), shutdown.clone()).await.unwrap();
        (address, shutdown)
    }

    fn query(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_str_relaxed(name).unwrap().append_domain(&Name::root()).unwrap(), kind));
        message
    }

    async fn ask(server: SocketAddr, query: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&query.to_vec().unwrap(), server).await.unwrap();
        let mut answer = Vec::with_capacity(4096);
        socket.recv_buf_from(&mut answer).await.unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, query.metadata.id);
        assert_eq!(answer.queries, query.queries);
        answer
    }

    async fn ask_tcp(stream: &mut TcpStream, query: &Message) -> Message {
        let query = query.to_vec().unwrap();
        stream.write_u16(query.len() as u16).await.unwrap();
        stream.write_all(&query).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    fn addresses(message: &Message) -> Vec<IpAddr> {
        message.answers.iter().map(|record| record.data.ip_addr().unwrap()).collect()
    }

    #[tokio::test]
    async fn addresses_take_turns() {
        let (server, _shutdown) = server().await;
        let mut firsts = Vec::new();
        for _ in 0..3 {
            let answer = ask(server, &query(&format!("{}.", NAME.to_uppercase()), RecordType::A)).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
            assert!(answer.metadata.authoritative && answer.metadata.recursion_available && answer.metadata.recursion_desired);
            assert!(answer.answers.iter().all(|record| record.ttl == 60), "{answer:?}");
            assert_eq!(addresses(&answer).len(), 3);
            firsts.push(addresses(&answer)[0]);
        }
        firsts.sort_unstable();
        let Answer::Addresses(all) = lookup(NAME) else { unreachable!() };
        assert_eq!(firsts, all);
    }

    #[tokio::test]
    async fn each_family_is_its_own_type() {
        let (server, _shutdown) = server().await;
        assert_eq!(
            addresses(&ask(server, &query("dual.example.", RecordType::A)).await),
            ["192.0.2.1".parse::<IpAddr>().unwrap()]
        );
        let six = ask(server, &query("dual.example.", RecordType::AAAA)).await;
        assert_eq!(addresses(&six), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test]
    async fn an_absence_may_be_cached() {
        let (server, _shutdown) = server().await;
        for (name, kind, code) in [
            (NAME, RecordType::AAAA, ResponseCode::NoError),
            (NAME, RecordType::TXT, ResponseCode::NoError),
            ("gone.elb.us-west-2.amazonaws.com", RecordType::A, ResponseCode::NXDomain),
        ] {
            let answer = ask(server, &query(name, kind)).await;
            assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0), "{name} {kind}");
            assert_eq!(answer.authorities[0].name.to_string(), "elb.us-west-2.amazonaws.com.");
            assert_eq!((answer.authorities[0].record_type(), answer.authorities[0].ttl), (RecordType::SOA, 900));
        }
        assert!(ask(server, &query("example.com", RecordType::A)).await.authorities[0].name.is_root());
    }

    #[tokio::test]
    async fn nonsense_is_ignored_and_the_server_lives() {
        let (server, shutdown) = server().await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for packet in [&b""[..], b"x", &[0xff; 40]] {
            socket.send_to(packet, server).await.unwrap();
        }
        // An answer must never be answered: two servers would talk to each other for ever.
        let mut response = query(NAME, RecordType::A);
        response.metadata.message_type = MessageType::Response;
        socket.send_to(&response.to_vec().unwrap(), server).await.unwrap();
        // UDP on loopback keeps its order: whatever the server sends first is not for the packets above.
        let good = query(NAME, RecordType::A);
        socket.send_to(&good.to_vec().unwrap(), server).await.unwrap();
        let mut answer = Vec::with_capacity(4096);
        socket.recv_buf_from(&mut answer).await.unwrap();
        assert_eq!(Message::from_vec(&answer).unwrap().metadata.id, good.metadata.id);

        shutdown.cancel();
        while UdpSocket::bind(server).await.is_err() || TcpListener::bind(server).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_not_offered_is_said() {
        let (server, _shutdown) = server().await;
        let mut none = query(NAME, RecordType::A);
        none.queries.clear();
        assert_eq!(ask(server, &none).await.metadata.response_code, ResponseCode::FormErr);
        let mut update = query(NAME, RecordType::A);
        update.metadata.op_code = OpCode::Update;
        assert_eq!(ask(server, &update).await.metadata.response_code, ResponseCode::NotImp);
    }

    #[tokio::test]
    async fn large_answers_take_tcp() {
        let (server, _shutdown) = server().await;
        let large = query("large.example.", RecordType::A);
        let answer = ask(server, &large).await;
        assert!(answer.metadata.truncation && answer.answers.is_empty(), "{answer:?}");
        let mut stream = TcpStream::connect(server).await.unwrap();
        for _ in 0..2 {
            let answer = ask_tcp(&mut stream, &large).await;
            assert_eq!((answer.metadata.truncation, answer.answers.len()), (false, 100));
        }
    }

    #[tokio::test]
    async fn edns_is_answered_with_edns() {
        let (server, _shutdown) = server().await;
        let mut question = query(NAME, RecordType::A);
        question.set_edns(Edns::new());
        assert!(ask(server, &question).await.edns.is_some());
        assert!(ask(server, &query(NAME, RecordType::A)).await.edns.is_none());
    }
}
