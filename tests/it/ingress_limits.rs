//! `landfall ingress` at the limits that the system sets for it.

use std::net::SocketAddr;
use std::time::Duration;

use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::data_plane::{DataPlane, create_class, delete_class};
use crate::support::wait;
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    crate::trials!("ingress_limits": without_file_descriptors_it_waits_and_goes_on)
}

/// What the proxy logs, at most so often for each socket that it accepts from.
const COMPLAINT: &str = "connections cannot be accepted";
const PAUSE: Duration = Duration::from_millis(100);

/// It has one worker.
const SOCKETS: u32 = 2;

/// Whoever is connected is served; it neither spins nor fills the log; and once descriptors are free it accepts again.
async fn without_file_descriptors_it_waits_and_goes_on(world: World) {
    create_class(&world).await;
    let data_plane = DataPlane::start(&world, "a", &[]).await;
    let mut kept = TcpStream::connect(data_plane.http).await.expect("connected");
    assert_eq!(health(&mut kept).await, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", data_plane.pid())).expect("it runs").count();
    limit(data_plane.pid(), open + 10);

    let crowd = connected(data_plane.http, 40).await;
    let complaints = || u32::try_from(data_plane.logged().matches(COMPLAINT).count()).expect("few");
    wait::until("the limit is reached", async || if complaints() > 0 { Ok(()) } else { Err(data_plane.logged()) }).await;
    let (start, before) = (tokio::time::Instant::now(), complaints());
    wait::until("more complaints", async || if complaints() > before + 5 { Ok(()) } else { Err(complaints()) }).await;
    let said = complaints() - before;
    // The first of each socket may have been due at once; the log was read before the clock.
    let due = u32::try_from(start.elapsed().as_millis() / PAUSE.as_millis()).expect("few") + 1;
    assert!(said <= SOCKETS * due, "{said} complaints in {:?}", start.elapsed());
    assert_eq!(health(&mut kept).await, 200, "who is connected is served");

    drop(crowd);
    wait::until("it accepts again", async || {
        let answer = data_plane.get("any.example", "/healthz").await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    data_plane.stop().await;
    delete_class(&world).await;
}

/// The kernel takes connections on the proxy's behalf, accepted or not.
async fn connected(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..count {
        crowd.push(TcpStream::connect(address).await.expect("connected"));
    }
    crowd
}

/// Sets how many files a process may have open.
fn limit(pid: u32, files: usize) {
    let status =
        std::process::Command::new("prlimit").args([format!("--pid={pid}"), format!("--nofile={files}:{files}")]).status();
    assert!(status.expect("prlimit (util-linux)").success());
}

/// Asks on a connection that stays open.
async fn health(connection: &mut TcpStream) -> u16 {
    connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: any.example\r\n\r\n").await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(connection.read_buf(&mut head).await.expect("an answer") > 0);
    }
    String::from_utf8_lossy(&head).split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}
