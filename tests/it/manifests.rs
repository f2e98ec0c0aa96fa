//! `deploy/` as users apply it, on the real API server: the controller as two pods with exactly its rights, the default class by
//! policy; and the Service of a manifest that others wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use libtest_mimic::Trial;
use serde_json::json;

use crate::support::controller::Controller;
use crate::support::rights::{documents, granted, requests};
use crate::support::wait;
use crate::support::workload::kubectl;
use crate::support::world::{REGION, World, http_get};

pub fn trials() -> Vec<Trial> {
    crate::trials!("manifests":
        the_controller_runs_as_deployed_with_exactly_its_rights,
        the_default_class_goes_to_class_less_load_balancers_only,
        the_service_of_ingress_nginx_gets_an_nlb,
    )
}

const CONTROLLER: &str = include_str!("../../deploy/controller.yaml");
const DEFAULT_CLASS: &str = include_str!("../../deploy/default-class.yaml");

/// Namespace of the controller, its Lease and its ServiceAccount.
const SYSTEM: &str = "landfall-system";
const LEASE: &str = "landfall-controller";
const ACCOUNT: &str = "system:serviceaccount:landfall-system:landfall-controller";

/// The class that the controller claims as it is deployed.
const CLASS: &str = "landfall/nlb";

async fn the_controller_runs_as_deployed_with_exactly_its_rights(world: World) {
    deploy(&world).await;
    let accepted = kubectl(&world, &["apply", "--dry-run=server", "--validate=strict", "-f", "deploy/controller.yaml"], "").await;
    accepted.expect("the API server takes every object of the file as it stands");
    let replicas = ready_replicas(&world).await;
    for address in replicas.values() {
        http_get(&format!("http://{address}:8080/livez")).await.expect("alive");
    }

    // A Service's whole life.
    let leader = holder(&world).await;
    let mut service = world.service("web", &[], "{ports: [{name: http, port: 80, targetPort: 8080}], selector: {app: web}}");
    service.spec.as_mut().expect("a spec").load_balancer_class = Some(CLASS.to_owned());
    world.services().create(&PostParams::default(), &service).await.expect("created");
    world.host_name("web").await;
    for _ in 0..2 {
        // The same event twice: the second one is counted on the first.
        world.annotate("web", "scheme", Some("sideways")).await;
        world.condition("web", "landfall/Accepted", "InvalidAnnotation").await;
        world.annotate("web", "scheme", None).await;
        world.condition("web", "landfall/Accepted", "Accepted").await;
    }
    world.patch("web", json!({"spec": {"ports": [{"name": "http", "port": 8080}]}})).await;
    wait::until("the listener follows", async || {
        let ports: Vec<_> = world.region().listeners().into_iter().map(|listener| listener.port).collect();
        if ports == [8080] { Ok(()) } else { Err(ports) }
    })
    .await;

    // SIGTERM to the leader: another replica takes over, and deletes what the first one made.
    pods(&world).delete(&leader, &DeleteParams::default()).await.expect("deleted");
    wait::until("another replica leads", async || {
        let now = holder(&world).await;
        if now == leader { Err(now) } else { Ok(()) }
    })
    .await;
    world.delete_service("web").await;
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    for (name, restarts) in restarts(&world).await {
        assert_eq!(restarts, 0, "{name} was restarted");
    }

    // All replicas go: the lease is handed back.
    let scale = json!({"spec": {"replicas": 0}});
    let scaled = kubectl(&world, &["-n", SYSTEM, "patch", "deployment", LEASE, "--patch", &scale.to_string()], "").await;
    scaled.expect("scaled");
    wait::until("no pod is left", async || {
        let left = restarts(&world).await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    let lease = leases(&world).get(LEASE).await.expect("the lease stays");
    assert_eq!(lease.spec.and_then(|spec| spec.holder_identity), None, "nobody has to wait for it to run out");

    let used = wait::until("the audit log shows the end of the lease", async || {
        let used = requests(&world, ACCOUNT);
        if used.iter().filter(|request| request.right.starts_with("update ")).count() > 1 { Ok(used) } else { Err(used) }
    })
    .await;
    let refused: Vec<_> = used.iter().filter(|request| !request.allowed).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<String> = used.into_iter().map(|request| request.right).collect();
    assert_eq!(used, granted(CONTROLLER), "used (left) is what deploy/controller.yaml grants (right)");
    kubectl(&world, &["delete", "--wait=false", "-f", "deploy/controller.yaml"], "").await.expect("deleted");
}

/// Applies the controller's manifest with the settings that users make, too: those of the ConfigMap.
async fn deploy(world: &World) {
    let mut objects = documents(CONTROLLER);
    let settings = objects.iter_mut().find(|object| object["kind"] == "ConfigMap").expect("a ConfigMap");
    settings["data"] = json!({
        "LANDFALL_CLUSTER_NAME": world.cluster_name, "LANDFALL_VPC_ID": world.vpc_id, "LANDFALL_SWEEP_INTERVAL": "1h",
        "AWS_ENDPOINT_URL": world.emulator.endpoint(), "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": world.account, "AWS_SECRET_ACCESS_KEY": "test",
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    kubectl(world, &["apply", "--validate=strict", "-f", "-"], &list).await.expect("applied");
}

fn pods(world: &World) -> Api<Pod> {
    Api::namespaced(world.client.clone(), SYSTEM)
}

fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.client.clone(), SYSTEM)
}

/// Waits for two ready pods; their names and addresses.
async fn ready_replicas(world: &World) -> BTreeMap<String, String> {
    wait::until("two replicas are ready", async || {
        let list = pods(world).list(&ListParams::default()).await.expect("pods").items;
        let mut ready = BTreeMap::new();
        for pod in &list {
            let status = pod.status.clone().unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
                ready.insert(pod.metadata.name.clone().unwrap_or_default(), status.pod_ip.unwrap_or_default());
            }
        }
        if ready.len() == 2 { Ok(ready) } else { Err(list.into_iter().map(|pod| pod.status).collect::<Vec<_>>()) }
    })
    .await
}

/// Restarts of each pod's container.
async fn restarts(world: &World) -> BTreeMap<String, i32> {
    let list = pods(world).list(&ListParams::default()).await.expect("pods").items;
    let count = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().map(|container| container.restart_count);
    list.iter().map(|pod| (pod.metadata.name.clone().unwrap_or_default(), count(pod).unwrap_or_default())).collect()
}

/// Name of the pod that leads.
async fn holder(world: &World) -> String {
    wait::until("a leader", async || {
        let lease = leases(world).get_opt(LEASE).await.expect("an answer");
        lease.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity).ok_or("nobody holds the lease")
    })
    .await
}

async fn the_default_class_goes_to_class_less_load_balancers_only(world: World) {
    let strict = ["apply", "--dry-run=server", "--validate=strict", "-f", "deploy/default-class.yaml"];
    kubectl(&world, &strict, "").await.expect("the API server takes the file as it stands");
    // Bound to this test's namespace alone: others create class-less Services that are to stay so.
    let mut objects = documents(DEFAULT_CLASS);
    let binding = objects.iter_mut().find(|object| object["kind"] == "MutatingAdmissionPolicyBinding").expect("a binding");
    binding["spec"]["matchResources"] =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    kubectl(&world, &["apply", "--validate=strict", "-f", "-"], &list).await.expect("applied");

    // Nothing is kept: a controller that claims the default class may be at work beside this test.
    let class_of = async |spec: &str| {
        let spec = format!("{{\"metadata\": {{\"name\": \"web\"}}, \"spec\": {spec}}}");
        let service: Service = serde_saphyr::from_str(&spec).expect("a Service");
        let trial = PostParams { dry_run: true, ..PostParams::default() };
        let created = world.services().create(&trial, &service).await.expect("accepted");
        created.spec.and_then(|spec| spec.load_balancer_class)
    };
    wait::until("a class-less load balancer gets the class", async || {
        let class = class_of("{type: LoadBalancer, ports: [{port: 80}]}").await;
        if class.as_deref() == Some(CLASS) { Ok(()) } else { Err(class) }
    })
    .await;
    let other = class_of("{type: LoadBalancer, loadBalancerClass: example.com/other, ports: [{port: 80}]}").await;
    assert_eq!(other.as_deref(), Some("example.com/other"));
    for kind in ["ClusterIP", "NodePort"] {
        assert_eq!(class_of(&format!("{{type: {kind}, ports: [{{port: 80}}]}}")).await, None, "{kind}");
    }
    kubectl(&world, &["delete", "-f", "deploy/default-class.yaml"], "").await.expect("deleted");
}

/// What the manifests of ingress-nginx for AWS have as their Service: annotations of the in-tree controller, no class.
async fn the_service_of_ingress_nginx_gets_an_nlb(world: World) {
    let controller = Controller::start(&world, "a", &["--claim-classless", "--watch-namespace", &world.namespace]);
    let annotations = [("backend-protocol", "tcp"), ("cross-zone-load-balancing-enabled", "true"), ("type", "nlb")];
    let spec =
        "{externalTrafficPolicy: Local, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, selector: {app: ingress}, ports: [
        {appProtocol: http, name: http, port: 80, protocol: TCP, targetPort: http},
        {appProtocol: https, name: https, port: 443, protocol: TCP, targetPort: https}]}";
    let mut service = world.service("ingress", &annotations, spec);
    service.spec.as_mut().expect("a spec").load_balancer_class = None;
    world.services().create(&PostParams::default(), &service).await.expect("created");
    let host_name = world.host_name("ingress").await;
    let load_balancer = world.region().load_balancers().remove(0);
    assert_eq!(load_balancer.dns_name.to_lowercase(), host_name);
    assert_eq!(load_balancer.attributes.get("load_balancing.cross_zone.enabled").map(String::as_str), Some("true"));
    assert_eq!(load_balancer.scheme, "internet-facing", "as the in-tree controller's NLBs are");
    wait::until("both ports, checked by kube-proxy", async || {
        let (mut ports, groups) = (world.region().listeners(), world.region().target_groups());
        ports.sort_by_key(|listener| listener.port);
        let ports: Vec<_> = ports.into_iter().map(|listener| (listener.port, listener.protocol)).collect();
        let checked = groups.iter().all(|group| group.health_check_path.as_deref() == Some("/healthz") && group.targets == 3);
        let expected = [(80, "TCP".to_owned()), (443, "TCP".to_owned())];
        if ports == expected && groups.len() == 2 && checked { Ok(()) } else { Err((ports, groups)) }
    })
    .await;
    // As a user would take it away: the class of a Service cannot change, its type can.
    let patch = json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": null}});
    world.services().patch("ingress", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    world.aws_empty().await;
    wait::until("the finalizer goes", async || {
        let finalizers = world.services().get("ingress").await.expect("the Service").metadata.finalizers;
        if finalizers.is_none() { Ok(()) } else { Err(finalizers) }
    })
    .await;
    world.quiet(world.mark(), Duration::from_secs(1)).await;
    controller.stop().await;
}
