//! One run for one key: gather → build → observe → diff → apply → report, in that order and nothing else.
//!
//! Never waits for AWS to finish something: it says what is awaited and is called again. `shared.rs` is the same for what all
//! Services share; `pending.rs` and `sweep.rs` call again.

mod release;
mod telling;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use tokio::time::Instant;

use super::apply::{Outcome, apply};
use super::build::tags;
use super::diff::{diff, render};
use super::gather::Gatherer;
use super::metrics::Metrics;
use super::model::{Action, Desired, Observed, Placement, Plan, Rejection, ServiceKey, SharedNeed, Step, Subject, Wait};
use super::observe::Observer;
use super::ownership::{Claim, Past};
use super::pending::Pending;
use super::report::{self, Finding, PublishHostname};
use super::{build, shared};
use crate::aws::{Aws, AwsError};
use crate::error::{Class, Classified};
use crate::kubernetes::events::{Kind, Recorder};
use crate::kubernetes::queue::{QueueHandle, Requeue};
use crate::kubernetes::status::ServiceStatus;
use crate::kubernetes::{self, finalizer};

/// What is refused for lack of a permission or of quota is tried again this often: somebody may have granted it.
pub(super) const SLOW_RETRY: Duration = Duration::from_secs(60);

/// AWS takes up to three minutes to let go of a subnet; then another of the same zone can take its place.
const SUBNET_EXCHANGE: Duration = Duration::from_secs(15);

/// How often the health of a new load balancer's targets is looked at, as long as it keeps the old one.
const TARGET_HEALTH: Duration = Duration::from_secs(10);

/// Longest wait for the backend group without looking.
const BACKEND_GROUP: Duration = Duration::from_secs(5);

/// A deletion that AWS refuses so often in a row (some two minutes) is told.
pub(super) const TOLD_WHEN_BUSY: u32 = 8;

/// What many Services need from the nodes is written together.
const GATHERING: Duration = Duration::from_millis(100);

/// Between two runs for a Service whose endpoints keep changing, such as during a rollout: one call takes many targets.
const TARGETS_PAUSE: Duration = Duration::from_millis(400);

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Service is not possible as written.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// An AWS call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A Kubernetes call failed.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
}

impl Classified for Error {
    fn code(&self) -> &str {
        match self {
            Self::Rejected(error) => error.code(),
            Self::Aws(error) => error.code(),
            Self::Kubernetes(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Rejected(error) => error.class(),
            Self::Aws(error) => error.class(),
            Self::Kubernetes(error) => error.class(),
        }
    }
}

/// When to run again, and the run's label in the metrics: the class of what AWS refused, if it refused something.
pub(super) type Ended = (Requeue, &'static str);

/// Label of a run in which nothing failed.
pub(super) const OK: &str = "ok";

/// What is remembered of a Service between runs; see [`Memories`].
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Hash of the `Desired` that AWS matched last: a plan for the same one repairs what somebody else changed.
    converged: Option<u64>,
    /// Runs in a row that an AWS call ended.
    failures: u32,
    /// When targets were registered or deregistered last.
    targets_written: Option<Instant>,
    /// What it needs of the shared parts, as last built; `None` until it was.
    shared_need: Option<SharedNeed>,
    /// Reason and message last told, in case the store lags behind what we wrote.
    told: Option<(String, String)>,
    /// Status last written, for the same case.
    published: Option<ServiceStatus>,
}

/// Everything a run needs; shared by all workers.
pub struct Reconciler {
    /// Which Services are ours.
    pub claim: Claim,
    /// Stores and facts.
    pub gatherer: Gatherer,
    /// The inventory.
    pub observer: Observer,
    /// AWS.
    pub aws: Aws,
    /// For status and finalizers.
    pub client: kube::Client,
    /// For events.
    pub recorder: Recorder,
    /// To call again.
    pub queue: QueueHandle<Subject>,
    /// What AWS is busy with.
    pub pending: Pending,
    /// `--publish-hostname`.
    pub publish: PublishHostname,
    /// `--cluster-name`.
    pub cluster_name: String,
    /// Figures.
    pub metrics: Metrics,
    /// What is remembered between runs; at first nothing.
    pub memory: Memories,
}

/// What is remembered between runs, to do and to say less and to wake others. Without it the same comes out.
#[derive(Default)]
pub struct Memories {
    services: Mutex<BTreeMap<ServiceKey, Memory>>,
    shared: Mutex<shared::Memory>,
}

impl Memories {
    /// Of the shared parts.
    pub(super) fn shared(&self) -> MutexGuard<'_, shared::Memory> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciler {
    /// Name of our finalizer.
    fn finalizer(&self) -> String {
        build::names::finalizer(&self.cluster_name)
    }

    /// What the shared parts are derived from.
    pub(super) fn sources(&self) -> shared::Sources<'_> {
        let Self { claim, gatherer, observer, cluster_name, .. } = self;
        shared::Sources { claim, gatherer, observer, cluster_name }
    }

    fn memory(&self) -> MutexGuard<'_, BTreeMap<ServiceKey, Memory>> {
        self.memory.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One run. The queue never runs one key twice at the same time.
    pub async fn run(self: Arc<Self>, subject: Subject) -> Requeue {
        let started = crate::clock::now();
        let (requeue, result) = match &subject {
            Subject::Service(key) => self.service(key).await,
            Subject::Shared => match shared::reconcile(&self).await {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::warn!(%error, code = error.code(), class = %error.class(), "shared security rules not reconciled");
                    (retry(error.class()), error.class().as_str())
                }
            },
        };
        self.metrics.reconciled(result, started.elapsed());
        requeue
    }

    async fn service(&self, key: &ServiceKey) -> Ended {
        let Some(service) = self.gatherer.cluster.service(key) else {
            self.forget(key);
            return (Requeue::Done, "gone");
        };
        let covered = self.claim.covers(&service);
        if !covered && self.key_if_ours(&service).is_none() {
            self.forget(key);
            return (Requeue::Done, "foreign");
        }
        let result = match () {
            () if covered => self.ensure(key, &service).await,
            () if self.claim.past(&service) == Past::NotClaimed => self.leave_alone(key, &service).await,
            () => self.release(key, &service).await,
        };
        match result {
            Ok(ended) => ended,
            Err(error) => {
                let class = error.class();
                (self.failed(key, &service, error).await, class.as_str())
            }
        }
    }

    /// The Service should have a load balancer.
    async fn ensure(&self, key: &ServiceKey, service: &Arc<Service>) -> Result<Ended, Error> {
        self.observer.ensure_listed().await?;
        let placement = self.observer.placement(key).map(|(scheme, subnets)| Placement { scheme, subnets });
        let inputs = self.gatherer.gather(key, service.clone(), placement).await?;
        let desired = build::build(&inputs)?;
        finalizer::add(&self.client, &**service, &self.finalizer()).await?;
        self.note_shared_need(key, &desired);

        let (observed, plan) = self.plan(&desired, service).await?;
        let outcome = self.apply(key, service, &desired, &plan).await;
        let exchanging = plan.waits.iter().any(|wait| matches!(wait, Wait::SubnetChange { .. }));
        self.pending.look();
        let refused = outcome.refused_instances();
        if !refused.is_empty() && self.gatherer.check_instances(&refused).await? {
            // Without them the others can be registered. Whether they come (back) is asked together with what is shared.
            self.queue.enqueue(Subject::Shared);
            return Ok((Requeue::After(Duration::ZERO), outcome.result()));
        }

        let (observed, rest) = if plan.steps.is_empty() { (observed, plan) } else { self.plan(&desired, service).await? };
        if let Some(failure) = outcome.worst() {
            return self.apply_failed(key, service, &desired, &observed, &failure.error).await;
        }
        let shared = self.shared_part(&desired);
        let trouble = shared.trouble.map(|finding| finding.while_serving(&desired, &observed));
        let stuck = trouble.is_some();
        let finding = Finding::conflicts(&rest.conflicts).or(trouble);
        let finding = finding.unwrap_or_else(|| Finding::progress(&desired, &observed, &rest.waits));
        let converged = rest.steps.is_empty() && rest.waits.is_empty() && rest.conflicts.is_empty();
        {
            let mut memory = self.memory();
            let memory = memory.entry(key.clone()).or_default();
            memory.failures = 0;
            memory.converged = converged.then(|| fingerprint(&desired));
        }
        let host_name = report::host_name(&desired, &observed, self.publish);
        // What an earlier process said of the shared parts stands until this one has looked at them, and runs us again.
        let early = !shared.known && report::is_told(service) && host_name == report::published_host_name(service);
        if !early {
            self.tell(key, service, &finding, report::status(service, &desired, host_name, &finding)).await?;
        }
        // The new load balancer serves: what is left to wait for is healthy targets, which nobody tells of.
        let replacing = !rest.waits.is_empty() && rest.waits.iter().all(|wait| matches!(wait, Wait::Replacement { .. }));
        if replacing && outcome.done.is_empty() {
            self.observer.inventory().forget_targets(key);
        }
        // Steps that only became possible through the last ones (a replaced load balancer, a changed zone).
        let more_to_do = !rest.steps.is_empty() && !outcome.cut_short;
        let requeue = match () {
            () if exchanging => Requeue::After(SUBNET_EXCHANGE),
            () if more_to_do => Requeue::After(Duration::ZERO),
            // Whoever makes the group wakes us: this is for the case that nobody does.
            () if rest.waits.contains(&Wait::BackendGroup) && !stuck => Requeue::After(BACKEND_GROUP),
            () if replacing => Requeue::After(TARGET_HEALTH),
            () => Requeue::Done,
        };
        Ok((requeue, OK))
    }

    /// The Service has a load balancer, and flags do not claim it any more.
    async fn leave_alone(&self, key: &ServiceKey, service: &Service) -> Result<Ended, Error> {
        let finding = Finding::not_claimed();
        self.tell(key, service, &finding, report::interrupted(service, &finding)).await?;
        Ok((Requeue::Done, OK))
    }

    /// What is wrong between `desired` and AWS.
    async fn plan(&self, desired: &Desired, service: &Service) -> Result<(Observed, Plan), AwsError> {
        let published = report::published_host_name(service);
        let custom_name = build::custom_name(service);
        observe_and_diff(&self.observer, &self.gatherer, desired, custom_name, published, &self.cluster_name).await
    }

    async fn apply(&self, key: &ServiceKey, service: &Service, desired: &Desired, plan: &Plan) -> Outcome {
        if plan.steps.is_empty() {
            return Outcome::default();
        }
        let repairs = self.memory().get(key).is_some_and(|memory| memory.converged == Some(fingerprint(desired)));
        tracing::info!(service = %key, steps = plan.steps.len(), repairs, plan = %render::summary(plan), "applying");
        let outcome = apply(&self.aws, &self.observer, plan).await;
        self.metrics.applied(&outcome);
        let is_about_targets =
            |step: &Step| matches!(step.action, Action::RegisterTargets { .. } | Action::DeregisterTargets { .. });
        if outcome.done.iter().any(is_about_targets) {
            self.memory().entry(key.clone()).or_default().targets_written = Some(crate::clock::now());
        }
        if repairs {
            self.tell_repair(service, &outcome.done);
        }
        outcome
    }

    /// Says what somebody else had changed. Repairs of different objects are events of their own.
    pub(super) fn tell_repair(&self, service: &Service, done: &[Step]) {
        if !done.is_empty() {
            let note = format!("put right what was changed in AWS: {}", render::steps(done));
            self.emit(service, Kind::Warning, "DriftRepaired", &render::step_names(done), &note);
        }
    }

    /// The shared parts follow from what all Services need: they are looked at again when that changes.
    fn note_shared_need(&self, key: &ServiceKey, desired: &Desired) {
        let need = desired.shared_need();
        let known_trouble = self.memory.shared().trouble.is_some();
        let mut memory = self.memory();
        let memory = memory.entry(key.clone()).or_default();
        if memory.shared_need.as_ref() != Some(&need) {
            self.queue.enqueue_after(Subject::Shared, GATHERING);
        }
        if need.group && !known_trouble && self.observer.inventory().backend_is_missing() {
            // No load balancer can be made without it.
            self.queue.enqueue_after(Subject::Shared, Duration::ZERO);
        }
        memory.shared_need = Some(need);
    }

    /// What the Service's last build needs of the shared parts, if there was one.
    pub(super) fn shared_need(&self, key: &ServiceKey) -> Option<SharedNeed> {
        self.memory().get(key)?.shared_need.clone()
    }

    /// What is known of the shared parts that concerns this Service.
    fn shared_part(&self, desired: &Desired) -> shared::Standing {
        if desired.shared_need().group { self.memory.shared().standing() } else { shared::Standing::SOUND }
    }

    fn forget(&self, key: &ServiceKey) {
        if self.memory().remove(key).is_some() {
            self.queue.enqueue(Subject::Shared);
        }
    }

    /// Asks for a run because endpoints changed: soon, but together with what changes within a moment of the last such run.
    pub(super) fn enqueue_targets(&self, key: ServiceKey) {
        let written = self.memory().get(&key).and_then(|memory| memory.targets_written);
        let pause = written.and_then(|at| TARGETS_PAUSE.checked_sub(crate::clock::now().duration_since(at)));
        match pause {
            Some(pause) => self.queue.enqueue_after(Subject::Service(key), pause),
            None => self.queue.enqueue(Subject::Service(key)),
        }
    }

    /// Runs everything again: facts or the inventory were read anew.
    pub fn enqueue_all(&self) {
        self.enqueue_services();
        self.queue.enqueue(Subject::Shared);
    }

    /// Runs all Services of ours again.
    pub(super) fn enqueue_services(&self) {
        for service in self.gatherer.cluster.services.state() {
            if let Some(key) = self.key_if_ours(&service) {
                self.queue.enqueue(Subject::Service(key));
            }
        }
    }

    /// The key of a Service that is ours or that we may hold something for.
    #[must_use]
    pub fn key_if_ours(&self, service: &Service) -> Option<ServiceKey> {
        let key = ServiceKey::of(service)?;
        let owned = || self.observer.inventory().owns_something(&key);
        let ours = self.claim.covers(service)
            || match self.claim.past(service) {
                Past::Ours => finalizer::is_present(service, &self.finalizer()) || owned(),
                Past::NotClaimed => owned(),
                Past::Foreign => false,
            };
        ours.then_some(key)
    }
}

/// Observe and diff, with a second look at attributes when `diff` asks for it. Used by `plan` (the command) too.
///
/// # Errors
/// The first read that failed.
pub async fn observe_and_diff(
    observer: &Observer,
    gatherer: &Gatherer,
    desired: &Desired,
    custom_name: Option<&str>,
    published_host_name: Option<String>,
    cluster_name: &str,
) -> Result<(Observed, Plan), AwsError> {
    let key = &desired.service;
    let look = async || -> Result<Observed, AwsError> {
        let mut observed = observer.observe(key, custom_name, published_host_name.clone()).await?;
        if desired.load_balancer.is_none() {
            // Whoever else has the name is in nobody's way, and must not pass for something that is left.
            observed.load_balancers.retain(|_, seen| tags::owner(&seen.tags, cluster_name).as_ref() == Some(key));
        }
        observed.zones = gatherer.zones();
        Ok(observed)
    };
    let mut observed = look().await?;
    let mut plan = diff(desired, &observed, cluster_name);
    if !plan.needs_attributes.is_empty() {
        observer.read_attributes(&plan.needs_attributes).await?;
        observed = look().await?;
        plan = diff(desired, &observed, cluster_name);
    }
    Ok((observed, plan))
}

/// When to run again after a failure: the class alone decides.
fn retry(class: Class) -> Requeue {
    match class {
        // Nothing but a change of the object, or of AWS (which the next sweep sees), helps.
        Class::Input => Requeue::Done,
        Class::Permission | Class::Quota => Requeue::After(SLOW_RETRY),
        Class::Throttled | Class::Transient | Class::Stale | Class::Busy | Class::Bug => Requeue::Backoff,
    }
}

fn fingerprint(desired: &Desired) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Targets come and go with pods: a missing one is drift all the same, a changed set is not.
    format!("{desired:?}").hash(&mut hasher);
    hasher.finish()
}
