//! The same black-box checks on every back end that can take them, and what only containers have to hold. `LANDFALL_TEST_BACKENDS` says
//! which; without Docker or an image a back end is skipped, loudly, and the matrix at the end says what ran where.
//!
//! Brings its own `main`: what a back end can do is known once it runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

mod calls;
mod containers;
mod network;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use landfall_test_containers::{Aws, Backend, Capability, Matrix, Outcome, Settings, StartError};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

/// A check: its name, what it needs, and itself.
struct Check {
    name: &'static str,
    needs: &'static [Capability],
    run: fn(&Runtime, &Aws),
}

fn checks() -> Vec<Check> {
    [calls::checks(), containers::checks()].into_iter().flatten().collect()
}

/// A back end with its name; one check at a time has it, for clock, faults and journal are one for all its accounts.
type Running = Arc<Mutex<Aws>>;

fn main() -> ExitCode {
    let settings = match Settings::of_this_process() {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = Arc::new(Runtime::new().unwrap());
    if containers::holds_one(&runtime, &settings) {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if arguments.list {
        let names = settings
            .backends
            .iter()
            .flat_map(|backend| checks().into_iter().map(move |check| title(&backend.to_string(), &check)));
        return libtest_mimic::run(&arguments, names.map(|name| Trial::test(name, || Ok(()))).collect()).exit_code();
    }
    let mut skipped = BTreeMap::new();
    let mut running = Vec::new();
    let mut broken = false;
    for backend in &settings.backends {
        match runtime.block_on(Aws::start(backend, &settings)) {
            Ok(aws) => running.push((backend.to_string(), Arc::new(Mutex::new(aws)))),
            Err(lacks @ StartError::Lacks { .. }) => drop(skipped.insert(backend.to_string(), lacks.to_string())),
            Err(problem) => {
                broken = true;
                eprintln!("{backend} did not start: {problem}");
            }
        }
    }

    let matrix = Arc::new(Mutex::new(Matrix::new(settings.backends.iter().map(Backend::to_string).collect())));
    for (backend, lacks) in &skipped {
        let what = lacks.split(" (").next().unwrap_or_default().trim_start_matches("lacks ");
        for check in checks() {
            matrix.lock().unwrap().record(check.name, backend, Outcome::Lacks(what.to_owned()));
        }
    }
    let trials =
        running.iter().flat_map(|(name, aws)| checks().into_iter().map(|check| trial(&check, name, aws, &runtime, &matrix)));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    println!("{}", matrix.lock().unwrap_or_else(PoisonError::into_inner));
    for (backend, lacks) in &skipped {
        println!("!!! SKIPPED: {backend} tests: {lacks}");
    }
    for (_, aws) in running {
        if let Some(running) = Arc::into_inner(aws) {
            let aws = running.into_inner().unwrap_or_else(PoisonError::into_inner);
            runtime.block_on(aws.stop()).expect("it ends");
        }
    }
    if broken { ExitCode::FAILURE } else { conclusion.exit_code() }
}

fn title(backend: &str, check: &Check) -> String {
    format!("{backend}::{}", check.name)
}

/// The check on one back end; ignored where something is lacking.
fn trial(check: &Check, backend: &str, aws: &Running, runtime: &Arc<Runtime>, matrix: &Arc<Mutex<Matrix>>) -> Trial {
    let name = title(backend, check);
    let lacking = aws.lock().unwrap().capabilities().lacking(check.needs);
    if let Some(capability) = lacking {
        matrix.lock().unwrap().record(check.name, backend, Outcome::Lacks(capability.to_string()));
        return Trial::test(name, || Ok(())).with_kind(format!("lacks {capability}")).with_ignored_flag(true);
    }
    let (test, run) = (check.name, check.run);
    let (backend, aws, runtime, matrix) = (backend.to_owned(), Arc::clone(aws), Arc::clone(runtime), Arc::clone(matrix));
    Trial::test(name, move || {
        // A failed check before this one is no reason to fail.
        let aws = aws.lock().unwrap_or_else(PoisonError::into_inner);
        let result = catch_unwind(AssertUnwindSafe(|| run(&runtime, &aws)));
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        matrix.lock().unwrap_or_else(PoisonError::into_inner).record(test, &backend, outcome);
        drop(aws);
        result.map_or_else(|panic| resume_unwind(panic), Ok)
    })
}
