//! `make bench-proxy`: what a request costs in our data plane, beside Debian's nginx and haproxy, in one run.
//!
//! ```text
//! load (wrk, h2load, this program), core 1 ─▶ proxy under test, core 0 ─▶ backend (this program), core 1
//! ```
//!
//! Each proxy has one thread, is started afresh for each scenario, and is told to do the same: the same four forwarding headers,
//! kept upstream connections without a count of requests; one ECDSA P-256 certificate, TLS 1.3 with X25519 and AES-128, session
//! tickets (nginx and ours one for each connection, haproxy two). Clients do not come back with a ticket, except wrk, which always does
//! and measures resumed handshakes by that. Ours does more: 5,001 hosts with four paths each, five more headers, metrics, and an access log, which the others
//! have switched off. The order is turned round in each round; figures are medians, ratios those of a round's ratios. CPU time is the scheduler's own account of the proxy's threads (`/proc/PID/task/*/schedstat`).
//! Compare ratios, not absolute figures: machines differ, and so do moments of one machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    reason = "a measuring program: whatever fails ends it"
)]

mod backend;
mod calls;
mod client;
mod measure;
mod peers;
mod serve;
mod strace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first provider");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", folder, http, https, backend] => serve::run(folder, http, https, backend),
        ["backend", address] => backend::run(address),
        ["reconnect", folder, address, seconds] => client::reconnect(folder, address, seconds),
        ["calls"] => calls::run(),
        ["run", rest @ ..] => measure::run(rest),
        // `cargo test --all-targets` runs benches, too: without being asked it measures nothing.
        _ => {
            println!("tools/bench-proxy.sh measures with this");
            ExitCode::SUCCESS
        }
    }
}
