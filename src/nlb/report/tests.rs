use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::aws::test_server;
use crate::aws::types::{IpAddressType, Scheme, Tags};
use crate::nlb::build::fixtures;
use crate::nlb::model::{DesiredLoadBalancer, ObservedLoadBalancer, ServiceKey};

fn load_balancer(name: &str, state: LoadBalancerState) -> ObservedLoadBalancer {
    let load_balancer = fixtures::load_balancer(name, state);
    ObservedLoadBalancer { load_balancer, tags: Tags::new(), listeners: BTreeMap::new(), attributes: None }
}

fn desired(name: &str) -> Desired {
    let wanted = DesiredLoadBalancer {
        name: name.to_owned(),
        scheme: Scheme::Internal,
        ip_address_type: IpAddressType::Ipv4,
        subnets: ["subnet-1".into()].into(),
        security_groups: [].into(),
        attributes: BTreeMap::new(),
        tags: Tags::new(),
    };
    let key = ServiceKey { namespace: "shop".into(), name: "web".into() };
    Desired { load_balancer: Some(wanted), ..Desired::nothing(key) }
}

fn observed(load_balancers: &[(&str, LoadBalancerState)], published: Option<&str>) -> Observed {
    let all = load_balancers.iter().map(|(name, state)| ((*name).to_owned(), load_balancer(name, state.clone())));
    Observed {
        load_balancers: all.collect(),
        published_host_name: published.map(|name| format!("{name}-0123.elb.us-west-2.amazonaws.com")),
        ..Observed::default()
    }
}

fn shown(load_balancers: &[(&str, LoadBalancerState)], published: Option<&str>, policy: PublishHostname) -> Option<String> {
    let name = host_name(&desired("new"), &observed(load_balancers, published), policy)?;
    Some(name.split('-').next().unwrap().to_owned())
}

#[test]
fn a_foreign_load_balancer_of_the_chosen_name_is_not_published() {
    let mut observed = observed(&[("new", LoadBalancerState::Active)], Some("new"));
    let occupant = observed.load_balancers.get_mut("new").unwrap();
    occupant.tags = [("elbv2.k8s.aws/cluster".to_owned(), "another".to_owned())].into();
    assert_eq!(host_name(&desired("new"), &observed, PublishHostname::Active), None);
    assert_eq!(Finding::progress(&desired("new"), &observed, &BTreeSet::new()).reason, "Provisioning");
}

#[test]
fn the_host_name_appears_when_the_load_balancer_serves() {
    use LoadBalancerState::{Active, ActiveImpaired, Failed, Provisioning};
    let table = [
        (Provisioning, PublishHostname::Active, None),
        (Active, PublishHostname::Active, Some("new")),
        (ActiveImpaired, PublishHostname::Active, Some("new")),
        (Failed, PublishHostname::Active, None),
        (Provisioning, PublishHostname::Created, Some("new")),
        (Failed, PublishHostname::Created, None),
    ];
    for (state, policy, expected) in table {
        assert_eq!(shown(&[("new", state.clone())], None, policy).as_deref(), expected, "{state} {policy:?}");
    }
}

#[test]
fn a_published_name_stays_as_long_as_it_leads_somewhere() {
    use LoadBalancerState::{Active, Provisioning};
    let active = PublishHostname::Active;
    // The same load balancer, changed by AWS: not withdrawn.
    assert_eq!(shown(&[("new", Provisioning)], Some("new"), active).as_deref(), Some("new"));
    // Replaced: the old one until the new one serves.
    assert_eq!(shown(&[("old", Active), ("new", Provisioning)], Some("old"), active).as_deref(), Some("old"));
    assert_eq!(shown(&[("old", Active), ("new", Active)], Some("old"), active).as_deref(), Some("new"));
    // Deleted by hand: a name that leads nowhere is withdrawn.
    assert_eq!(shown(&[("new", Provisioning)], Some("old"), active), None);
    assert_eq!(shown(&[], Some("old"), active), None);
}

fn error(class: Class) -> AwsError {
    let error = test_server::error("elasticloadbalancing:CreateLoadBalancer", "AccessDenied", class);
    AwsError { message: "not allowed".into(), request_id: Some("id-1".into()), ..error }
}

fn service(reason: &str, message: &str) -> Service {
    let conditions = json!([{"type": READY, "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    serde_json::from_value(json!({"metadata": {"name": "web"}, "status": {"conditions": conditions}})).unwrap()
}

#[test]
fn a_denial_is_told_at_once_and_trouble_with_the_network_when_it_lasts() {
    assert!(Finding::failure(&error(Class::Permission), 1).is_some());
    assert!(Finding::failure(&error(Class::Transient), 2).is_none());
    assert!(Finding::failure(&error(Class::Transient), 3).is_some());
    assert!(Finding::failure(&error(Class::Throttled), 9).is_none());
    assert!(Finding::failure(&error(Class::Stale), 2).is_none());
    assert!(Finding::failure(&error(Class::Stale), 3).is_some());
}

#[test]
fn a_request_id_is_shown_and_never_news() {
    let finding = Finding::failure(&error(Class::Permission), 1).unwrap();
    let first = finding.published(&service("Provisioning", "creating"));
    assert!(first.ends_with(" (AWS request id id-1)"), "{first}");
    let published = service("AccessDenied", &first);
    let again = Finding { request_id: Some("id-2".into()), ..finding.clone() };
    assert!(!again.is_news(&published));
    assert_eq!(again.published(&published), first, "the status is not rewritten for another request id");
    let other = Finding { message: "something else".into(), ..again };
    assert!(other.is_news(&published));
    assert!(finding.is_news(&service("Provisioning", "creating")));
}

#[test]
fn other_words_for_the_same_good_news_are_no_news() {
    let finding = Finding::deleting();
    assert!(!finding.is_news_after(&finding.reason, "the same in other words"));
    assert!(finding.is_news_after("Active", &finding.message));
    let failure = Finding::failure(&error(Class::Permission), 1).unwrap();
    assert!(failure.is_news_after(&failure.reason, "another call"));
    assert!(!failure.is_news_after(&failure.reason, &failure.message));
}

#[test]
fn a_refused_change_leaves_the_published_name() {
    let mut live = service("Active", "new is active");
    let ingress = json!([{"hostname": "new.elb", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}]);
    live.status.as_mut().unwrap().load_balancer = Some(serde_json::from_value(json!({ "ingress": ingress })).unwrap());
    let problem = Problem { code: "UnknownScheme", field: "f".into(), message: "m".into(), fix: "x".into() };
    let finding = Finding::rejected(&Rejection { problems: vec![problem] });
    let status = refused(&live, &finding);
    assert_eq!(status.host_name.as_deref(), Some("new.elb"));
    assert_eq!(status.ports, [(80, "TCP"), (53, "UDP")]);
    let by_type = |type_: &str| status.conditions.iter().find(|c| c.type_ == type_).unwrap();
    assert_eq!((by_type(ACCEPTED).status, by_type(ACCEPTED).reason.as_str()), (ConditionStatus::False, "UnknownScheme"));
    assert_eq!(by_type(READY).status, ConditionStatus::True);
    assert_eq!(refused(&service("Provisioning", "x"), &finding).host_name, None);
}

#[test]
fn the_name_of_what_is_given_up_stays_as_long_as_that_stands() {
    let mut live = service("Active", "new is active");
    let ingress = json!({"ingress": [{"hostname": "new.elb"}]});
    live.status.as_mut().unwrap().load_balancer = Some(serde_json::from_value(ingress).unwrap());
    let shown = |live: &Service, stands| leaving(live, &Finding::deleting(), stands).host_name;
    assert_eq!(shown(&live, true), None, "of another type: the API server would refuse it");
    live.spec = Some(serde_json::from_value(json!({"type": "LoadBalancer"})).unwrap());
    assert_eq!((shown(&live, true).as_deref(), shown(&live, false)), (Some("new.elb"), None));
}

#[test]
fn a_failed_change_does_not_make_a_serving_load_balancer_unready() {
    let finding = Finding::failure(&error(Class::Permission), 1).unwrap();
    let serving = observed(&[("new", LoadBalancerState::Active)], None);
    assert_eq!(finding.clone().while_serving(&desired("new"), &serving).ready, ConditionStatus::True);
    let not_yet = observed(&[("new", LoadBalancerState::Provisioning)], None);
    assert_eq!(finding.while_serving(&desired("new"), &not_yet).ready, ConditionStatus::False);
}

#[test]
fn progress_says_what_is_awaited() {
    let reason = |state| Finding::progress(&desired("new"), &observed(&[("new", state)], None), &BTreeSet::new()).reason;
    assert_eq!(reason(LoadBalancerState::Provisioning), "Provisioning");
    assert_eq!(reason(LoadBalancerState::Active), "NoTargets");
    let nothing_yet = Finding::progress(&desired("new"), &Observed::default(), &BTreeSet::new());
    assert_eq!((nothing_yet.reason.as_str(), nothing_yet.message.as_str()), ("Provisioning", "creating new"));
}
