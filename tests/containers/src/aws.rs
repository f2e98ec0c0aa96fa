//! Starts a back end, waits until it answers, and knows what it can do.
//!
//! Imports everything else here; nothing imports it.

use std::net::IpAddr;
use std::time::Duration;

use landfall_localstack::{AddressMap, DataPlane, Emulator, Options};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::capability::{Capabilities, Capability};
use crate::client::Client;
use crate::container::{Container, Recipe};
use crate::docker::{DockerError, docker};
use crate::settings::{ACCOUNT, Settings, TOKEN};

/// How long a container may take until it answers; LocalStack unpacks and licenses itself meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);
/// LocalStack's port, and that of whoever takes its place.
const PORT: u16 = 4566;
const MOTO_PORT: u16 = 5000;
const HEALTH: &str = "/_localstack/health";
const MOTO: &str = "/moto-api/";

/// A running AWS. Dropping it ends what was started for it.
#[derive(Debug)]
pub struct Aws {
    backend: Backend,
    endpoint: Option<String>,
    capabilities: Capabilities,
    addresses: AddressMap,
    host: Host,
}

#[derive(Debug)]
enum Host {
    Process(Emulator),
    Container(Container),
    Elsewhere,
}

/// Why a back end is not there.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something that has to be there first is not. A test says so and is skipped.
    #[error("lacks {what} ({fix})")]
    Lacks {
        /// What is missing.
        what: String,
        /// How to get it.
        fix: String,
    },
    /// The emulator did not start in this process.
    #[error(transparent)]
    InProcess(#[from] landfall_localstack::StartError),
    /// The engine did not start the container.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The container ended, or did not answer in time.
    #[error("{image} {problem}; its last words:\n{log}")]
    Container {
        /// Its image.
        image: String,
        /// What it did.
        problem: String,
        /// What it wrote.
        log: String,
    },
    /// The endpoint that was given does not answer.
    #[error("endpoint:{url} does not answer: {reason}")]
    Endpoint {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The credentials are those of another account than the one that may be changed.
    #[error("{ACCOUNT} allows tests in account {allowed}, and the credentials are those of {found}")]
    AnotherAccount {
        /// The variable's value.
        allowed: String,
        /// What STS says.
        found: String,
    },
}

fn lacks(what: impl Into<String>, fix: impl Into<String>) -> StartError {
    StartError::Lacks { what: what.into(), fix: fix.into() }
}

impl Aws {
    /// Starts it and waits until it answers. Containers that killed processes left are removed first.
    ///
    /// # Errors
    /// [`StartError::Lacks`] when this machine lacks what it takes; anything else is a failure.
    pub async fn start(backend: &Backend, settings: &Settings) -> Result<Self, StartError> {
        let running = |endpoint, capabilities, host| Self {
            backend: backend.clone(),
            endpoint,
            capabilities,
            addresses: AddressMap::default(),
            host,
        };
        match backend {
            Backend::InProcess => {
                let addresses = loopback_addresses();
                let options = Options {
                    data_plane: if addresses.is_some() { DataPlane::On } else { DataPlane::Off },
                    address_map: addresses.clone().unwrap_or_default(),
                    ..Options::default()
                };
                let emulator = Emulator::start(options).await?;
                let capabilities = if addresses.is_some() { emulators().with(Capability::DataPlane) } else { emulators() };
                let aws = running(Some(emulator.endpoint()), capabilities, Host::Process(emulator));
                Ok(Self { addresses: addresses.unwrap_or_default(), ..aws })
            }
            Backend::Container { image } => {
                present(image, Pull::Never).await?;
                let (endpoint, container) = contained(Recipe { image, port: PORT, environment: Vec::new() }, HEALTH).await?;
                Ok(running(Some(endpoint), emulators().with(Capability::Container), Host::Container(container)))
            }
            Backend::Moto { image } => {
                present(image, Pull::IfMissing).await?;
                let (endpoint, container) = contained(Recipe { image, port: MOTO_PORT, environment: Vec::new() }, MOTO).await?;
                Ok(running(Some(endpoint), motos().with(Capability::Container), Host::Container(container)))
            }
            Backend::LocalStack { image } => {
                let token = settings.localstack_token.as_deref();
                let token = token.ok_or_else(|| lacks(TOKEN, "set it to the token of a plan with ELBv2"))?;
                present(image, Pull::IfMissing).await?;
                let (endpoint, container) =
                    contained(Recipe { image, port: PORT, environment: vec![(TOKEN, token)] }, HEALTH).await?;
                Ok(running(Some(endpoint), localstacks().with(Capability::Container), Host::Container(container)))
            }
            Backend::Endpoint { url } => {
                let (capabilities, addresses) = found_at(url).await?;
                Ok(Self { addresses, ..running(Some(url.clone()), capabilities, Host::Elsewhere) })
            }
            Backend::Aws => {
                allowed(settings.aws_account.as_deref()).await?;
                let capabilities =
                    [Capability::UnknownIsRefused, Capability::NetworkLoadBalancers, Capability::Acm, Capability::Tagging];
                Ok(running(None, Capabilities::from(capabilities), Host::Elsewhere))
            }
        }
    }

    /// Where it came from.
    #[must_use]
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The value for `AWS_ENDPOINT_URL`; `None` for AWS itself, which an SDK finds by its region.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// What it can do.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// A client for it; `None` for AWS itself, which wants signatures ([`Capability::UnsignedCalls`]).
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.endpoint().map(Client::new)
    }

    /// Where an address of a VPC is on this machine, with [`Capability::DataPlane`].
    #[must_use]
    pub fn reach(&self, address: IpAddr) -> IpAddr {
        self.addresses.to_local(address)
    }

    /// The emulator, if it is in this process.
    #[must_use]
    pub const fn emulator(&self) -> Option<&Emulator> {
        match &self.host {
            Host::Process(emulator) => Some(emulator),
            Host::Container(_) | Host::Elsewhere => None,
        }
    }

    /// The container, with [`Capability::Container`].
    #[must_use]
    pub const fn container(&self) -> Option<&Container> {
        match &self.host {
            Host::Container(container) => Some(container),
            Host::Process(_) | Host::Elsewhere => None,
        }
    }

    /// Ends it; as dropping does, without blocking the runtime.
    ///
    /// # Errors
    /// When a container cannot be removed.
    pub async fn stop(self) -> Result<(), DockerError> {
        match self.host {
            Host::Process(emulator) => emulator.stop().await,
            Host::Container(container) => container.remove().await?,
            Host::Elsewhere => {}
        }
        Ok(())
    }
}

/// What `landfall-localstack` can do wherever it is. From a container its listeners are not reached: only its API is published.
fn emulators() -> Capabilities {
    use Capability as Can;
    Capabilities::from([
        Can::UnsignedCalls,
        Can::LocalStackHealth,
        Can::UnknownIsRefused,
        Can::NetworkLoadBalancers,
        Can::Acm,
        Can::Tagging,
        Can::Seed,
        Can::Clock,
        Can::Faults,
        Can::Journal,
    ])
}

/// In moto an unknown action is an HTML page with status 500, a network load balancer has the ARN of an application load balancer, and the same
/// creation again makes a second one.
fn motos() -> Capabilities {
    Capabilities::from([Capability::UnsignedCalls, Capability::Acm, Capability::Tagging])
}

fn localstacks() -> Capabilities {
    motos().with(Capability::LocalStackHealth).with(Capability::UnknownIsRefused)
}

/// On Linux all of 127.0.0.0/8 can be listened on.
fn loopback_addresses() -> Option<AddressMap> {
    if cfg!(target_os = "linux") { "10.20.0.0/16=127.20.0.0/16".parse().ok() } else { None }
}

enum Pull {
    Never,
    IfMissing,
}

/// Whether there are an engine and the image.
async fn present(image: &str, pull: Pull) -> Result<(), StartError> {
    let engine = docker(&["version", "--format", "{{.Server.Version}}"]).await;
    engine.map_err(|error| {
        lacks("Docker", format!("an engine that answers `docker version`; tools/docker.sh starts one. {error}"))
    })?;
    if docker(&["image", "inspect", "--format", "{{.Id}}", image]).await.is_ok() {
        return Ok(());
    }
    let what = format!("the image {image}");
    match pull {
        Pull::Never => Err(lacks(what, "tools/image.sh localstack builds it")),
        Pull::IfMissing => docker(&["pull", "--quiet", image]).await.map(drop).map_err(|error| lacks(what, error.to_string())),
    }
}

/// Starts a container and waits until `path` is answered with 200.
async fn contained(recipe: Recipe<'_>, path: &str) -> Result<(String, Container), StartError> {
    let container = Container::start(&recipe).await?;
    let ended = async |problem: String| StartError::Container {
        image: recipe.image.to_owned(),
        problem,
        log: container.last_words().await,
    };
    // No port is published any more when it has ended by now.
    let endpoint = match container.address(recipe.port).await {
        Ok(address) => format!("http://{address}"),
        Err(error) => return Err(ended(error.to_string()).await),
    };
    let client = Client::new(&endpoint);
    let limit = Instant::now() + PATIENCE;
    loop {
        // Its own failures are no news while it starts.
        if client.own("GET", path, "").await.is_ok_and(|answer| answer.status == 200) {
            return Ok((endpoint, container));
        }
        if container.inspect("{{.State.Running}}").await? != "true" {
            return Err(ended("ended".to_owned()).await);
        }
        if Instant::now() >= limit {
            return Err(ended(format!("did not answer GET {path} within {} s", PATIENCE.as_secs())).await);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// What answers at an endpoint: one of ours, LocalStack, moto, or something of which nothing is known.
async fn found_at(url: &str) -> Result<(Capabilities, AddressMap), StartError> {
    let client = Client::new(url);
    let ask = async |path: &str| {
        let answer = client.own("GET", path, "").await;
        answer.map_err(|error| StartError::Endpoint { url: url.to_owned(), reason: error.to_string() })
    };
    let health = ask(HEALTH).await?;
    if health.status == 200 && health.as_json().get("services").is_some() {
        return Ok(told_by(&health.as_json(), url));
    }
    let moto = ask(MOTO).await?.status == 200;
    let capabilities = if moto { motos() } else { Capabilities::from([Capability::UnsignedCalls]) };
    Ok((capabilities, AddressMap::default()))
}

/// What `/_localstack/health` tells.
fn told_by(health: &serde_json::Value, url: &str) -> (Capabilities, AddressMap) {
    if health.get("edition").and_then(serde_json::Value::as_str) != Some("landfall") {
        return (localstacks(), AddressMap::default());
    }
    let plane = &health["data_plane"];
    // The addresses are this machine's only if the emulator is on it, outside of a container: then the map says which they are.
    let local = ["http://127.", "http://localhost"].iter().any(|prefix| url.starts_with(prefix));
    let map =
        plane["address_map"].as_str().and_then(|map| map.parse::<AddressMap>().ok()).filter(|map| *map != AddressMap::default());
    match map {
        Some(map) if local && plane["listeners"] == true => (emulators().with(Capability::DataPlane), map),
        _ => (emulators(), AddressMap::default()),
    }
}

/// Whether the credentials that the AWS CLI finds are those of the one account that tests may change.
async fn allowed(account: Option<&str>) -> Result<(), StartError> {
    let account =
        account.ok_or_else(|| lacks(ACCOUNT, "set it to the number of an account in which tests may make and delete things"))?;
    let asked = Command::new("aws").args(["sts", "get-caller-identity", "--query", "Account", "--output", "text"]).output().await;
    let output = asked.map_err(|error| lacks("the AWS CLI", format!("it tells whose the credentials are; {error}")))?;
    if !output.status.success() {
        return Err(lacks("credentials of AWS", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if found == account { Ok(()) } else { Err(StartError::AnotherAccount { allowed: account.to_owned(), found }) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        Settings::read(&|_| None).unwrap()
    }

    #[tokio::test]
    async fn what_is_not_there_is_lacked() {
        for (backend, lacked) in [("localstack", "lacks LOCALSTACK_AUTH_TOKEN ("), ("aws", "lacks LANDFALL_TEST_AWS_ACCOUNT (")] {
            let error = Aws::start(&backend.parse().unwrap(), &settings()).await.unwrap_err();
            assert!(matches!(error, StartError::Lacks { .. }) && error.to_string().starts_with(lacked), "{error}");
        }
        let error = Aws::start(&"endpoint:http://127.0.0.1:1".parse().unwrap(), &settings()).await.unwrap_err();
        assert!(matches!(error, StartError::Endpoint { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_endpoint_is_asked_what_it_is() {
        let emulator = Aws::start(&Backend::InProcess, &settings()).await.unwrap();
        let endpoint = Backend::Endpoint { url: emulator.endpoint().unwrap().to_owned() };
        let found = Aws::start(&endpoint, &settings()).await.unwrap();
        assert_eq!(found.capabilities(), emulator.capabilities());
        let address = "10.20.1.2".parse().unwrap();
        assert_eq!(found.reach(address), emulator.reach(address));
    }

    #[test]
    fn health_tells_what_an_endpoint_can_do() {
        let ours = |listeners: bool, map: &str| json!({"edition": "landfall", "data_plane": {"listeners": listeners, "address_map": map}});
        let has = |health: &serde_json::Value, url: &str| told_by(health, url).0.has(Capability::DataPlane);
        let map = "10.20.0.0/16=127.20.0.0/16";
        assert!(has(&ours(true, map), "http://127.0.0.1:4566"));
        assert!(!has(&ours(true, map), "http://192.0.2.1:4566"), "another machine");
        assert!(!has(&ours(true, ""), "http://127.0.0.1:4566"), "addresses that nobody can tell to be here");
        assert!(!has(&ours(false, map), "http://127.0.0.1:4566"), "no listeners");
        let theirs = told_by(&json!({"edition": "pro", "services": {"elbv2": "available"}}), "http://127.0.0.1:4566").0;
        assert_eq!(theirs.lacking(&[Capability::UnsignedCalls, Capability::Faults]), Some(Capability::Faults));
    }
}
