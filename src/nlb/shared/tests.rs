use landfall_localstack::{DataPlane, Emulator, Options, World, WorldOptions};
use serde_json::{Value, json};

use super::*;
use crate::aws::types::{LoadBalancer, LoadBalancerState};
use crate::aws::{Aws, test_server};
use crate::clock;
use crate::kubernetes::watch::listed;
use crate::nlb::build::fixtures::{load_balancer, policy};
use crate::nlb::build::tags;
use crate::nlb::gather::{Cluster, Slices};
use crate::nlb::model::{LoadBalancerRef, Policy};

/// A cluster whose AWS holds nothing of ours yet.
struct Fixture {
    _emulator: Emulator,
    claim: Claim,
    gatherer: Gatherer,
    observer: Observer,
    policy: Arc<Policy>,
    aws: Aws,
    /// Security group of the nodes.
    nodes: SecurityGroupId,
}

impl Fixture {
    /// With these Services, each with three endpoint slices of three pods if `pods`.
    async fn start(services: &[Value], pods: bool) -> Self {
        let options = Options { listen: ([127, 0, 0, 1], 0).into(), data_plane: DataPlane::Off, ..Options::default() };
        let emulator = Emulator::start(options).await.unwrap();
        let (account, policy) = ("123456789012", Arc::new(policy()));
        let world = World::three_zones(WorldOptions { cluster_name: policy.cluster_name.clone(), ..WorldOptions::default() });
        let seeded = emulator.region(account, test_server::REGION).seed(&world);
        let vpc: crate::aws::types::VpcId = seeded.vpc_id.as_str().into();
        let aws = test_server::client(&emulator.endpoint(), account);
        let slices = services.iter().flat_map(|service| {
            let name = service["metadata"]["name"].as_str().unwrap().to_owned();
            (1..=3).map(move |number| slice(&name, number))
        });
        let cluster = Cluster {
            services: listed(services.iter().map(|service| serde_json::from_value(service.clone()).unwrap())),
            endpoint_slices: Slices::new(listed(slices.filter(|_| pods))),
            nodes: listed([]),
        };
        Self {
            _emulator: emulator,
            claim: Claim { classes: BTreeSet::new(), classless: true },
            observer: Observer::new(aws.clone(), vpc.clone(), policy.cluster_name.clone()),
            gatherer: Gatherer::new(cluster, aws.clone(), vpc, policy.clone()),
            policy,
            aws,
            nodes: seeded.security_groups["nodes"].as_str().into(),
        }
    }

    fn sources(&self) -> Sources<'_> {
        let Self { claim, gatherer, observer, policy, .. } = self;
        Sources { claim, gatherer, observer, cluster_name: &policy.cluster_name }
    }
}

fn slice(service: &str, number: u8) -> k8s_openapi::api::discovery::v1::EndpointSlice {
    let endpoints = (1..=3).map(|pod| json!({"addresses": [format!("10.20.{number}.{pod}")], "conditions": {"ready": true}}));
    let metadata = json!({"namespace": "shop", "name": format!("{service}-{number}"),
        "labels": {"kubernetes.io/service-name": service}});
    let endpoints: Vec<Value> = endpoints.collect();
    let ports = json!([{"name": "http", "port": 8000 + u16::from(number), "protocol": "TCP"}]);
    serde_json::from_value(json!({"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints})).unwrap()
}

/// One that sends to a named port of pods.
fn service(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"),
            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip"}},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_ports_nobody_knows_yet_needs_the_group_all_the_same() {
    let fixture = Fixture::start(&[service("web")], false).await;
    let planned = plan(fixture.sources(), |_| None).await.unwrap();
    let group = build::names::backend_group(fixture.sources().cluster_name);
    assert_eq!(render::step_names(&planned.plan.steps), format!("create security-group/{group}"));
    assert_eq!(planned.served.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_about_one_service_keeps_what_is_there_and_opens_what_others_need() {
    let mut mistyped = service("mistyped");
    mistyped["metadata"]["annotations"]["service.beta.kubernetes.io/aws-load-balancer-sheme"] = "internal".into();
    let fixture = Fixture::start(&[service("web"), mistyped], true).await;
    let needs = needs(fixture.sources(), |_| None).await;
    assert!(needs.in_use && !needs.complete);
    assert_eq!(needs.ports.iter().map(|(_, range)| range.first).collect::<Vec<_>>(), [8001, 8002, 8003]);
    // Of one that was built before it is known what it needs.
    let need = SharedNeed { group: true, ports: [("tcp".to_owned(), PortRange { first: 9000, last: 9000 })].into() };
    let known = |key: &ServiceKey| (key.name == "mistyped").then(|| need.clone());
    let needs = super::needs(fixture.sources(), known).await;
    assert!(needs.complete && needs.ports.len() == 4);
}

/// A backend group that the nodes admit, and a load balancer in it; the latter is only in the inventory, owned by `owner`.
async fn serving(fixture: &Fixture, owner: &str) -> LoadBalancerRef {
    let Fixture { aws, observer, gatherer, policy, nodes, .. } = fixture;
    let group = build::backend_group(policy, gatherer.vpc());
    let backend = aws.create_security_group(&group.name, &group.description, &group.vpc, &group.tags).await.unwrap();
    let ports = [("tcp".to_owned(), PortRange { first: 30_000, last: 32_767 })].into();
    aws.authorize_ingress(nodes, &build::node_rules(&backend, policy, &ports)).await.unwrap();
    observer.ensure_listed().await.unwrap();
    let found = LoadBalancer { security_groups: [backend].into(), ..load_balancer("old", LoadBalancerState::Active) };
    let reference = LoadBalancerRef::Existing { name: found.name.clone(), id: found.arn.clone() };
    let tags = [(tags::CLUSTER, policy.cluster_name.as_str()), (tags::SERVICE, owner)];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    observer.inventory().created_load_balancer(found, tags.into());
    reference
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_stay_until_a_load_balancer_that_is_given_up_is_gone() {
    for others in [vec![], vec![service("web")]] {
        let fixture = Fixture::start(&others, true).await;
        let old = serving(&fixture, "shop/leaving").await;
        let revokes = async || {
            let planned = plan(fixture.sources(), |_| None).await.unwrap();
            planned.plan.steps.iter().any(|step| matches!(step.action, Action::RevokeIngress { .. }))
        };
        assert!(!revokes().await, "it serves, {} others", others.len());
        fixture.observer.inventory().record(&Action::DeleteLoadBalancer { load_balancer: old });
        assert!(revokes().await, "it is gone, {} others", others.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thousand_services_need_is_built_once() {
    let services: Vec<Value> = (0..1000).map(|number| service(&format!("web-{number}"))).collect();
    let fixture = Fixture::start(&services, true).await;
    let sources = fixture.sources();
    sources.observer.ensure_listed().await.unwrap();
    let start = clock::now();
    let built = needs(sources, |_| None).await;
    let first = start.elapsed();
    let known = SharedNeed { group: true, ports: built.ports.clone() };
    let start = clock::now();
    let again = needs(sources, |_| Some(known.clone())).await;
    println!("needs of 1,000 Services with 3 slices each: built {first:?}, known {:?}", start.elapsed());
    assert_eq!((built.ports, built.served.len(), built.complete), (again.ports, again.served.len(), again.complete));
}
