//! `make bench-proxy`: what a request costs in our data plane, beside Debian's nginx and haproxy, in one run.
//!
//! ```text
//! load (wrk, h2load), core 1 ─▶ proxy under test, core 0 ─▶ backend (this program), core 1
//! ```
//!
//! Each proxy has one thread, is started afresh for each measurement, and is told to do the same: the same four forwarding headers,
//! kept upstream connections. Ours does more: 5,001 hosts with four paths each, metrics, an access log. The order is turned round in
//! each round; figures are medians. CPU time is the scheduler's own account of the proxy's threads (`/proc/PID/task/*/schedstat`).
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
mod measure;
mod peers;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first provider");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", http, https, folder] => serve::run(http, https, folder),
        ["backend", address] => backend::run(address),
        ["run", rest @ ..] => measure::run(rest),
        // `cargo test --all-targets` runs benches, too: without being asked it measures nothing.
        _ => {
            println!("tools/bench-proxy.sh measures with this");
            ExitCode::SUCCESS
        }
    }
}
