//! How long a test waits for an emulator in its own process.

use std::time::Instant;

use landfall_localstack::{Emulator, Options, World, WorldOptions};

use super::client::{ACCOUNT, Client, ELB, REGION};
use super::report::{Goal, Report};

/// From nothing to the answer of the first call, with a VPC to begin with; the first emulator of this process, the slowest of all.
pub async fn measure(report: &mut Report) {
    let begin = Instant::now();
    let emulator = Emulator::start(Options::default()).await.expect("started");
    let world = World::three_zones(WorldOptions { region: REGION.to_owned(), ..WorldOptions::default() });
    emulator.region(ACCOUNT, REGION).seed(&world);
    Client::new(emulator.endpoint()).call(ELB, "DescribeLoadBalancers", &[]).await;
    let taken = begin.elapsed();
    emulator.stop().await;
    report.figure("start in process, to the first answer", taken.as_secs_f64() * 1e3, "ms", Goal::AtMost(20.0));
}
