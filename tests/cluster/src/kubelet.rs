//! The process kubelet: runs the Pods bound to one node as local processes and reports their status, as a kubelet does.
//!
//! One watch for each node feeds one task for each Pod ([`pod`]), which has one task for each container ([`container`]); [`probe`],
//! [`env`], [`volumes`] serve these, [`status`] turns what they see into a PodStatus. All of it runs on the node's thread, inside the
//! node's network namespace: probes come from the node, and a node that is cut off cannot report, either.
//!
//! Honoured: restart policies with back-off, init containers in order, readiness, liveness and startup probes (HTTP and TCP),
//! readiness gates, `preStop` (sleep, HTTP), grace periods, hostNetwork, environment (literals, fields, ConfigMaps, Secrets), volumes
//! that [`volumes`] lists. Ignored, with a line in the pod's `kubelet.log`: what needs a container runtime, such as exec hooks.

mod container;
mod env;
mod pod;
mod probe;
mod status;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::images::Images;
use crate::nodes::Node;
use pod::Observed;

/// What a kubelet is started with.
pub(crate) struct Settings {
    pub(crate) node: Node,
    pub(crate) images: Images,
    pub(crate) kubeconfig: PathBuf,
    /// Folder of pods' output and volumes.
    pub(crate) pods: PathBuf,
    /// Service `default/kubernetes`, which every container's environment names.
    pub(crate) service: SocketAddr,
}

/// What all pods of a node share.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) client: kube::Client,
    pub(crate) addresses: Addresses,
}

/// Runs the node's kubelet until `shutdown`; then every container is killed.
pub(crate) async fn run(settings: Settings, shutdown: CancellationToken) {
    let node = settings.node.name.clone();
    // Made here, so that its connections are the node's.
    let client = match crate::client(&settings.kubeconfig).await {
        Ok(client) => client,
        Err(problem) => return tracing::error!(node, %problem, "the kubelet cannot start"),
    };
    let addresses = Addresses::new(settings.node.pod_cidr.hosts());
    let context = Arc::new(Context { settings, client, addresses });
    shutdown.run_until_cancelled(follow_pods(context)).await;
}

/// A Pod's task and the way to tell it news.
struct Worker {
    news: watch::Sender<Observed>,
    _task: AbortOnDropHandle<()>,
}

async fn follow_pods(context: Arc<Context>) {
    let bound = format!("spec.nodeName={}", context.settings.node.name);
    let pods: Api<Pod> = Api::all(context.client.clone());
    let events = watcher(pods, watcher::Config::default().fields(&bound)).default_backoff();
    pin_mut!(events);
    let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.extend(pod.metadata.uid.clone());
                observe(&context, &mut workers, pod);
            }
            // Those missing from a new listing went while the watch was broken.
            Ok(watcher::Event::InitDone) => {
                workers.iter().filter(|(uid, _)| !listed.contains(*uid)).for_each(|(_, worker)| worker.forget());
            }
            Ok(watcher::Event::Apply(pod)) => observe(&context, &mut workers, pod),
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(worker) = pod.metadata.uid.and_then(|uid| workers.get(&uid)) {
                    worker.forget();
                }
            }
            Err(problem) => {
                tracing::debug!(node = context.settings.node.name, %problem, "the watch of pods is broken and tried again");
            }
        }
        // A task ends by itself, once its object is gone and everything is cleaned up.
        workers.retain(|_, worker| !worker.news.is_closed());
    }
}

fn observe(context: &Arc<Context>, workers: &mut BTreeMap<String, Worker>, pod: Pod) {
    let Some(uid) = pod.metadata.uid.clone() else { return };
    let pod = Arc::new(pod);
    if let Some(worker) = workers.get(&uid) {
        worker.news.send_modify(|observed| observed.pod = pod);
        return;
    }
    let (news, updates) = watch::channel(Observed { pod, gone: false });
    let task = AbortOnDropHandle::new(tokio::spawn(pod::run(Arc::clone(context), updates)));
    workers.insert(uid, Worker { news, _task: task });
}

impl Worker {
    fn forget(&self) {
        self.news.send_modify(|observed| observed.gone = true);
    }
}

/// The node's free pod addresses. They are given out in turn, so that an address rests before somebody else gets it.
pub(crate) struct Addresses(Mutex<Vec<Ipv4Addr>>);

impl Addresses {
    fn new(range: impl Iterator<Item = Ipv4Addr>) -> Self {
        let mut free: Vec<_> = range.collect();
        free.reverse();
        Self(Mutex::new(free))
    }

    /// The address that has been free longest.
    pub(crate) fn take(&self) -> Option<Ipv4Addr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Gives an address back.
    pub(crate) fn give_back(&self, address: Ipv4Addr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(0, address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_rest_before_they_are_used_again() {
        let range = || (130..=132).map(|last| Ipv4Addr::new(10, 20, 1, last));
        let addresses = Addresses::new(range());
        let first = addresses.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 20, 1, 130));
        addresses.give_back(first);
        let rest: Vec<_> = std::iter::from_fn(|| addresses.take()).collect();
        assert_eq!(rest, [range().nth(1).unwrap(), range().nth(2).unwrap(), first]);
    }
}
