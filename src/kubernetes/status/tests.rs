//! When a status is written and what it says. Server-side apply itself is tested on a real API server (`tests/it`).

use k8s_openapi::api::core::v1::ServiceStatus as Current;
use kube::core::ObjectMeta;

use super::*;

const EARLIER: &str = "2026-11-23T10:00:00Z";
const NOW: &str = "2026-11-23T12:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn wanted() -> ServiceStatus {
    ServiceStatus {
        host_name: Some("lf-1.elb.us-west-2.amazonaws.com".into()),
        ports: vec![(80, "TCP"), (53, "UDP")],
        conditions: vec![ConditionValue {
            type_: "landfall/Ready",
            status: ConditionStatus::True,
            reason: "Active".into(),
            message: "serves".into(),
        }],
    }
}

fn condition(type_: &str, status: &str) -> Condition {
    Condition {
        last_transition_time: Time(time(EARLIER)),
        message: "serves".into(),
        observed_generation: None,
        reason: "Active".into(),
        status: status.into(),
        type_: type_.into(),
    }
}

/// A Service that says what [`wanted`] wants, plus a condition of somebody else's.
fn service() -> Service {
    Service {
        metadata: ObjectMeta {
            namespace: Some("ns".into()),
            name: Some("web".into()),
            uid: Some("u-1".into()),
            ..ObjectMeta::default()
        },
        status: Some(Current {
            conditions: Some(vec![condition("Other", "False"), condition("landfall/Ready", "True")]),
            load_balancer: Some(LoadBalancerStatus { ingress: Some(ingress(&wanted())) }),
        }),
        ..Service::default()
    }
}

fn sent(service: &Service, status: &ServiceStatus) -> Option<Value> {
    patch(service, status, false, time(NOW))
}

fn status_mut(service: &mut Service) -> &mut Current {
    service.status.as_mut().unwrap()
}

#[test]
fn an_equal_status_is_not_sent() {
    assert_eq!(sent(&service(), &wanted()), None);
    assert!(patch(&service(), &wanted(), true, time(NOW)).is_some(), "what it shows is not what was written last");
    assert_eq!(sent(&Service::default(), &ServiceStatus::default()), None, "nothing to say, nothing there");
}

#[test]
fn a_new_status_is_complete() {
    let bare = Service { status: None, ..service() };
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "ns", "name": "web", "uid": "u-1"},
        "status": {
            "loadBalancer": {"ingress": [{
                "hostname": "lf-1.elb.us-west-2.amazonaws.com",
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
            }]},
            "conditions": [{
                "type": "landfall/Ready", "status": "True", "reason": "Active", "message": "serves", "lastTransitionTime": NOW,
            }],
        },
    });
    assert_eq!(sent(&bare, &wanted()), Some(expected));
}

#[test]
fn every_difference_is_sent() {
    type Edit = (&'static str, fn(&mut Service));
    let edits: [Edit; 7] = [
        ("host name", |s| status_mut(s).load_balancer.as_mut().unwrap().ingress.as_mut().unwrap()[0].hostname = Some("x".into())),
        ("protocol", |s| {
            let ingress = &mut status_mut(s).load_balancer.as_mut().unwrap().ingress.as_mut().unwrap()[0];
            ingress.ports.as_mut().unwrap()[0].protocol = "UDP".into();
        }),
        ("second entry", |s| {
            status_mut(s).load_balancer.as_mut().unwrap().ingress.as_mut().unwrap().push(LoadBalancerIngress::default());
        }),
        ("cleared by hand", |s| status_mut(s).load_balancer = None),
        ("reason", |s| status_mut(s).conditions.as_mut().unwrap()[1].reason = "Provisioning".into()),
        ("a condition of ours that is outdated", |s| {
            status_mut(s).conditions.as_mut().unwrap().push(condition("landfall/Old", "True"));
        }),
        ("generation", |s| s.metadata.generation = Some(2)),
    ];
    for (what, edit) in edits {
        let mut service = service();
        edit(&mut service);
        let body = sent(&service, &wanted()).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(body["status"]["conditions"].as_array().unwrap().len(), 1, "{what}: ours only, all of ours");
        assert_eq!(body["status"]["conditions"][0]["lastTransitionTime"], EARLIER, "{what}: still True");
    }
}

#[test]
fn the_transition_time_changes_with_the_status_alone() {
    let mut unsure = wanted();
    unsure.conditions[0].status = ConditionStatus::Unknown;
    let body = sent(&service(), &unsure).unwrap();
    assert_eq!(body["status"]["conditions"][0]["lastTransitionTime"], NOW);
    assert_eq!(body["status"]["conditions"][0]["status"], "Unknown");
}

#[test]
fn the_generation_is_named_when_there_is_one() {
    let mut service = service();
    service.metadata.generation = Some(4);
    assert_eq!(sent(&service, &wanted()).unwrap()["status"]["conditions"][0]["observedGeneration"], 4);
}

#[test]
fn clearing_empties_what_is_ours() {
    let body = sent(&service(), &ServiceStatus::default()).unwrap();
    assert_eq!(body["status"], json!({"loadBalancer": {"ingress": []}, "conditions": []}));
}

#[test]
fn the_order_of_conditions_does_not_matter() {
    let mut status = wanted();
    status.conditions.insert(0, ConditionValue { type_: "landfall/Targets", ..status.conditions[0].clone() });
    let mut service = service();
    status_mut(&mut service).conditions = Some(vec![condition("landfall/Targets", "True"), condition("landfall/Ready", "True")]);
    assert_eq!(sent(&service, &status), None);
    status_mut(&mut service).conditions.as_mut().unwrap().reverse();
    assert_eq!(sent(&service, &status), None);
}
