//! Reads all of ours anew every few minutes and runs every Service: whatever somebody else changed in AWS is put right.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use tokio_util::sync::CancellationToken;

use super::model::ServiceKey;
use super::ownership::Past;
use super::reconcile::Reconciler;
use crate::aws::AwsError;
use crate::clock;
use crate::error::Classified;

/// After a sweep that failed.
const RETRY: Duration = Duration::from_secs(30);

/// Sweeps every `interval` until `shutdown`.
pub async fn run(reconciler: Arc<Reconciler>, interval: Duration, shutdown: CancellationToken) {
    let mut pause = interval;
    while shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let started = clock::now();
        pause = match sweep(&reconciler).await {
            Ok(()) => interval,
            Err(error) => {
                tracing::warn!(%error, code = error.code(), class = %error.class(), "sweep failed");
                RETRY.min(interval)
            }
        };
        reconciler.metrics.swept(started.elapsed());
    }
}

/// One sweep.
async fn sweep(reconciler: &Reconciler) -> Result<(), AwsError> {
    reconciler.gatherer.forget_facts();
    let swept = reconciler.observer.sweep(&reconciler.gatherer.cluster.instances()).await;
    // Even a sweep that got half-way has news, and what was refused some time ago is tried again.
    report_orphans(reconciler);
    reconciler.enqueue_all();
    swept
}

/// What bears our tags but belongs to no Service (its finalizer was stripped, say) or to one that flags do not claim any more
/// is reported, never deleted: two clusters that were given the same name would delete each other's load balancers.
fn report_orphans(reconciler: &Reconciler) {
    let owners = reconciler.observer.inventory().owners();
    let claim = &reconciler.claim;
    let is_orphan = |service: &Service| !claim.covers(service) && claim.past(service) == Past::NotClaimed;
    let orphaned = |key: &ServiceKey| reconciler.gatherer.cluster.service(key).is_none_or(|service| is_orphan(&service));
    let orphans: Vec<String> = owners.into_iter().filter(orphaned).map(|key| key.to_string()).collect();
    reconciler.metrics.set_orphans(orphans.len());
    if !orphans.is_empty() {
        tracing::warn!(
            services = orphans.join(", "),
            "AWS holds load balancers, target groups or security groups of Services that do not exist or are not claimed"
        );
    }
}
