//! What a container has to hold besides: who reaches it, that it says how it is and ends when it is told to, and that none is left behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use landfall_test_containers::{Aws, Capability, Settings, docker};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::Check;

/// In the environment of a process that only holds a container of this back end.
const HOLD: &str = "LANDFALL_TEST_HOLD";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn checks() -> Vec<Check> {
    const NEEDS: &[Capability] = &[Capability::Container];
    // What starts as LocalStack does.
    const LIKE_LOCALSTACK: &[Capability] = &[Capability::Container, Capability::LocalStackHealth];
    vec![
        Check {
            name: "only_loopback_reaches_it",
            needs: NEEDS,
            run: |runtime, aws| runtime.block_on(only_loopback_reaches_it(aws)),
        },
        Check {
            name: "the_health_check_passes",
            needs: LIKE_LOCALSTACK,
            run: |runtime, aws| runtime.block_on(the_health_check_passes(aws)),
        },
        Check { name: "it_says_ready", needs: LIKE_LOCALSTACK, run: |runtime, aws| runtime.block_on(it_says_ready(aws)) },
        Check { name: "it_ends_when_it_is_told_to", needs: LIKE_LOCALSTACK, run: it_ends_when_it_is_told_to },
        Check { name: "a_killed_process_leaves_nothing", needs: NEEDS, run: a_killed_process_leaves_nothing },
    ]
}

async fn only_loopback_reaches_it(aws: &Aws) {
    let published = docker(&["port", aws.container().unwrap().id()]).await.unwrap();
    assert!(!published.is_empty());
    for line in published.lines() {
        assert!(line.contains(" -> 127.0.0.1:"), "{published}");
    }
}

async fn the_health_check_passes(aws: &Aws) {
    let state = async || aws.container().unwrap().inspect("{{.State.Health.Status}}").await.unwrap();
    let healthy = async {
        // The engine asks some seconds after the start for the first time.
        while state().await == "starting" {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, healthy).await.expect("a verdict");
    assert_eq!(state().await, "healthy");
}

async fn it_says_ready(aws: &Aws) {
    let log = docker(&["logs", aws.container().unwrap().id()]).await.unwrap();
    assert!(log.lines().any(|line| line == "Ready."), "{log}");
}

fn it_ends_when_it_is_told_to(runtime: &Runtime, aws: &Aws) {
    let settings = Settings::of_this_process().unwrap();
    runtime.block_on(async {
        let another = Aws::start(aws.backend(), &settings).await.unwrap();
        let container = another.container().unwrap();
        // After this time it would be killed, and its status another one.
        docker(&["stop", "-t", "60", container.id()]).await.unwrap();
        assert_eq!(container.inspect("{{.State.ExitCode}}").await.unwrap(), "0");
        another.stop().await.unwrap();
    });
}

/// A process that does as [`HOLD`] says; the id of its container.
fn holder(backend: &str) -> (Child, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.env(HOLD, backend).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut id = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut id).unwrap();
    assert!(!id.trim().is_empty(), "the process holds a container");
    (child, id.trim().to_owned())
}

/// The other side of [`holder`]: prints the id of its container and keeps it until stdin ends. `false` where nobody asked for that.
pub(crate) fn holds_one(runtime: &Runtime, settings: &Settings) -> bool {
    #[expect(clippy::disallowed_methods, reason = "no setting: how this program tells itself what to be")]
    let Ok(backend) = std::env::var(HOLD) else { return false };
    let aws = runtime.block_on(Aws::start(&backend.parse().unwrap(), settings)).unwrap();
    println!("{}", aws.container().unwrap().id());
    std::io::stdin().lines().for_each(drop);
    true
}

fn a_killed_process_leaves_nothing(runtime: &Runtime, aws: &Aws) {
    let is_there = |id: &str| {
        runtime.block_on(docker(&["inspect", "--format", "{{.State.Running}}", id])).is_ok_and(|state| state == "true")
    };
    let backend = aws.backend();
    let (mut killed, its) = holder(&backend.to_string());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(is_there(&its), "SIGKILL leaves it");

    let (mut alive, other) = holder(&backend.to_string());
    assert!(!is_there(&its), "the next start removes it");
    assert!(is_there(aws.container().unwrap().id()), "and no container of a process that lives");
    // Its stdin ends: it ends as it should, and removes its container itself.
    drop(alive.stdin.take());
    assert!(alive.wait().unwrap().success());
    assert!(!is_there(&other));
}
