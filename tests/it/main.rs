//! All integration tests in one binary: a real control plane in private namespaces, and for each test an emulator, a namespace
//! and a controller process of its own.
//!
//! `cargo test --test it [-- FILTER]`. The binary re-executes itself in the private namespaces first, so nothing outside is
//! touched and everything ends with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "test code: a panic is a failed test, and nothing is public"
)]

mod architecture;
mod bench;
mod support;

mod aws_contract;
mod changes;
mod clients;
mod crash;
mod drift;
mod faults;
mod forged;
mod idle;
mod ingress;
mod ingress_churn;
mod ingress_limits;
mod ingress_manifest;
mod ingress_outages;
mod ingress_rows;
mod ingress_rules;
mod ingress_status;
mod inputs;
mod manifests;
mod outages;
mod plan_command;
mod reconcile;
mod replicas;
mod routes_command;
mod shared;
mod targets;
mod traffic;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn trials() -> Vec<Trial> {
    [
        architecture::trials(),
        changes::trials(),
        clients::trials(),
        drift::trials(),
        forged::trials(),
        idle::trials(),
        ingress::trials(),
        ingress_churn::trials(),
        ingress_limits::trials(),
        ingress_manifest::trials(),
        ingress_outages::trials(),
        ingress_rows::trials(),
        ingress_rules::trials(),
        ingress_status::trials(),
        inputs::trials(),
        plan_command::trials(),
        targets::trials(),
        reconcile::trials(),
        crash::trials(),
        faults::trials(),
        outages::trials(),
        replicas::trials(),
        shared::trials(),
        routes_command::trials(),
        traffic::trials(),
        manifests::trials(),
        aws_contract::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn main() -> ExitCode {
    landfall_test_cluster::run_launcher_if_asked();
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    if let Err(error) = landfall_test_cluster::enter_namespaces() {
        eprintln!("integration tests need private namespaces: {error}");
        return ExitCode::FAILURE;
    }
    support::fixture::install_crypto_provider();
    match support::fixture::option("LANDFALL_BENCH").as_deref() {
        None => {}
        Some("churn") => return ingress_churn::bench(),
        Some(_) => return bench::run(),
    }
    // The end of this process takes the cluster along: it is the first of its own process namespace.
    libtest_mimic::run(&arguments, trials()).exit_code()
}
