//! Which change of which object runs which Service again. What cannot matter runs nothing.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio_util::sync::CancellationToken;

use super::gather::service_of;
use super::model::{ServiceKey, Subject};
use super::reconcile::Reconciler;
use super::{build, report};
use crate::kubernetes::watch::Change;

/// Changes as they come, of the three kinds.
pub struct Changes {
    /// Of Services.
    pub services: futures::stream::BoxStream<'static, Change<Service>>,
    /// Of endpoint slices.
    pub endpoint_slices: futures::stream::BoxStream<'static, Change<EndpointSlice>>,
    /// Of nodes.
    pub nodes: futures::stream::BoxStream<'static, Change<Node>>,
}

/// Turns changes into runs until `shutdown`. The stores are filled by this: it must go on even on a standby replica.
pub async fn run(reconciler: Arc<Reconciler>, changes: Changes, shutdown: CancellationToken) {
    let Changes { mut services, mut endpoint_slices, mut nodes } = changes;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(change) = services.next() => service(&reconciler, &change),
            Some(change) = endpoint_slices.next() => endpoints(&reconciler, &change),
            Some(change) = nodes.next() => node(&reconciler, &change),
            else => return,
        }
    }
}

fn service(reconciler: &Reconciler, change: &Change<Service>) {
    let either = change.after.as_ref().or(change.before.as_ref());
    let Some(key) = either.and_then(|service| ServiceKey::of(service)) else { return };
    let ours = [&change.before, &change.after].into_iter().flatten().any(|service| reconciler.key_if_ours(service).is_some());
    let matters = match (&change.before, &change.after) {
        (Some(before), Some(after)) => differs(before, after),
        _ => true,
    };
    if ours && matters {
        reconciler.queue.enqueue(Subject::Service(key));
    }
}

/// Everything that `build` reads, and what we wrote ourselves: a status that somebody cleared is written again.
fn differs(before: &Service, after: &Service) -> bool {
    before.metadata.uid != after.metadata.uid
        || before.metadata.deletion_timestamp != after.metadata.deletion_timestamp
        || before.metadata.finalizers != after.metadata.finalizers
        || before.spec != after.spec
        || build::relevant_annotations(before) != build::relevant_annotations(after)
        || report::published_host_name(before) != report::published_host_name(after)
}

fn endpoints(reconciler: &Reconciler, change: &Change<EndpointSlice>) {
    // First, so that the run finds what it is for.
    reconciler.gatherer.cluster.endpoint_slices.follow(change);
    for slice in [&change.before, &change.after].into_iter().flatten() {
        let Some(key) = service_of(slice) else { continue };
        let service = reconciler.gatherer.cluster.service(&key);
        if service.is_some_and(|service| reconciler.claim.covers(&service)) {
            reconciler.enqueue_targets(key);
        }
    }
}

fn node(reconciler: &Reconciler, change: &Change<Node>) {
    let traits = |node: &Option<Arc<Node>>| node.as_ref().map(|node| build::traits(node));
    if traits(&change.before) != traits(&change.after) {
        reconciler.enqueue_all();
    }
}
