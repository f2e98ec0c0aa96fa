//! Findings → events, by the leader, each once: when it appears, and again when its words change.
//!
//! What was told is remembered by this process only. A new leader tells what is wrong once more; the API server counts that on
//! the event that is there.

use std::collections::BTreeSet;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};

use super::feed::Stores;
use crate::kubernetes::events::{Kind, Recorder};
use crate::routes::findings::{self, Finding, ObjectKey, Severity};

/// What has been told.
#[derive(Debug, Default)]
pub struct Reporter {
    told: BTreeSet<Finding>,
}

impl Reporter {
    /// Tells what is new among `findings` (sorted), but for mere notices. Whether that was all: where too much waits to be sent,
    /// the rest is for another time.
    pub fn tell(&mut self, findings: &[Finding], stores: &Stores, recorder: &Recorder) -> bool {
        for finding in self.news(findings) {
            if finding.severity < Severity::Notice
                && let Some(reference) = reference(&finding, stores)
            {
                if !recorder.has_room() {
                    return false;
                }
                tracing::info!(%finding, "told");
                // The message tells apart events of the same reason on the same object.
                recorder.emit(&reference, Kind::Warning, finding.code, &finding.message, &finding.message);
            }
            self.told.insert(finding);
        }
        true
    }

    /// What was not told yet. What is not found any more is forgotten.
    fn news(&mut self, findings: &[Finding]) -> Vec<Finding> {
        self.told.retain(|finding| findings.binary_search(finding).is_ok());
        findings.iter().filter(|finding| !self.told.contains(finding)).cloned().collect()
    }
}

/// The object that a finding is about, as events want it; `None` if it is gone.
fn reference(finding: &Finding, stores: &Stores) -> Option<ObjectReference> {
    let key = &finding.object;
    match finding.kind {
        findings::Kind::Ingress => find(&stores.ingresses, key),
        findings::Kind::Secret => find(&stores.secrets, key),
        findings::Kind::Service => find(&stores.services, key),
        findings::Kind::ConfigMap => find(stores.config_map.as_ref()?, key),
    }
}

fn find<K>(store: &Store<K>, key: &ObjectKey) -> Option<ObjectReference>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Lookup<DynamicType = ()> + Clone + 'static,
{
    let object = store.get(&ObjectRef::new(&key.name).within(&key.namespace))?;
    Some(Resource::object_ref(&*object, &()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, message: &str) -> Finding {
        Finding {
            kind: findings::Kind::Ingress,
            object: ObjectKey::new("shop", name),
            code: findings::PATH_CONFLICT,
            severity: Severity::Warning,
            message: message.to_owned(),
        }
    }

    #[test]
    fn told_once_and_again_when_the_words_change_or_after_it_was_gone() {
        let mut reporter = Reporter::default();
        let mut told = |findings: &[Finding]| {
            let news = reporter.news(findings);
            reporter.told.extend(news.clone());
            news
        };
        let (one, other) = (finding("a", "one"), finding("b", "one"));
        assert_eq!(told(std::slice::from_ref(&one)), std::slice::from_ref(&one));
        assert_eq!(told(&[one.clone(), other.clone()]), [other]);
        assert_eq!(told(&[finding("a", "another")]), [finding("a", "another")]);
        assert_eq!(told(&[]), []);
        assert_eq!(told(std::slice::from_ref(&one)), [one]);
    }
}
