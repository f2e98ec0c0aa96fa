//! `landfall-localstack`: the emulator as a program. Flags, start, `Ready.`, stop at SIGTERM or SIGINT; everything else is the library.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use landfall_localstack::{
    AddressMap, Conditions, ConditionsError, DataPlane, DurationError, Durations, Emulator, FAULT_SETS, Options, PlacedWorld,
    Policy, PolicyError, Proxy, ProxyError, ProxyOptions, RestoreError, SecurityGroups, StartError, WorldFileError, health,
    read_worlds,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// An AWS for network load balancers: ELBv2, EC2 networking and STS, started like LocalStack.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    emulator: EmulatorArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Asks the emulator that listens on --listen how it is; status 0 if it answers. What a container's health check runs.
    Health {
        #[command(flatten)]
        at: Listen,
    },

    /// Puts faults and journal in front of another endpoint: moto, LocalStack, another emulator.
    Proxy {
        /// Address and port of the proxy.
        #[arg(long, env = "LANDFALL_LOCALSTACK_PROXY_LISTEN", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 4567)))]
        listen: SocketAddr,

        /// The endpoint, http://HOST:PORT.
        #[arg(long, env = "LANDFALL_LOCALSTACK_PROXY_TO", value_name = "URL")]
        to: String,

        #[command(flatten)]
        pages: Pages,

        #[command(flatten)]
        faults: FaultArguments,
    },
}

/// LocalStack's port.
const PORT: u16 = 4566;

/// An address as LocalStack takes it in `GATEWAY_LISTEN`: `0.0.0.0:4566`, `:4566` for all addresses, `0.0.0.0` for the usual port.
fn read_listen(text: &str) -> Result<SocketAddr, String> {
    // Not for `::1`, an address.
    let all = text.strip_prefix(':').filter(|port| !port.contains(':')).map(|port| format!("0.0.0.0:{port}"));
    let address = all.as_deref().unwrap_or(text);
    let with_port = address.parse().or_else(|_| address.parse().map(|address| SocketAddr::new(address, PORT)));
    with_port.map_err(|_| "one address with or without a port is needed, for example 0.0.0.0:4566".to_owned())
}

#[derive(Debug, Args)]
struct Listen {
    /// Address and port of the AWS API.
    #[arg(long, env = "GATEWAY_LISTEN", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), value_parser = read_listen)]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct Pages {
    /// A name by which browsers may reach it, besides addresses, names without a dot, and local ones such as localhost; pages of this host may
    /// call it. Can be repeated, or separated by commas.
    #[arg(long, env = "LANDFALL_LOCALSTACK_ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    allowed_host: Vec<String>,
}

#[derive(Debug, Args)]
struct FaultArguments {
    /// A JSON file of fault rules; for the emulator also of durations, quotas and a policy.
    #[arg(long, env = "LANDFALL_LOCALSTACK_FAULTS", value_name = "FILE")]
    faults: Option<PathBuf>,

    /// A fault rule as JSON, or the name of a set of rules (aws-like); behind those of --faults. Can be repeated.
    #[arg(long, value_name = "RULE")]
    fault: Vec<String>,
}

#[derive(Debug, Args)]
struct EmulatorArguments {
    #[command(flatten)]
    at: Listen,

    #[command(flatten)]
    pages: Pages,

    /// Address and port to answer DNS queries for load balancers' names on (UDP and TCP).
    #[arg(long, env = "LANDFALL_LOCALSTACK_DNS")]
    dns: Option<SocketAddr>,

    /// Open the listeners of load balancers on their addresses, which have to be local to this network namespace.
    #[arg(long, env = "LANDFALL_LOCALSTACK_DATA_PLANE", value_parser = FalseyValueParser::new())]
    data_plane: bool,

    /// Whether what no security-group rule lets through is dropped, by listeners, on the way to targets, and for health checks.
    #[arg(long, env = "LANDFALL_LOCALSTACK_SECURITY_GROUPS", value_enum, default_value_t = Rules::Enforced)]
    security_groups: Rules,

    /// Where addresses of VPCs are on this machine, for example 10.20.0.0/16=127.20.0.0/16; several with commas between them.
    #[arg(
        long,
        env = "LANDFALL_LOCALSTACK_ADDRESS_MAP",
        value_name = "VPC=LOCAL",
        default_value = "",
        hide_default_value = true
    )]
    address_map: AddressMap,

    /// Open listeners on ports below 1024 this much higher, for users who may not open those.
    #[arg(long, env = "LANDFALL_LOCALSTACK_LOW_PORT_OFFSET", value_name = "PORTS", default_value_t = 0)]
    low_port_offset: u16,

    /// Let targets see the addresses of clients on other machines, too (Linux, CAP_NET_ADMIN). The network has to bring the targets' answers
    /// back to this machine's sockets.
    #[arg(long, env = "LANDFALL_LOCALSTACK_TRANSPARENT", value_parser = FalseyValueParser::new())]
    transparent: bool,

    /// How long AWS takes for what it does.
    #[arg(long, env = "LANDFALL_LOCALSTACK_PROFILE", value_enum, default_value_t = Profile::Instant)]
    profile: Profile,

    /// How long one thing takes, by its name in `GET /_landfall/durations`. Can be repeated, or separated by commas.
    #[arg(long, env = "LANDFALL_LOCALSTACK_DURATIONS", value_name = "NAME=SECONDS", value_delimiter = ',', value_parser = read_duration)]
    duration: Vec<(String, String)>,

    /// A JSON file with an IAM policy that every call is held to.
    #[arg(long, env = "LANDFALL_LOCALSTACK_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    faults: FaultArguments,

    /// A YAML or JSON file that describes a VPC to begin with, or several with their accounts and regions.
    #[arg(long, alias = "seed-world", env = "LANDFALL_LOCALSTACK_SEED", value_name = "FILE")]
    seed: Option<PathBuf>,

    /// Begin with a state that --snapshot-on-exit or GET /_landfall/snapshot has written; before --seed.
    #[arg(long, env = "LANDFALL_LOCALSTACK_RESTORE", value_name = "FILE")]
    restore: Option<PathBuf>,

    /// Write the whole state to this file when the emulator is told to end.
    #[arg(long, env = "LANDFALL_LOCALSTACK_SNAPSHOT_ON_EXIT", value_name = "FILE")]
    snapshot_on_exit: Option<PathBuf>,

    /// Account of a --seed that names none.
    #[arg(long, env = "LANDFALL_LOCALSTACK_SEED_ACCOUNT", default_value = "000000000000", value_name = "ACCOUNT")]
    seed_account: String,

    /// Region of a --seed that names none.
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rules {
    /// As in a VPC.
    Enforced,
    /// Everything gets through.
    Ignored,
}

/// Why the program ends with status 1.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("cannot read {path} ({flag}): {source}")]
    Read { path: PathBuf, flag: &'static str, source: std::io::Error },
    #[error("{path} (--faults): {source}")]
    Faults { path: PathBuf, source: ConditionsError },
    #[error("--fault {rule}: {source}")]
    Fault { rule: String, source: ConditionsError },
    #[error("{path} (--policy): {source}")]
    Policy { path: PathBuf, source: PolicyError },
    #[error("--faults: {0}")]
    Conditions(#[from] ConditionsError),
    #[error("{path} (--seed) does not describe a world: {source}")]
    World { path: PathBuf, source: WorldFileError },
    #[error("--duration: {0}")]
    Duration(DurationError),
    #[error("{path} (--restore): {source}")]
    Restore { path: PathBuf, source: RestoreError },
    #[error("cannot write {path} (--snapshot-on-exit): {source}")]
    Save { path: PathBuf, source: std::io::Error },
    #[error("no healthy emulator on {0}: {1}")]
    Unhealthy(SocketAddr, std::io::Error),
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
    match arguments.command {
        Some(Command::Health { at }) => {
            let listen = at.listen;
            health(listen).await.map_err(|error| Failure::Unhealthy(listen, error))
        }
        Some(Command::Proxy { listen, to, pages, faults }) => proxy(listen, to, pages.allowed_host, &faults).await,
        None => emulator(arguments.emulator).await,
    }
}

/// SIGTERM or SIGINT, from the moment on that this is made.
struct End {
    terminate: Signal,
    interrupt: Signal,
}

impl End {
    fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(Failure::Signals);
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn proxy(listen: SocketAddr, to: String, allowed_hosts: Vec<String>, faults: &FaultArguments) -> Result<(), Failure> {
    let conditions = read_conditions(faults)?;
    let end = End::new()?;
    let proxy = Proxy::start(ProxyOptions { listen, allowed_hosts, to: to.clone(), conditions }).await?;
    tracing::info!(endpoint = proxy.endpoint(), to, "serving");
    println!("Ready.");
    end.wait().await;
    proxy.stop().await;
    Ok(())
}

async fn emulator(arguments: EmulatorArguments) -> Result<(), Failure> {
    let conditions = read_conditions(&arguments.faults)?;
    let policy = arguments.policy.map(read_policy).transpose()?;
    let worlds = match &arguments.seed {
        Some(path) => read_seed(path, &arguments.seed_account, &arguments.seed_region)?,
        None => Vec::new(),
    };
    let end = End::new()?;
    let emulator = Emulator::start(Options {
        listen: arguments.at.listen,
        allowed_hosts: arguments.pages.allowed_host,
        dns: arguments.dns,
        data_plane: if arguments.data_plane { DataPlane::On } else { DataPlane::Off },
        security_groups: match arguments.security_groups {
            Rules::Enforced => SecurityGroups::Enforced,
            Rules::Ignored => SecurityGroups::Ignored,
        },
        address_map: arguments.address_map,
        low_port_offset: arguments.low_port_offset,
        transparent: arguments.transparent,
        durations: match arguments.profile {
            Profile::Instant => Durations::instant(),
            Profile::Realistic => Durations::realistic(),
        },
        ..Options::default()
    })
    .await?;
    if let Some(path) = arguments.restore {
        let text = read_text(&path, "--restore")?;
        emulator.restore(&text).map_err(|source| Failure::Restore { path, source })?;
    }
    emulator.set_conditions(conditions)?;
    if policy.is_some() {
        emulator.enforce(policy, None);
    }
    // Flags are closer at hand than a file, so they win.
    let mut durations = emulator.durations();
    for (name, seconds) in &arguments.duration {
        durations.set(name, seconds).map_err(Failure::Duration)?;
    }
    emulator.set_durations(durations);
    for PlacedWorld { account, region, world } in worlds {
        let seeded = emulator.region(&account, &region).seed(&world);
        tracing::info!(vpc = seeded.vpc_id, account, region, "seeded");
    }
    tracing::info!(endpoint = emulator.endpoint(), dns = ?emulator.dns_address(), "serving");
    // What LocalStack prints, and what harnesses wait for.
    println!("Ready.");
    end.wait().await;
    if let Some(path) = arguments.snapshot_on_exit {
        let saved = emulator.save().map_err(std::io::Error::other).and_then(|text| std::fs::write(&path, text));
        saved.map_err(|source| Failure::Save { path, source })?;
    }
    emulator.stop().await;
    Ok(())
}

fn read_text(path: &Path, flag: &'static str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.to_owned(), flag, source })
}

fn read_seed(path: &Path, account: &str, region: &str) -> Result<Vec<PlacedWorld>, Failure> {
    let text = read_text(path, "--seed")?;
    read_worlds(&text, account, region).map_err(|source| Failure::World { path: path.to_owned(), source })
}

fn read_policy(path: PathBuf) -> Result<Policy, Failure> {
    Policy::from_json(&read_text(&path, "--policy")?).map_err(|source| Failure::Policy { path, source })
}

/// The file of `--faults`, with each `--fault` behind its rules.
fn read_conditions(arguments: &FaultArguments) -> Result<Conditions, Failure> {
    let mut conditions = match &arguments.faults {
        None => Conditions::default(),
        Some(path) => {
            let text = read_text(path, "--faults")?;
            Conditions::read(&text).map_err(|source| Failure::Faults { path: path.clone(), source })?
        }
    };
    for rule in &arguments.fault {
        if FAULT_SETS.contains(&rule.as_str()) {
            conditions.sets.push(rule.clone());
            continue;
        }
        let read = Conditions::read(&format!("{{\"rules\": [{rule}]}}"));
        conditions.rules.extend(read.map_err(|source| Failure::Fault { rule: rule.clone(), source })?.rules);
    }
    Ok(conditions)
}

fn read_duration(text: &str) -> Result<(String, String), String> {
    let (name, seconds) = text.split_once('=').ok_or_else(|| format!("'{text}' is not NAME=SECONDS"))?;
    Ok((name.to_owned(), seconds.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_localstack_reads_them() {
        for (text, address) in
            [("0.0.0.0:4566", "0.0.0.0:4566"), (":80", "0.0.0.0:80"), ("127.0.0.1", "127.0.0.1:4566"), ("::1", "[::1]:4566")]
        {
            assert_eq!(read_listen(text), Ok(address.parse().unwrap()), "{text}");
        }
        for text in ["", "localhost", "0.0.0.0:4566,0.0.0.0:443", ":"] {
            assert!(read_listen(text).unwrap_err().contains("0.0.0.0:4566"), "{text}");
        }
    }
}
