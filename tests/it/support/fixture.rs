//! The cluster that all tests of one run share, started by the first test that needs it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use landfall_localstack::DataPlane;
use landfall_test_cluster::{Cluster, Images, Options, Program};
use libtest_mimic::Trial;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use super::world::World;

static RUNTIME: std::sync::LazyLock<Runtime> =
    std::sync::LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"));
static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
/// Read by each test, written by those that need the cluster to themselves.
static ALONE: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());
static NEXT_WORLD: AtomicU16 = AtomicU16::new(0);
static NEXT_CASE: AtomicU16 = AtomicU16::new(FIRST_CASE);

/// Cases are numbered apart from tests: only tests share the addresses of load balancers out among them.
const FIRST_CASE: u16 = 1000;

/// The shared cluster.
pub struct Fixture;

impl Fixture {
    /// The cluster, started when it is asked for first.
    pub async fn cluster() -> &'static Cluster {
        CLUSTER
            .get_or_init(async || {
                let binaries =
                    PathBuf::from(option("LANDFALL_KUBERNETES").expect("LANDFALL_KUBERNETES: set by tools/integration.sh"));
                let workdir = PathBuf::from(option("LANDFALL_WORKDIR").unwrap_or_else(|| "target/it".to_owned()));
                let images = Images::default();
                images.insert("landfall", Program::new(super::controller::binary()));
                images.insert("landfall-backend", Program::new(backend()));
                let options = Options {
                    binaries,
                    workdir,
                    cluster_name: "it".to_owned(),
                    dns: "10.20.0.2:53".parse().expect("an address"),
                    images,
                    progress: Box::new(|_| {}),
                    audit: true,
                };
                Cluster::start(options).await.expect("the cluster starts")
            })
            .await
    }
}

/// The backend program for pods.
fn backend() -> PathBuf {
    option("LANDFALL_BACKEND").map_or_else(|| sibling("landfall-backend"), PathBuf::from)
}

/// A program that cargo put into the same target folder.
pub fn sibling(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program's path");
    own.ancestors().nth(2).expect("target/<profile>/deps/it").join(name)
}

/// Reads the environment: only tests may, and only here.
#[allow(clippy::disallowed_methods)]
pub fn option(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// One TLS provider for the process.
pub fn install_crypto_provider() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first provider");
}

/// Runs something on the runtime that the cluster lives on.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// A world for one of the many cases of a test: its load balancers carry no traffic, so there may be any number of them.
pub async fn case(name: &str) -> World {
    World::create_with(name, NEXT_CASE.fetch_add(1, Ordering::Relaxed), DataPlane::Off).await
}

type TestFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a test in a world of its own, whose Services do not outlive it: kube-proxy writes all of the cluster's at once, and what
/// it may write at once is limited in a namespace without privileges (net.core.wmem_max).
async fn in_a_world(name: &str, index: u16, test: impl FnOnce(World) -> TestFuture) {
    let world = World::create(name, index).await;
    let services = world.services();
    test(world).await;
    for service in services.list(&ListParams::default()).await.expect("Services") {
        let name = service.metadata.name.unwrap_or_default();
        // Its controller is gone, and with it whoever would remove the finalizer.
        let release = serde_json::json!({"metadata": {"finalizers": null}});
        let _ = services.patch(&name, &PatchParams::default(), &Patch::Merge(release)).await;
        let _ = services.delete(&name, &DeleteParams::default()).await;
    }
}

/// A test that gets a world of its own.
pub fn trial(name: &str, test: impl FnOnce(World) -> TestFuture + Send + 'static) -> Trial {
    let own_name = name.to_owned();
    Trial::test(name, move || {
        let index = NEXT_WORLD.fetch_add(1, Ordering::Relaxed);
        RUNTIME.block_on(async move {
            let _beside_others = ALONE.read().await;
            in_a_world(&own_name, index, test).await;
        });
        Ok(())
    })
}

/// A test that changes what all tests share, such as nodes: no other runs meanwhile.
pub fn trial_alone(name: &str, test: impl FnOnce(World) -> TestFuture + Send + 'static) -> Trial {
    let own_name = name.to_owned();
    Trial::test(name, move || {
        let index = NEXT_WORLD.fetch_add(1, Ordering::Relaxed);
        RUNTIME.block_on(async move {
            let _alone = ALONE.write().await;
            in_a_world(&own_name, index, test).await;
        });
        Ok(())
    })
}
