//! The run of a Service that gives its load balancer up: the same stages with an empty `Desired`, until nothing is left.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;

use super::{Ended, Error, OK, Reconciler, SLOW_RETRY, TOLD_WHEN_BUSY};
use crate::error::{Class, Classified};
use crate::kubernetes::events::Kind;
use crate::kubernetes::finalizer;
use crate::kubernetes::queue::Requeue;
use crate::kubernetes::status::{self, ServiceStatus};
use crate::nlb::apply::Outcome;
use crate::nlb::model::{Action, Desired, Plan, SecurityGroupRef, ServiceKey, Step, Subject};
use crate::nlb::report::{self, Finding};
use crate::nlb::shared;

impl Reconciler {
    /// The Service must not have a load balancer (any more).
    pub(super) async fn release(&self, key: &ServiceKey, service: &Arc<Service>) -> Result<Ended, Error> {
        let desired = Desired::nothing(key.clone());
        self.note_shared_need(key, &desired);
        // From then on one finding is told, at the end of the run: what fails again and again does not read "deleting" in
        // between.
        if !self.is_leaving(key, service) {
            let finding = Finding::deleting();
            self.tell(key, service, &finding, self.leaving(key, service, &finding)).await?;
        }

        let (observed, plan) = self.plan(&desired, service).await?;
        if self.is_awaited(&plan) && self.count_failure(key) < TOLD_WHEN_BUSY {
            return Ok((Requeue::Backoff, Class::Busy.as_str()));
        }
        let outcome = self.apply(key, service, &desired, &plan).await;
        let (observed, rest) = if plan.steps.is_empty() { (observed, plan) } else { self.plan(&desired, service).await? };

        let (problem, requeue) = if let Some(failure) = outcome.worst() {
            if failure.error.class() != Class::Busy {
                return Err(failure.error.clone().into());
            }
            self.park(key, &outcome);
            let failures = self.count_failure(key);
            let finding = Finding::failure(&failure.error, failures).filter(|_| failures >= TOLD_WHEN_BUSY);
            (finding.map(|finding| finding.concerning(&failure.step.reason)), Requeue::Backoff)
        } else if let Some(finding) = Finding::conflicts(&rest.conflicts) {
            (Some(finding), Requeue::After(SLOW_RETRY))
        } else if !observed.is_empty() {
            (None, Requeue::Backoff)
        } else if !shared::is_released(self, key) {
            // The last one out takes the shared parts along, as AWS shows them, whoever made them.
            self.queue.enqueue_after(Subject::Shared, Duration::ZERO);
            (self.memory.shared().trouble.clone(), Requeue::Backoff)
        } else {
            return self.let_go(key, service).await;
        };
        let finding = problem.unwrap_or_else(Finding::deleting);
        self.tell(key, service, &finding, self.leaving(key, service, &finding)).await?;
        Ok((requeue, outcome.result()))
    }

    /// What a Service that gives its load balancer up shows now: the host name as long as it leads there.
    pub(super) fn leaving(&self, key: &ServiceKey, service: &Service, finding: &Finding) -> ServiceStatus {
        let stands = report::published_host_name(service).is_some_and(|name| self.observer.leads_to(key, &name));
        report::leaving(service, finding, stands)
    }

    /// Nothing in AWS is the Service's any more.
    async fn let_go(&self, key: &ServiceKey, service: &Service) -> Result<Ended, Error> {
        if service.metadata.deletion_timestamp.is_none() {
            // `service` may be older than what we wrote at the beginning: this is the last chance to take it back.
            status::publish(&self.client, service, &ServiceStatus::default(), true).await?;
        }
        finalizer::remove(&self.client, service, &self.finalizer()).await?;
        self.emit(service, Kind::Normal, "Deleted", "delete", "the load balancer and all that belonged to it are gone");
        self.forget(key);
        Ok((Requeue::Done, OK))
    }

    /// Whether the Service's status shows already that it gives its load balancer up, or what stands in the way of that.
    fn is_leaving(&self, key: &ServiceKey, service: &Service) -> bool {
        let published = self.memory().get(key).and_then(|memory| memory.published.clone());
        published
            .map_or_else(|| report::is_leaving(service), |status| status.conditions.iter().all(|it| it.type_ == report::READY))
    }

    /// Is woken when the network interfaces of groups that AWS would not delete are gone; whatever else holds them is looked
    /// at again by the back-off.
    fn park(&self, key: &ServiceKey, outcome: &Outcome) {
        for failure in &outcome.failures {
            if let Action::DeleteSecurityGroup { group: SecurityGroupRef::Existing { id, .. } } = &failure.step.action {
                self.pending.await_interfaces(id.clone(), Subject::Service(key.clone()));
            }
        }
    }

    /// Whether all that is left are groups whose interfaces are polled: AWS would only refuse again.
    fn is_awaited(&self, plan: &Plan) -> bool {
        let awaited = |step: &Step| match &step.action {
            Action::DeleteSecurityGroup { group: SecurityGroupRef::Existing { id, .. } } => self.pending.awaits(id),
            _ => false,
        };
        !plan.steps.is_empty() && plan.steps.iter().all(awaited)
    }
}
