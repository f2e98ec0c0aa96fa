//! One pod from its binding to its removal: address, volumes, containers, status, deletion. Uses all its neighbours;
//! [`super::follow_pods`] starts it and tells it news.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::container::{Place, Restart, Stop, Task};
use super::status::{self, Observation, Slot, View};
use super::volumes::{self, Volumes};
use super::{Context, env};
use crate::network;

/// The pause before an API call or a preparation is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A pod as the watch shows it.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) pod: Arc<Pod>,
    /// The object does not exist any more.
    pub(crate) gone: bool,
}

/// Runs the pod until its object is gone and everything of it is removed.
pub(crate) async fn run(context: Arc<Context>, updates: watch::Receiver<Observed>) {
    let pod = Arc::clone(&updates.borrow().pod);
    let metadata = &pod.metadata;
    let name = |value: &Option<String>| value.clone().unwrap_or_default();
    let folder = context.settings.pods.join(format!("{}_{}", name(&metadata.namespace), name(&metadata.name)));
    let log = match fs::create_dir_all(&folder)
        .and_then(|()| File::options().create(true).append(true).open(folder.join("kubelet.log")))
    {
        Ok(file) => Log(Arc::new(file)),
        Err(problem) => return tracing::error!(folder = %folder.display(), %problem, "the pod's folder cannot be used"),
    };
    let spec = pod.spec.clone().unwrap_or_default();
    let slot = |init| move |container: &_| Slot { container: Clone::clone(container), init, observation: Observation::default() };
    let init = spec.init_containers.iter().flatten().map(slot(true));
    let slots = init.chain(spec.containers.iter().map(slot(false))).collect();
    let api = Api::namespaced(context.client.clone(), metadata.namespace.as_deref().unwrap_or("default"));
    let mut worker = Worker {
        context,
        api,
        updates,
        spec,
        folder,
        log,
        slots,
        since: Timestamp::now(),
        address: None,
        sent: None,
        obstacle: None,
        ended: false,
    };
    // After a pod has finished only its deletion is left to wait for.
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if !matches!(phase, Some("Succeeded" | "Failed")) {
        worker.live().await;
    }
    worker.remove().await;
}

struct Worker {
    context: Arc<Context>,
    api: Api<Pod>,
    updates: watch::Receiver<Observed>,
    spec: PodSpec,
    folder: PathBuf,
    log: Log,
    slots: Vec<Slot>,
    since: Timestamp,
    /// The pod's address; the node's for hostNetwork.
    address: Option<Ipv4Addr>,
    /// The status as last written.
    sent: Option<PodStatus>,
    /// Why the containers cannot be started yet.
    obstacle: Option<String>,
    ended: bool,
}

impl Worker {
    /// Everything up to the last container's end.
    async fn live(&mut self) {
        self.publish_until_done().await;
        if let Some(place) = self.prepare().await {
            self.run_containers(place).await;
        }
        self.ended = true;
        self.publish_until_done().await;
        self.detach().await;
    }

    /// Address and volumes, tried until they are there. `None` if the pod is deleted before.
    async fn prepare(&mut self) -> Option<Place> {
        loop {
            match self.try_prepare().await {
                Ok(place) => return Some(place),
                Err(problem) => {
                    self.log.line(&format!("waiting: {problem}"));
                    self.obstacle = Some(problem);
                }
            }
            self.publish_until_done().await;
            tokio::select! {
                () = sleep(RETRY) => {}
                () = deletion(&mut self.updates) => return None,
            }
        }
    }

    async fn try_prepare(&mut self) -> Result<Place, String> {
        let node = &self.context.settings.node;
        let network = if self.spec.host_network == Some(true) {
            self.address = Some(node.address);
            network::namespace_file(&node.name)
        } else if let Some(address) = self.address {
            network::pod_namespace_file(address)
        } else {
            let address = self.context.addresses.take().ok_or("the node has no free pod address")?;
            let owner = node.clone();
            let made = tokio::task::spawn_blocking(move || network::add_pod(&owner, address)).await;
            self.address = Some(address);
            match made.map_err(|problem| problem.to_string())?.map_err(|problem| problem.to_string()) {
                Ok(file) => file,
                Err(problem) => {
                    self.detach().await;
                    return Err(problem);
                }
            }
        };
        let address = self.address.ok_or("the pod has no address")?;
        let volumes = self.make_volumes(address).await.map_err(|problem| problem.to_string())?;
        self.obstacle = None;
        self.log.line(&format!("address {address} on {}", node.name));
        let home = self.folder.join("home");
        fs::create_dir_all(&home).map_err(|problem| format!("{}: {problem}", home.display()))?;
        Ok(Place { network, address, volumes, home, output: self.folder.clone() })
    }

    async fn make_volumes(&self, address: Ipv4Addr) -> Result<Volumes, volumes::VolumeError> {
        let pod = Arc::clone(&self.updates.borrow().pod);
        let (pod_ip, host_ip) = (address.to_string(), self.context.settings.node.address.to_string());
        let facts = env::Facts { pod: &pod, pod_ip: &pod_ip, host_ip: &host_ip, home: "" };
        // By UID: a pod of the same name (of a StatefulSet) must not find the old one's files.
        let folder = self.folder.join("volumes").join(pod.metadata.uid.as_deref().unwrap_or_default());
        volumes::make(&self.context, &facts, &folder, &self.log).await
    }

    /// Starts init containers one after the other, then the others together, and stays until none runs or will run.
    async fn run_containers(&mut self, place: Place) {
        let (reports, mut news) = mpsc::unbounded_channel();
        let (stop, _) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let mut next = 0;
        let mut refresh = place.volumes.refresh_after.map(|after| Instant::now() + after);
        loop {
            self.order_stop(&stop);
            if tasks.is_empty() {
                while let Ok((index, observation)) = news.try_recv() {
                    self.take_over(index, observation);
                }
                let failed = self
                    .slots
                    .get(..next)
                    .unwrap_or_default()
                    .iter()
                    .any(|slot| slot.init && slot.observation.exit_code() != Some(0));
                if next == self.slots.len() || failed || stop.borrow().is_some() {
                    return;
                }
                // One init container, or all that are left.
                for (index, slot) in self.slots.iter().enumerate().skip(next) {
                    tasks.spawn(self.task(index, slot, &place, &reports, &stop).run());
                    next = index + 1;
                    if slot.init {
                        break;
                    }
                }
            }
            let published = self.publish().await;
            tokio::select! {
                Some((index, observation)) = news.recv() => {
                    self.take_over(index, observation);
                    while let Ok((index, observation)) = news.try_recv() {
                        self.take_over(index, observation);
                    }
                }
                Some(_) = tasks.join_next() => {}
                Ok(()) = self.updates.changed() => {}
                () = sleep(RETRY), if !published => {}
                () = sleep_until(refresh.unwrap_or_else(Instant::now)), if refresh.is_some() => {
                    refresh = Some(Instant::now() + self.refresh(&place).await);
                }
            }
        }
    }

    fn task(
        &self,
        index: usize,
        slot: &Slot,
        place: &Place,
        reports: &mpsc::UnboundedSender<(usize, Observation)>,
        stop: &watch::Sender<Option<Stop>>,
    ) -> Task<impl Fn(Observation) + Send + use<>> {
        let restart = match self.spec.restart_policy.as_deref() {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            _ if slot.init => Restart::OnFailure,
            _ => Restart::Always,
        };
        let reports = reports.clone();
        Task {
            context: Arc::clone(&self.context),
            pod: Arc::clone(&self.updates.borrow().pod),
            container: slot.container.clone(),
            place: place.clone(),
            restart,
            log: self.log.clone(),
            // Nobody listens only when the pod's task itself is gone.
            report: move |observation| drop(reports.send((index, observation))),
            stop: stop.subscribe(),
        }
    }

    fn take_over(&mut self, index: usize, observation: Observation) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.observation = observation;
        }
    }

    /// Passes a deletion on to the containers. The grace period counts from when the kubelet learns of it; a second deletion may
    /// shorten it.
    fn order_stop(&mut self, stop: &watch::Sender<Option<Stop>>) {
        let observed = self.updates.borrow_and_update().clone();
        let now = Instant::now();
        let order = if observed.gone {
            Stop { deadline: now, forced: true }
        } else if observed.pod.metadata.deletion_timestamp.is_some() {
            let seconds = observed.pod.metadata.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            // A deletion by force shows for a moment with a grace period of zero before the object is gone.
            Stop { deadline: now + Duration::from_secs(seconds.unwrap_or(30)), forced: seconds == Some(0) }
        } else {
            return;
        };
        stop.send_if_modified(|current| match current {
            Some(known) if known.deadline <= order.deadline && known.forced >= order.forced => false,
            known => {
                if known.is_none() {
                    self.log.line(&format!("deleted; grace period {} s", (order.deadline - now).as_secs()));
                }
                *known = Some(order);
                true
            }
        });
    }

    /// Makes the volumes anew, as tokens expire. Returns when to do so again.
    async fn refresh(&self, place: &Place) -> Duration {
        match self.make_volumes(place.address).await {
            Ok(volumes) => volumes.refresh_after.unwrap_or(RETRY),
            Err(problem) => {
                self.log.line(&format!("volumes cannot be refreshed: {problem}"));
                RETRY
            }
        }
    }

    /// Writes the status, if it changed. False if that must be tried again.
    async fn publish(&mut self) -> bool {
        let observed = self.updates.borrow().clone();
        if observed.gone {
            return true;
        }
        let previous = self.sent.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let view = View {
            pod: &observed.pod,
            slots: &self.slots,
            pod_ip: self.address.map(|address| address.to_string()),
            host_ip: self.context.settings.node.address.to_string(),
            since: self.since,
            ended: self.ended,
            obstacle: self.obstacle.as_deref(),
            previous,
        };
        let status = status::build(&view, Timestamp::now());
        if self.sent.as_ref() == Some(&status) {
            return true;
        }
        // A strategic merge leaves others' conditions alone; the UID makes it a conflict if this is another pod of the same name.
        let patch = json!({"metadata": {"uid": observed.pod.metadata.uid}, "status": status});
        let name = observed.pod.metadata.name.as_deref().unwrap_or_default();
        match self.api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => {}
            Err(problem) => {
                self.log.line(&format!("the status cannot be written yet: {problem}"));
                return false;
            }
        }
        self.sent = Some(status);
        true
    }

    async fn publish_until_done(&mut self) {
        while !self.publish().await {
            sleep(RETRY).await;
        }
    }

    /// Gives the address back.
    async fn detach(&mut self) {
        let Some(address) = self.address.take().filter(|_| self.spec.host_network != Some(true)) else { return };
        let node = self.context.settings.node.clone();
        let removed = tokio::task::spawn_blocking(move || network::remove_pod(&node, address)).await;
        match removed {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => self.log.line(&problem.to_string()),
            Err(problem) => self.log.line(&problem.to_string()),
        }
        self.context.addresses.give_back(address);
    }

    /// Waits for the pod's deletion and confirms it, so that the object goes.
    async fn remove(&mut self) {
        deletion(&mut self.updates).await;
        let observed = self.updates.borrow().clone();
        let uid = observed.pod.metadata.uid.clone();
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        let name = observed.pod.metadata.name.as_deref().unwrap_or_default();
        while !self.updates.borrow().gone {
            match self.api.delete(name, &parameters).await {
                Ok(_) => break,
                Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => break,
                Err(problem) => self.log.line(&format!("the deletion cannot be confirmed yet: {problem}")),
            }
            sleep(RETRY).await;
        }
        self.log.line("removed");
        // A finalizer may keep the object: nothing is left to do but to know of it until it is gone.
        let _ = self.updates.wait_for(|observed| observed.gone).await;
    }
}

/// Waits until the pod is being deleted, or gone.
async fn deletion(updates: &mut watch::Receiver<Observed>) {
    let ending = updates.wait_for(|observed| observed.gone || observed.pod.metadata.deletion_timestamp.is_some());
    if ending.await.is_err() {
        // The kubelet is gone, and aborts this task, too.
        std::future::pending::<()>().await;
    }
}

/// The pod's own `kubelet.log`: what the kubelet did and why, one line each with the time.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<File>);

impl Log {
    /// Appends a line. A full disk must not stop the pod.
    pub(crate) fn line(&self, text: &str) {
        let _ = self.0.as_ref().write_all(format!("{} {text}\n", Timestamp::now()).as_bytes());
    }
}
