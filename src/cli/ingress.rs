//! `landfall ingress`: watches, compiles, serves, until it is told to stop.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Api;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use super::{Failure, namespaced};
use crate::admin::{Admin, Health};
use crate::config::ingress::{IngressSettings, Publish};
use crate::ingress::certificate;
use crate::ingress::feed::{self, Sources};
use crate::ingress::leader::{self, Front, Leader};
use crate::ingress::metrics::{IngressMetrics, TableMetrics};
use crate::ingress::published::Published;
use crate::ingress::status::Address;
use crate::kubernetes::client;
use crate::kubernetes::events::Recorder;
use crate::kubernetes::watch::{self, Selector, watch};
use crate::proxy::{self, Drain, Proxy};
use crate::routes::compile::Compiler;
use crate::telemetry;

/// A watch without a sign of life for so long is dead: `/livez` fails.
const WATCH_LIMIT: Duration = Duration::from_secs(180);

/// For the lease to be given back.
const GRACE: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT, and until what is in flight then has ended.
///
/// # Errors
/// Something is missing that no waiting brings: a client, an address to listen on.
pub(super) async fn run(settings: IngressSettings) -> Result<ExitCode, Failure> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity = settings.identity, "starting");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let clients = client::connect(settings.routes.kubeconfig.as_deref()).await?;
    let (shutdown, stop_leading) = (CancellationToken::new(), CancellationToken::new());
    // Without a prefix: dashboards know the data plane's numbers by ingress-nginx's names.
    let mut registry = Registry::default();
    let health = Health::default();
    let ready = health.readiness("table");

    let namespace = settings.routes.watch_namespace.as_deref();
    let mut beats = Vec::new();
    let mut beat = |kind: &str| {
        let beat = health.heartbeat(kind, WATCH_LIMIT);
        beats.push(beat.clone());
        beat
    };
    let client = &clients.work;
    let sources = Sources {
        ingresses: watch(namespaced(client, namespace), Selector::all(), watch::trim_metadata, beat("Ingress")),
        classes: watch(Api::all(client.clone()), Selector::all(), watch::trim_metadata, beat("IngressClass")),
        services: watch(namespaced(client, namespace), Selector::all(), watch::trim_metadata, beat("Service")),
        endpoint_slices: watch(namespaced(client, namespace), Selector::all(), watch::trim_metadata, beat("EndpointSlice")),
        secrets: watch(namespaced(client, namespace), Selector::fields(feed::SECRETS), feed::trim_secret, beat("Secret")),
        config_map: settings.routes.configmap.as_ref().map(|object| {
            let api = Api::namespaced(client.clone(), &object.namespace);
            watch(api, Selector::name(&object.name), watch::trim_metadata, beat("ConfigMap"))
        }),
    };
    let front = settings.publish.as_ref().map(|publish| match publish {
        Publish::Addresses(addresses) => Front::Fixed(addresses.iter().map(|text| Address::parse(text)).collect()),
        Publish::Service(object) => {
            let api = Api::namespaced(client.clone(), &object.namespace);
            Front::Service(watch(api, Selector::name(&object.name), watch::trim_metadata, beat("publish Service")))
        }
    });
    let addresses = front.map(|front| {
        let (addresses, watched) = channel::channel(BTreeSet::new());
        tokio::spawn(leader::follow(front, addresses, shutdown.clone()));
        watched
    });

    let mut compiler = Compiler::new(settings.routes.settings(certificate::self_signed()?));
    let first = Published::first(&mut compiler);
    let table = Arc::new(ArcSwap::new(first.table.clone()));
    let (published, mut seen) = channel::channel(first);
    let stores = sources.stores();
    let (leads, leading) = channel::channel(false);
    let own = registry.sub_registry_with_prefix("landfall");
    let leader = leading.clone();
    telemetry::sample_leader(own, move || *leader.borrow());
    telemetry::sample_watches(own, beats);
    let tables = TableMetrics::register(own);
    let shown = IngressMetrics {
        published: seen.clone(),
        tables: tables.clone(),
        leading,
        lease: settings.election.as_ref().map(|lease| lease.name.clone()),
        constant: settings.metrics_labels(),
    };
    registry.register_collector(Box::new(shown));
    let feeding = tokio::spawn(feed::run(sources, compiler, table.clone(), published, tables, shutdown.clone()));

    // Health is answered from the beginning, but nobody is served from an empty table.
    let stats = proxy::metrics::Workers::default();
    proxy::metrics::register(&mut registry, stats.clone(), settings.metrics_labels());
    if let Some(address) = settings.admin_address {
        let admin = Admin { health: health.clone(), registry: Arc::new(registry), config: Arc::new(settings.describe()) };
        let bound = admin.serve(address, shutdown.clone()).await?;
        tracing::info!(address = %bound, "serving /healthz /livez /readyz /metrics");
    }
    tokio::select! {
        first = seen.changed() => first.map_err(|_| Failure::Feed)?,
        _ = terminate.recv() => return Ok(ended_before_serving("SIGTERM")),
        _ = interrupt.recv() => return Ok(ended_before_serving("SIGINT")),
    }
    let serving = Proxy::start(&settings.proxy(), &table, Some(Box::new(std::io::stdout())))?;
    stats.set(serving.stats());
    ready.set(true);
    tracing::info!(http = ?serving.http(), https = ?serving.https(), workers = settings.proxy().workers, "serving");

    let (recorder, _) = Recorder::start(clients.work.clone(), &settings.identity);
    let leader = Leader {
        client: clients.work.clone(),
        lease_client: clients.lease.clone(),
        lease: settings.election.clone(),
        recorder,
        stores,
        published: seen,
        addresses,
        leads,
    };
    let leading = tokio::spawn(leader.run(stop_leading.clone()));

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
    }
    // Whoever only writes goes at once, so that another replica can; whoever sends traffic is served on.
    health.ends();
    stop_leading.cancel();
    if tokio::time::timeout(GRACE, leading).await.is_err() {
        tracing::warn!("the lease was not given back in time; it runs out by itself");
    }
    let drain = Drain { serve: settings.shutdown_grace_period, limit: settings.worker_shutdown_timeout };
    tokio::select! {
        drained = serving.drain(drain) => tracing::info!(cut = drained.cut, "drained"),
        _ = terminate.recv() => tracing::warn!("told to stop once more: closing what is open"),
        _ = interrupt.recv() => tracing::warn!("told to stop once more: closing what is open"),
    }
    shutdown.cancel();
    let _ = feeding.await;
    Ok(ExitCode::SUCCESS)
}

fn ended_before_serving(signal: &str) -> ExitCode {
    tracing::info!("{signal} before the first lists were complete: nothing was served yet");
    ExitCode::SUCCESS
}
