//! `landfall-localstack`: the emulator as a program. Flags, start, `Ready.`, stop at SIGTERM or SIGINT; everything else is the library.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Parser, ValueEnum};
use landfall_localstack::{DataPlane, Durations, Emulator, Options, StartError, World};
use tokio::signal::unix::{SignalKind, signal};

/// An AWS for network load balancers: ELBv2, EC2 networking and STS, started like LocalStack.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address and port of the AWS API.
    #[arg(long, env = "LANDFALL_LOCALSTACK_LISTEN", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 4566)))]
    listen: SocketAddr,

    /// Address and port to answer DNS queries for load balancers' names on (UDP and TCP).
    #[arg(long, env = "LANDFALL_LOCALSTACK_DNS")]
    dns: Option<SocketAddr>,

    /// Open the listeners of load balancers on their addresses, which have to be local to this network namespace.
    #[arg(long, env = "LANDFALL_LOCALSTACK_DATA_PLANE", value_parser = FalseyValueParser::new())]
    data_plane: bool,

    /// How long AWS takes for what it does.
    #[arg(long, env = "LANDFALL_LOCALSTACK_PROFILE", value_enum, default_value_t = Profile::Instant)]
    profile: Profile,

    /// A JSON file that describes a VPC to begin with, as POST /_landfall/seed takes it.
    #[arg(long, env = "LANDFALL_LOCALSTACK_SEED_WORLD", value_name = "FILE")]
    seed_world: Option<PathBuf>,

    /// Account of --seed-world.
    #[arg(long, env = "LANDFALL_LOCALSTACK_SEED_ACCOUNT", default_value = "000000000000", value_name = "ACCOUNT")]
    seed_account: String,

    /// Region of --seed-world.
    #[arg(long, env = "LANDFALL_LOCALSTACK_SEED_REGION", default_value = "us-east-1", value_name = "REGION")]
    seed_region: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Profile {
    /// Nothing takes time.
    Instant,
    /// What users of AWS see on an ordinary day.
    Realistic,
}

/// Why the program ends with status 1.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot read {path} (--seed-world): {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} (--seed-world) does not describe a world: {source}")]
    World { path: PathBuf, source: serde_json::Error },
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let world = arguments.seed_world.map(read_world).transpose()?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let emulator = Emulator::start(Options {
        listen: arguments.listen,
        dns: arguments.dns,
        data_plane: if arguments.data_plane { DataPlane::On } else { DataPlane::Off },
        durations: match arguments.profile {
            Profile::Instant => Durations::instant(),
            Profile::Realistic => Durations::realistic(),
        },
        ..Options::default()
    })
    .await?;
    if let Some(world) = world {
        let seeded = emulator.region(&arguments.seed_account, &arguments.seed_region).seed(&world);
        tracing::info!(vpc = seeded.vpc_id, account = arguments.seed_account, region = arguments.seed_region, "seeded");
    }
    tracing::info!(endpoint = emulator.endpoint(), dns = ?emulator.dns_address(), "serving");
    // What LocalStack prints, and what harnesses wait for.
    println!("Ready.");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.stop().await;
    Ok(())
}

fn read_world(path: PathBuf) -> Result<World, Failure> {
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|source| Failure::World { path, source }),
        Err(source) => Err(Failure::Read { path, source }),
    }
}
