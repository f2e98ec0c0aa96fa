//! Which Services are ours. Two controllers writing to one Service is the worst failure, so the answer is narrow. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;

/// The operator's claim, from `--load-balancer-class` and `--claim-classless`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Values of `spec.loadBalancerClass` that are ours.
    pub classes: BTreeSet<String>,
    /// Whether Services of type LoadBalancer without a class are ours too: only where no cloud controller competes.
    pub classless: bool,
}

impl Claim {
    /// Whether a load balancer should exist for this Service now.
    #[must_use]
    pub fn covers(&self, service: &Service) -> bool {
        let Some(spec) = &service.spec else { return false };
        if service.metadata.deletion_timestamp.is_some() || spec.type_.as_deref() != Some("LoadBalancer") {
            return false;
        }
        match &spec.load_balancer_class {
            Some(class) => self.classes.contains(class),
            None => self.classless,
        }
    }

    /// Whether a Service that is not covered may be one that was: then what AWS holds for it goes, and its finalizer too.
    ///
    /// The class cannot change while the type stays, and is wiped when the type changes (Kubernetes API), so a Service of
    /// another class never was ours: it may be another Landfall's, whose finalizer has the same name.
    #[must_use]
    pub fn past(&self, service: &Service) -> Past {
        let spec = service.spec.clone().unwrap_or_default();
        let deleted = service.metadata.deletion_timestamp.is_some();
        match (&spec.load_balancer_class, spec.type_.as_deref()) {
            (Some(class), _) if self.classes.contains(class) => Past::Ours,
            (Some(_), _) => Past::Foreign,
            (None, Some("LoadBalancer")) if !self.classless && !deleted => Past::NotClaimed,
            (None, _) => Past::Ours,
        }
    }
}

/// What a Service that is not covered may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// If it bears the finalizer it was ours, and is given up.
    Ours,
    /// If AWS holds something of ours for it, a flag was taken back: that takes nothing away, and changes nothing.
    NotClaimed,
    /// It never was ours.
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(yaml: &str) -> Service {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn only_our_class_or_a_classless_service_when_claimed() {
        let ours = Claim { classes: ["landfall/nlb".to_owned()].into(), classless: false };
        let classless = Claim { classless: true, ..ours.clone() };
        let with_class = service("{spec: {type: LoadBalancer, loadBalancerClass: landfall/nlb}}");
        let without = service("{spec: {type: LoadBalancer}}");
        let foreign = service("{spec: {type: LoadBalancer, loadBalancerClass: service.k8s.aws/nlb}}");
        let cluster_ip = service("{spec: {type: ClusterIP}}");
        let deleted = service(
            "{metadata: {deletionTimestamp: 2026-01-01T00:00:00Z}, spec: {type: LoadBalancer, loadBalancerClass: landfall/nlb}}",
        );
        assert!(ours.covers(&with_class) && classless.covers(&with_class));
        assert!(!ours.covers(&without) && classless.covers(&without));
        for other in [foreign, cluster_ip, deleted] {
            assert!(!ours.covers(&other) && !classless.covers(&other));
        }
    }

    #[test]
    fn a_flag_that_is_taken_back_gives_nothing_up_but_what_users_give_up() {
        let ours = Claim { classes: ["landfall/nlb".to_owned()].into(), classless: false };
        let past = |yaml| ours.past(&service(yaml));
        assert_eq!(past("{spec: {type: LoadBalancer}}"), Past::NotClaimed);
        let deleted = "{metadata: {deletionTimestamp: 2026-01-01T00:00:00Z}, spec: {type: LoadBalancer}}";
        assert_eq!([past(deleted), past("{spec: {type: ClusterIP}}")], [Past::Ours; 2]);
        assert_eq!(past("{spec: {type: LoadBalancer, loadBalancerClass: service.k8s.aws/nlb}}"), Past::Foreign);
    }
}
