//! `landfall controller`: connects, watches, waits for its turn, and works until it is told to stop or loses its turn.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Failure;
use crate::admin::{Admin, Health};
use crate::aws::{Aws, AwsSettings, Meter};
use crate::config::ControllerSettings;
use crate::kubernetes::elect::{self, Leadership};
use crate::kubernetes::events::Recorder;
use crate::kubernetes::queue::Queue;
use crate::kubernetes::watch::{self, Selector, Watch};
use crate::kubernetes::{client, watch::watch};
use crate::nlb::gather::{Cluster, Gatherer, Slices};
use crate::nlb::metrics::Metrics;
use crate::nlb::model::Subject;
use crate::nlb::observe::Observer;
use crate::nlb::ownership::Claim;
use crate::nlb::pending::Pending;
use crate::nlb::reconcile::{Memories, Reconciler};
use crate::nlb::{sweep, triggers};
use crate::telemetry;

/// Runs at once. Not the limit of the load on AWS: that is the token buckets of `aws/throttle.rs`.
const WORKERS: usize = 64;

/// A burst of changes is one run, and a Service is not kept waiting for it.
const DEBOUNCE: Duration = Duration::from_millis(40);

/// A watch without a sign of life for so long is dead: `/livez` fails.
const WATCH_LIMIT: Duration = Duration::from_secs(180);

/// Time for runs in flight to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT (success) or until the lease is lost (failure).
///
/// # Errors
/// Something is missing that no waiting brings: a client, a region, a VPC, the admin address.
pub(super) async fn run(settings: ControllerSettings) -> Result<ExitCode, Failure> {
    let shared = &settings.shared;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), cluster = shared.cluster_name, identity = settings.identity, "starting");
    let shutdown = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let clients = client::connect(shared.kubeconfig.as_deref()).await?;
    let (measured, mut registry) = telemetry::Metrics::new();
    let metrics = Metrics::new(measured.clone());
    let health = Health::default();

    // One watch per kind; the stores fill while we wait for our turn, so that taking over is quick.
    let beats = ["Service", "EndpointSlice", "Node"].map(|kind| health.heartbeat(kind, WATCH_LIMIT));
    let [service_beat, slice_beat, node_beat] = beats.clone();
    let work = &clients.work;
    let services: Watch<Service> =
        watch(super::namespaced(work, shared.watch_namespace.as_deref()), Selector::all(), watch::trim_metadata, service_beat);
    let endpoint_slices: Watch<EndpointSlice> =
        watch(super::namespaced(work, shared.watch_namespace.as_deref()), Selector::all(), watch::trim_metadata, slice_beat);
    let nodes: Watch<Node> = watch(Api::all(work.clone()), Selector::all(), watch::trim_node, node_beat);
    let cluster = Cluster {
        services: services.store.clone(),
        endpoint_slices: Slices::new(endpoint_slices.store.clone()),
        nodes: nodes.store.clone(),
    };
    let synced = [services.synced(), endpoint_slices.synced(), nodes.synced()];

    let stop_electing = CancellationToken::new();
    let (leadership, election) = match settings.election.clone() {
        Some(lease) => {
            let (leadership, task) = elect::start(clients.lease.clone(), lease, stop_electing.clone());
            (leadership, Some(task))
        }
        None => (Leadership::unopposed(), None),
    };

    let aws_settings = AwsSettings {
        region: shared.aws_region.clone(),
        endpoint_url: shared.aws_endpoint_url.clone(),
        ..AwsSettings::default()
    };
    let gate = leadership.clone();
    let aws =
        Aws::connect(&aws_settings, Meter::register(&mut registry)).await?.with_write_gate(Arc::new(move || gate.is_valid()));

    telemetry::sample_watches(&mut registry, beats.to_vec());
    let leading = leadership.clone();
    telemetry::sample_leader(&mut registry, move || leading.is_valid());
    let queue: Queue<Subject> = Queue::with_debounce(WORKERS, DEBOUNCE);
    let handle = queue.handle();
    telemetry::sample_queue(&mut registry, move || handle.depth());
    let orphaned = metrics.clone();
    telemetry::sample(
        &mut registry,
        "orphans",
        "Services that own something in AWS but do not exist or are not claimed any more",
        None,
        move || vec![(Vec::new(), f64::from(u32::try_from(orphaned.orphans()).unwrap_or(u32::MAX)))],
    );

    let ready = health.readiness("stores");
    let tracker = TaskTracker::new();
    let vpc = super::vpc(&aws, shared).await?;
    let observer = Observer::new(aws.clone(), vpc.clone(), shared.cluster_name.clone());
    let counted = observer.clone();
    telemetry::sample_owned(&mut registry, move || counted.inventory().sizes().0);
    let (recorder, _) = Recorder::start(clients.work.clone(), &settings.identity);
    let reconciler = Arc::new(Reconciler {
        claim: Claim { classes: shared.load_balancer_classes.clone(), classless: shared.claim_classless },
        gatherer: Gatherer::new(cluster, aws.clone(), vpc, Arc::new(shared.policy())),
        pending: Pending::new(aws.clone(), observer.clone()),
        observer,
        aws,
        client: clients.work.clone(),
        recorder,
        queue: queue.handle(),
        publish: settings.publish_hostname,
        cluster_name: shared.cluster_name.clone(),
        metrics,
        memory: Memories::default(),
    });
    if let Some(address) = settings.admin_address {
        let admin = Admin { health: health.clone(), registry: Arc::new(registry), config: Arc::new(settings.describe()) };
        let bound = admin.serve(address, shutdown.clone()).await?;
        tracing::info!(address = %bound, "serving /livez /readyz /metrics");
    }

    let changes =
        triggers::Changes { services: services.changes, endpoint_slices: endpoint_slices.changes, nodes: nodes.changes };
    tracker.spawn(triggers::run(reconciler.clone(), changes, shutdown.clone()));

    let interval = settings.sweep_interval;
    let leader = leadership.clone();
    let working = tracker.spawn({
        let (reconciler, shutdown) = (reconciler.clone(), shutdown.clone());
        async move {
            if !matches!(shutdown.run_until_cancelled(watch::ready(synced)).await, Some(Ok(()))) {
                return;
            }
            ready.set(true);
            tracing::info!("watches are in sync");
            if shutdown.run_until_cancelled(leader.acquired()).await != Some(true) {
                return;
            }
            work_as_leader(&reconciler, queue, interval, &shutdown).await;
        }
    });

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
        _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is in flight"),
        // Another replica may be working already: not one more write, not even of what is in flight.
        () = leadership.lost() => {
            let cause = match election {
                Some(task) => task.await.ok().and_then(Result::err).map_or_else(|| "the election ended".to_owned(), |lost| lost.to_string()),
                None => "no election".to_owned(),
            };
            return Err(Failure::LeadershipLost(cause));
        }
    }
    shutdown.cancel();
    if tokio::time::timeout(GRACE, working).await.is_err() {
        tracing::warn!(?GRACE, "giving up on what is in flight; the next leader finishes it");
    }
    stop_electing.cancel();
    if let Some(task) = election
        && let Ok(Err(lost)) = task.await.map_err(|error| tracing::error!(%error, "election ended abnormally"))
    {
        tracing::warn!(%lost, "lease lost while stopping");
    }
    Ok(ExitCode::SUCCESS)
}

/// The work itself: only here is anything written.
async fn work_as_leader(
    reconciler: &Arc<Reconciler>,
    queue: Queue<Subject>,
    sweep_interval: Duration,
    shutdown: &CancellationToken,
) {
    // Listed first: what AWS holds tells of Services that are ours no more. If AWS does not answer the runs list again.
    if let Err(error) = reconciler.observer.ensure_listed().await {
        tracing::warn!(%error, "AWS could not be listed yet");
    }
    reconciler.enqueue_all();
    let wake = reconciler.queue.clone();
    let work = reconciler.clone();
    tokio::join!(
        queue.run(shutdown.clone(), move |subject| work.clone().run(subject)),
        reconciler.pending.clone().run(shutdown.clone(), move |subject| wake.enqueue_after(subject, Duration::ZERO)),
        sweep::run(reconciler.clone(), sweep_interval, shutdown.clone()),
    );
}
