//! `make bench-localstack`: what the emulator costs, beside moto and, for its data plane, Debian's HAProxy, in one run.
//!
//! ```text
//! this program: load and targets, core 1 ─▶ server under test, core 0
//! ```
//!
//! Each server has a core to itself and gets the same calls over the same number of connections. Rates are per second of processor time
//! (`/proc/PID/stat`) where it says so: then what else the machine does matters little. The order is
//! turned round in each round; figures are medians.

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

mod calls;
mod client;
mod container;
mod data_plane;
mod report;
mod server;
mod size;
mod start;

use std::path::Path;
use std::process::ExitCode;

use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [binary, moto, folder] = &*arguments else {
        // `cargo test --all-targets` runs benches, too: without being asked it measures nothing.
        println!("tools/bench-localstack.sh measures with this");
        return ExitCode::SUCCESS;
    };
    let (binary, folder) = (Path::new(binary), Path::new(folder));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut report = Report::default();
    runtime.block_on(async {
        report.table(&["", "landfall-localstack", "goal"]);
        start::measure(&mut report).await;
        container::measure(&mut report).await;
        size::measure(&mut report, binary).await;
        calls::measure(&mut report, binary, moto).await;
        data_plane::measure(&mut report, binary, folder).await;
    });
    report.end()
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
