//! Limits that are too long to wait for: on paused time, which goes on from tick to tick while nobody has anything to do.
//!
//! What crosses a socket may cost a tick, so times are told to a few seconds.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::super::testing::*;
use super::super::worker::Phase;
use super::http2::{GOAWAY, HEADERS, begin, next, request};
use crate::clock::{self, Instant};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// After it the kernel has acknowledged what has come (Linux: TCP_DELACK_MAX is 200 ms), so that there is room for more.
const LATEST_ACK: Duration = Duration::from_millis(300);

/// Time is not limited in what it means here.
const LONG: Duration = Duration::from_secs(24 * 3600);

async fn connect(address: SocketAddr) -> Raw<TcpStream> {
    let mut client = Raw::new(TcpStream::connect(address).await.unwrap());
    // Else the kernel waits, in its own time, for more to send.
    client.stream.set_nodelay(true).unwrap();
    client.limit = LONG;
    client
}

fn assert_took(since: Instant, seconds: RangeInclusive<u64>) {
    let took = clock::now().saturating_duration_since(since);
    assert!(seconds.contains(&took.as_secs()), "{took:?}");
}

/// Writes until nothing moves any more. The kernel passes on what it holds in its own time, and a paused clock stands still while a
/// blocking task runs: by that clock all of this is one moment.
async fn fill(stream: &mut TcpStream, piece: &[u8]) {
    let mut moved = true;
    while std::mem::take(&mut moved) {
        let mut kernel = tokio::task::spawn_blocking(|| std::thread::sleep(LATEST_ACK));
        loop {
            tokio::select! {
                written = stream.write(piece) => moved = written.unwrap() > 0,
                slept = &mut kernel => break slept.unwrap(),
            }
        }
    }
}

/// An endpoint sends without end to a client that takes nothing: it is kept waiting for a minute, and then let go.
async fn stalls(client: Raw<TcpStream>, endpoint: &Endpoint) {
    let mut upstream = endpoint.accept().await;
    upstream.head().await;
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await;
    let piece = vec![b'x'; 1 << 16];
    fill(&mut upstream.stream, &piece).await;
    let mut last = clock::now();
    while upstream.stream.write(&piece).await.is_ok() {
        last = clock::now();
    }
    assert_took(last, 60..=68);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_off() {
    let endpoint = Endpoint::new().await;
    let plan = Plan::to(&[endpoint.address]);
    plan.inside(async |proxy| {
        let mut client = connect(proxy.http).await;
        client.send(GET).await;
        stalls(client, &endpoint).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_no_window_is_cut_off() {
    let endpoint = Endpoint::new().await;
    let plan = Plan::to(&[endpoint.address]);
    plan.inside(async |proxy| {
        let mut client = begin(connect(proxy.http).await).await;
        client.send(&request(1)).await;
        stalls(client, &endpoint).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_go_when_it_is_told_to_is_cut_off() {
    Plan::to(&[])
        .inside(async |proxy| {
            let mut client = begin(connect(proxy.http).await).await;
            let start = clock::now();
            assert!(next(&mut client, &[GOAWAY]).await.is_some());
            assert_took(start, 75..=78);
            while next(&mut client, &[GOAWAY]).await.is_some() {}
            assert_took(start, 85..=90);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_was_idle_when_told_to_go_is_served_what_was_on_its_way() {
    Plan::to(&[])
        .inside(async |proxy| {
            let mut client = begin(connect(proxy.http).await).await;
            client.send(&request(1)).await;
            assert!(next(&mut client, &[HEADERS]).await.is_some());
            tokio::time::sleep(Duration::from_secs(30)).await;
            proxy.phase.send_replace(Phase::Closing);
            assert!(next(&mut client, &[GOAWAY]).await.is_some());
            client.send(&request(3)).await;
            assert!(next(&mut client, &[HEADERS]).await.is_some(), "it was not there yet when the client asked");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_has_been_refused_is_not_listened_to_for_long() {
    Plan::to(&[])
        .inside(async |proxy| {
            let mut client = connect(proxy.http).await;
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n").await;
            assert!(client.until("</html>").await.starts_with("HTTP/1.1 400 "));
            let start = clock::now();
            while client.stream.write_all(b"and another thing").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_took(start, 5..=7);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn handshakes_have_an_end() {
    Plan::to(&[])
        .inside(async |proxy| {
            for said in [Vec::new(), client_hello()[..20].to_vec(), client_hello()] {
                let mut client = connect(proxy.https).await;
                let start = clock::now();
                client.send(&said).await;
                client.rest().await;
                assert_took(start, 15..=17);
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn handshakes_that_stop_half_way_hold_nobody_up() {
    Plan::to(&[])
        .inside(async |proxy| {
            let mut stalled = Vec::new();
            for _ in 0..600 {
                let mut client = connect(proxy.https).await;
                client.send(&client_hello()).await;
                stalled.push(client);
            }
            let start = clock::now();
            let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client_config()));
            let stream = connect(proxy.https).await.stream;
            let mut client = Raw::new(connector.connect("a.example".try_into().unwrap(), stream).await.unwrap());
            client.send(b"GET /healthz HTTP/1.0\r\n\r\n").await;
            assert!(client.rest().await.starts_with("HTTP/1.0 200 "));
            assert_took(start, 0..=3);
        })
        .await;
}

/// What a TLS client says first.
fn client_hello() -> Vec<u8> {
    let config = std::sync::Arc::new(client_config());
    let mut client = rustls::ClientConnection::new(config, "a.example".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}
