//! `landfall-cluster`: the AWS emulator and a Kubernetes cluster around one command, or until a signal. For the demo and for people.
//!
//! [`arguments`] says what can be asked for, [`surroundings`] is what commands and pods find there (environment, `enter.sh`). The order
//! of things is in [`Everything`]. Whenever the process ends, by a signal too, everything that it started ends with it.

mod arguments;
mod surroundings;

use std::fs;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use clap::Parser;
use landfall_localstack::{DataPlane, Emulator, World, WorldOptions};
use landfall_test_cluster::{
    Cluster, Images, Options, Program, REGION, VPC_ADDRESS, built_control_plane, enter_namespaces, hide_marker, init_process,
    run_launcher_if_asked,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use arguments::{Arguments, Run, Task};
use surroundings::{ACCOUNT, EMULATOR_PORT, Surroundings, aws, sibling};

/// How long the command may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// The exit code after a signal, when no command gives another (a shell's 128 + SIGTERM).
const INTERRUPTED: u8 = 143;

type Problem = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    run_launcher_if_asked();
    let Task::Run(run) = Arguments::parse().task;
    match start(&run) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("landfall-cluster: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn start(run: &Run) -> Result<ExitCode, Problem> {
    // Before the namespaces, which have no network to build anything from.
    let binaries = run.binaries.clone().map_or_else(built_control_plane, Ok)?;
    enter_namespaces()?;
    // The Kubernetes client would report each try while the API server starts.
    let filter = tracing_subscriber::EnvFilter::new("warn,kube_client=off");
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
    let runtime = tokio::runtime::Runtime::new()?;
    // Before the temporary folder, which an unhandled signal would leave behind.
    let interrupted = runtime.block_on(async { interruption() })?;
    let temporary = match &run.workdir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("landfall-cluster-").tempdir()?),
    };
    let workdir = run.workdir.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
    fs::create_dir_all(workdir).map_err(|problem| format!("--workdir {}: {problem}", workdir.display()))?;
    let workdir = fs::canonicalize(workdir)?;
    let code = runtime.block_on(async {
        let started = tokio::select! {
            // What has been started so far ends with this process.
            () = interrupted.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
            started = Everything::start(run, binaries, workdir) => started?,
        };
        let code = started.serve(run, &interrupted).await;
        started.stop().await;
        code
    });
    // Blocking work must not keep the process.
    runtime.shutdown_background();
    code
}

/// What a run consists of.
struct Everything {
    emulator: Emulator,
    cluster: Cluster,
    surroundings: Surroundings,
}

impl Everything {
    async fn start(run: &Run, binaries: PathBuf, workdir: PathBuf) -> Result<Self, Problem> {
        let begin = Instant::now();
        let progress = move |step: &str| eprintln!("[{:5.1} s] {step}", begin.elapsed().as_secs_f32());
        progress("AWS emulator: a VPC, three zones, three instances");
        let emulator = Emulator::start(landfall_localstack::Options {
            listen: (VPC_ADDRESS, EMULATOR_PORT).into(),
            dns: Some((VPC_ADDRESS, 53).into()),
            data_plane: DataPlane::On,
            durations: run.durations.into(),
            ..landfall_localstack::Options::default()
        })
        .await?;
        let world = World::three_zones(WorldOptions { cluster_name: run.cluster_name.clone(), ..WorldOptions::default() });
        emulator.region(ACCOUNT, REGION).seed(&world);

        let images = Images::default();
        let backend = sibling("landfall-backend").map(|path| ("landfall-backend".to_owned(), Program::new(path)));
        for (name, program) in backend.into_iter().chain(run.images.iter().cloned()) {
            images.insert(name, Program { environment: aws(), ..program });
        }
        let options = Options {
            binaries: binaries.clone(),
            workdir: workdir.clone(),
            cluster_name: run.cluster_name.clone(),
            dns: (VPC_ADDRESS, 53).into(),
            images,
            progress: Box::new(progress),
            audit: run.audit,
        };
        let cluster = Cluster::start(options).await?;
        progress("ready");
        let surroundings = Surroundings { binaries, workdir, kubeconfig: cluster.kubeconfig().to_owned() };
        Ok(Self { emulator, cluster, surroundings })
    }

    /// Runs the command, and stays if that is asked for.
    async fn serve(&self, run: &Run, interrupted: &CancellationToken) -> Result<ExitCode, Problem> {
        let entrance = match init_process() {
            Some(init) => self.surroundings.write_entrance(init)?,
            None => return Err("the process id of the namespaces' init is unknown".into()),
        };
        if let Some((program, arguments)) = run.command.split_first() {
            let status = self.run_command(program, arguments, interrupted).await?;
            if !status.success() || !run.keep {
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                return Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
            }
        }
        println!("Ready. {} [COMMAND] leads inside; SIGTERM or Ctrl-C ends it.", entrance.display());
        interrupted.cancelled().await;
        Ok(ExitCode::SUCCESS)
    }

    /// Runs the command to its end; an interruption is passed on.
    async fn run_command(
        &self,
        program: &str,
        arguments: &[String],
        interrupted: &CancellationToken,
    ) -> Result<ExitStatus, Problem> {
        let mut command = Command::new(program);
        command.args(arguments).kill_on_drop(true);
        self.surroundings.furnish(&mut command);
        hide_marker(&mut command);
        let mut child = command.spawn().map_err(|problem| format!("command {program}: {problem}"))?;
        let process = child.id();
        tokio::select! {
            status = child.wait() => return Ok(status?),
            () = interrupted.cancelled() => {}
        }
        if let Some(process) = process {
            // An error means that it has ended: the wait below tells.
            let _ = kill(Pid::from_raw(process.cast_signed()), Signal::SIGTERM);
        }
        match timeout(PATIENCE, child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                child.kill().await?;
                Ok(child.wait().await?)
            }
        }
    }

    async fn stop(self) {
        self.cluster.stop().await;
        self.emulator.stop().await;
    }
}

/// Cancelled by the first SIGTERM, SIGINT or SIGHUP.
fn interruption() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let (mut signals, token) = (signal(kind)?, token.clone());
        tokio::spawn(async move {
            signals.recv().await;
            token.cancel();
        });
    }
    Ok(token)
}
