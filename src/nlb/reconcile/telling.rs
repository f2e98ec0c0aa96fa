//! What a run tells: status and events of the Service, and when to run again after a failure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Service};
use kube::Resource;

use super::{Ended, Error, Reconciler, retry};
use crate::aws::AwsError;
use crate::error::{Class, Classified};
use crate::kubernetes;
use crate::kubernetes::events::Kind;
use crate::kubernetes::queue::Requeue;
use crate::kubernetes::status::{self, ServiceStatus};
use crate::nlb::build::codes;
use crate::nlb::model::{Desired, Observed, ServiceKey};
use crate::nlb::report::{self, Finding};

/// Rejections for what AWS lacks, as far as is known: somebody may have made it since.
const MISSING: [&str; 3] = [codes::NO_SUBNET, codes::SUBNET_NOT_FOUND, codes::SECURITY_GROUP_NOT_FOUND];

impl Reconciler {
    pub(super) async fn apply_failed(
        &self,
        key: &ServiceKey,
        service: &Arc<Service>,
        desired: &Desired,
        observed: &Observed,
        error: &AwsError,
    ) -> Result<Ended, Error> {
        let failures = self.count_failure(key);
        tracing::warn!(service = %key, %error, request_id = error.request_id, class = %error.class(), "AWS refused a step");
        let host_name = report::host_name(desired, observed, self.publish);
        let finding = Finding::failure(error, failures).map(|finding| finding.while_serving(desired, observed));
        let finding = finding.unwrap_or_else(|| Finding::progress(desired, observed, &BTreeSet::new()));
        self.tell(key, service, &finding, report::status(service, desired, host_name, &finding)).await?;
        Ok((throttled(error, failures).unwrap_or_else(|| retry(error.class())), error.class().as_str()))
    }

    /// A run that ended before anything was applied.
    pub(super) async fn failed(&self, key: &ServiceKey, service: &Arc<Service>, error: Error) -> Requeue {
        let class = error.class();
        let told = match &error {
            Error::Rejected(rejection) => {
                let finding = Finding::rejected(rejection);
                tracing::info!(service = %key, problem = %rejection, "rejected");
                if rejection.problems.iter().any(|problem| MISSING.contains(&problem.code)) {
                    self.gatherer.doubt_facts();
                }
                self.tell(key, service, &finding, report::refused(service, &finding)).await
            }
            Error::Aws(error) => {
                let failures = self.count_failure(key);
                tracing::warn!(service = %key, %error, request_id = error.request_id, %class, "AWS call failed");
                match Finding::failure(error, failures) {
                    Some(finding) if self.claim.covers(service) => {
                        self.tell(key, service, &finding, report::interrupted(service, &finding)).await
                    }
                    Some(finding) => self.tell(key, service, &finding, self.leaving(key, service, &finding)).await,
                    None => Ok(()),
                }
            }
            Error::Kubernetes(error) => {
                if class != Class::Stale {
                    tracing::warn!(service = %key, %error, %class, "Kubernetes call failed");
                }
                Ok(())
            }
        };
        if let Err(error) = told {
            if error.class() != Class::Stale {
                tracing::warn!(service = %key, %error, "status not published");
            }
            return Requeue::Backoff;
        }
        let told_to_wait = match &error {
            Error::Aws(error) => throttled(error, self.failures(key)),
            Error::Rejected(_) | Error::Kubernetes(_) => None,
        };
        told_to_wait.unwrap_or_else(|| retry(class))
    }

    /// Publishes a status, and an event if it is news.
    pub(super) async fn tell(
        &self,
        key: &ServiceKey,
        service: &Service,
        finding: &Finding,
        status: ServiceStatus,
    ) -> Result<(), kubernetes::Error> {
        // The store may lag behind what we said and wrote: then memory knows.
        let (news, lags) = {
            let memory = self.memory();
            let memory = memory.get(key);
            let told = memory.and_then(|memory| memory.told.as_ref());
            let news = finding.is_news(service) && told.is_none_or(|(reason, words)| finding.is_news_after(reason, words));
            (news, memory.and_then(|memory| memory.published.as_ref()).is_some_and(|published| *published != status))
        };
        status::publish(&self.client, service, &status, lags).await?;
        self.memory().entry(key.clone()).or_default().published = Some(status);
        if news {
            self.memory().entry(key.clone()).or_default().told = Some((finding.reason.clone(), finding.message.clone()));
            self.emit(service, finding.kind, &finding.reason, &finding.about, &finding.message);
        }
        Ok(())
    }

    pub(super) fn emit(&self, service: &Service, kind: Kind, reason: &str, action: &str, note: &str) {
        let reference: ObjectReference = service.object_ref(&());
        self.recorder.emit(&reference, kind, reason, action, note);
    }

    fn failures(&self, key: &ServiceKey) -> u32 {
        self.memory().get(key).map_or(0, |memory| memory.failures)
    }

    pub(super) fn count_failure(&self, key: &ServiceKey) -> u32 {
        let mut memory = self.memory();
        let memory = memory.entry(key.clone()).or_default();
        memory.failures += 1;
        memory.converged = None;
        memory.failures
    }
}

/// When our own throttle said when its next token comes: then, and a little later the more have waited in vain, each at
/// another time. All at once would only meet at the next token again.
fn throttled(error: &AwsError, failures: u32) -> Option<Requeue> {
    const STEP: Duration = Duration::from_millis(250);
    // Eight seconds at the most.
    let spread = STEP.saturating_mul(1 << failures.min(5));
    error.retry_after.map(|delay| Requeue::After(delay + spread.mul_f32(fastrand::f32())))
}
