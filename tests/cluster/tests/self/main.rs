//! The cluster tested on itself: one cluster, a namespace for each test. Needs the control plane (`tools/kubernetes/build.sh`) and
//! namespaces; brings its own `main`, as namespaces must be entered before any thread exists.

mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use landfall_test_cluster::{Cluster, Images, Options, Program, VPC_ADDRESS, built_control_plane, enter_namespaces};
use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use support::{Answer, Outcome, Scope, address, ensure, equal, get, get_on, is, name, process, until};

fn main() -> ExitCode {
    if let Err(problem) = enter_namespaces() {
        eprintln!("{problem}");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::from_args();
    match run(&arguments) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if arguments.list {
        libtest_mimic::run(arguments, trials(None)).exit();
    }
    let binaries = built_control_plane()?;
    let images = Images::default();
    images.insert("landfall-backend", Program::new(env!("CARGO_BIN_EXE_landfall-backend")));
    images.insert("kubectl", Program::new(binaries.join("kubectl")));
    let workdir = tempfile::Builder::new().prefix("landfall-cluster-").tempdir()?;
    let runtime = Runtime::new()?;
    let options = Options {
        binaries,
        workdir: workdir.path().to_owned(),
        cluster_name: "self".into(),
        dns: (VPC_ADDRESS, 53).into(),
        images,
        progress: Box::new(|step| eprintln!("starting: {step}")),
        audit: true,
    };
    let cluster = Arc::new(runtime.block_on(Cluster::start(options))?);
    let shared = Shared { runtime: Arc::new(runtime), cluster, workdir: workdir.path().to_owned(), peace: Arc::default() };
    let conclusion = libtest_mimic::run(arguments, trials(Some(&shared)));
    let Shared { runtime, cluster, .. } = shared;
    if let Some(cluster) = Arc::into_inner(cluster) {
        runtime.block_on(cluster.stop());
    }
    if conclusion.has_failed() {
        eprintln!("the cluster's logs stay in {}", workdir.keep().display());
    }
    Ok(conclusion.exit_code())
}

#[derive(Clone)]
struct Shared {
    runtime: Arc<Runtime>,
    cluster: Arc<Cluster>,
    workdir: PathBuf,
    /// Held for writing by tests that disturb all others.
    peace: Arc<RwLock<()>>,
}

/// A trial for each test; `None` when they are only listed.
fn trials(shared: Option<&Shared>) -> Vec<Trial> {
    macro_rules! trials {
        ($($test:ident $peace:ident),* $(,)?) => {
            vec![$({
                let shared = shared.cloned();
                Trial::test(stringify!($test), move || {
                    let Shared { runtime, cluster, workdir, peace } = shared.ok_or("listed only")?;
                    runtime.block_on(async {
                        let _peace = peace.$peace().await;
                        let scope = Scope::new(cluster, workdir, &stringify!($test).replace('_', "-")).await?;
                        $test(scope).await
                    })
                })
            }),*]
        };
    }
    trials![
        a_deployment_is_served_everywhere read,
        local_traffic_policy_keeps_clients_and_health read,
        a_pod_reaches_itself_through_its_service read,
        a_rollout_with_pre_stop_fails_no_request read,
        deletion_waits_then_terminates_then_kills read,
        readiness_gates_hold_ready_back read,
        a_killed_container_is_restarted read,
        a_failed_liveness_probe_restarts read,
        an_unknown_image_says_what_to_do read,
        a_job_uses_its_service_account read,
        init_containers_and_environment read,
        a_pod_is_cut_from_the_api_server_alone read,
        a_cut_node_is_silent write,
        a_paused_api_server_is_waited_for write,
    ]
}

fn deployment(name: &str, replicas: u32, pre_stop_seconds: u32) -> serde_json::Value {
    let spec = Scope::backend_spec(
        json!({"terminationGracePeriodSeconds": 20}),
        json!({"lifecycle": {"preStop": {"sleep": {"seconds": pre_stop_seconds}}}}),
    );
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})
}

async fn a_deployment_is_served_everywhere(scope: Scope) -> Outcome {
    scope.create(deployment("web", 3, 0)).await?;
    let (cluster_ip, node_port, _) = scope.service("web", "Cluster").await?;
    let pods = scope.ready_pods("web", 3).await?;
    let names: Vec<_> = pods.iter().map(name).collect();
    let deployments: Api<Deployment> = Api::namespaced(scope.cluster.client(), &scope.namespace);
    until("the Deployment to be Available", || async {
        let status = deployments.get("web").await?.status;
        Ok(status.and_then(|status| status.available_replicas) == Some(3))
    })
    .await?;
    for pod in &pods {
        let address = address(pod)?;
        let node = scope.cluster.nodes().iter().find(|node| node.pod_cidr.contains(&address));
        equal("the pod's node", node.map(|node| node.name.clone()), pod.spec.as_ref().and_then(|spec| spec.node_name.clone()))?;
        equal("a pod dialled from the VPC", get((address, 9376), "/").await?.body, name(pod))?;
    }
    for node in scope.cluster.nodes() {
        let (name, address) = (&node.name, node.address);
        until(&format!("the node port of {name}"), || async { Ok(get((address, node_port), "/").await?.status == 200) }).await?;
        until(&format!("the ClusterIP on {name}"), || async {
            Ok(names.contains(&get_on(&scope.cluster, name, (cluster_ip, 80), "/").await?.body))
        })
        .await?;
    }
    equal("the ClusterIP from the VPC", get((cluster_ip, 80), "/").await?.status, 200)
}

async fn local_traffic_policy_keeps_clients_and_health(scope: Scope) -> Outcome {
    scope.create(Scope::backend_pod("local", json!({"nodeSelector": {"kubernetes.io/hostname": "node-2"}}), json!({}))).await?;
    let (_, node_port, health) = scope.service("local", "Local").await?;
    let health = health.ok_or("no health-check node port")?;
    scope.ready_pods("local", 1).await?;
    for node in scope.cluster.nodes() {
        let (expected, address) = (if node.name == "node-2" { 200 } else { 503 }, node.address);
        until(&format!("health {expected} on {}", node.name), || async {
            Ok(get((address, health), "/healthz").await?.status == expected)
        })
        .await?;
    }
    let second = scope.cluster.nodes().iter().find(|node| node.name == "node-2").ok_or("no node-2")?;
    let answer = get((second.address, node_port), "/").await?;
    equal("the answer", answer, Answer { status: 200, client: VPC_ADDRESS.to_string(), body: "local".into() })
}

async fn a_pod_reaches_itself_through_its_service(scope: Scope) -> Outcome {
    scope.create(Scope::backend_pod("self", json!({}), json!({}))).await?;
    let (cluster_ip, ..) = scope.service("self", "Cluster").await?;
    let pod = scope.ready_pods("self", 1).await?.remove(0);
    let namespace = format!("--net=/run/netns/pod-{}", address(&pod)?);
    until("the pod to reach its own Service", || async {
        let mut curl = tokio::process::Command::new("nsenter");
        curl.args([&namespace, "curl", "-sS", "--max-time", "2", &format!("http://{cluster_ip}/")]);
        let output = curl.output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.trim() == "self" { Ok(true) } else { Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into()) }
    })
    .await
}

async fn a_rollout_with_pre_stop_fails_no_request(scope: Scope) -> Outcome {
    scope.create(deployment("rolled", 3, 3)).await?;
    let (_, node_port, _) = scope.service("rolled", "Cluster").await?;
    let before = scope.ready_pods("rolled", 3).await?;
    let first = scope.cluster.nodes().first().ok_or("no node")?.address;
    until("the node port", || async { Ok(get((first, node_port), "/").await?.status == 200) }).await?;

    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let load = tokio::spawn(async move {
        let (mut count, mut finished) = (0_u32, finished);
        while finished.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            get((first, node_port), "/").await.map_err(|problem| format!("request {count}: {problem:?}"))?;
            count += 1;
        }
        Ok::<_, String>(count)
    });
    let deployments: Api<Deployment> = Api::namespaced(scope.cluster.client(), &scope.namespace);
    let change = json!({"spec": {"template": {"metadata": {"annotations": {"round": "2"}}}}});
    deployments.patch("rolled", &PatchParams::default(), &Patch::Merge(change)).await?;
    let old: Vec<_> = before.iter().map(name).collect();
    until("the old pods to go", || async {
        let pods = scope.pods();
        for name in &old {
            if pods.get_opt(name).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await?;
    scope.ready_pods("rolled", 3).await?;
    let _ = finish.send(());
    let count = load.await??;
    ensure(count > 50, &format!("only {count} requests were made"))
}

async fn deletion_waits_then_terminates_then_kills(scope: Scope) -> Outcome {
    let hook = json!({"preStop": {"sleep": {"seconds": 1}}});
    scope.create(Scope::backend_pod("polite", json!({"terminationGracePeriodSeconds": 20}), json!({"lifecycle": hook}))).await?;
    // Keeps its last connection open for longer than its grace period.
    let stubborn = json!({"lifecycle": hook, "args": ["--drain-seconds=60"]});
    scope.create(Scope::backend_pod("stubborn", json!({"terminationGracePeriodSeconds": 3}), stubborn)).await?;
    for pod in ["polite", "stubborn"] {
        scope.ready_pods(pod, 1).await?;
    }
    let stubborn_address = address(&scope.pods().get("stubborn").await?)?;
    let _open = tokio::net::TcpStream::connect((stubborn_address, 9376)).await?;
    let begin = tokio::time::Instant::now();
    for pod in ["polite", "stubborn"] {
        scope.pods().delete(pod, &DeleteParams::default()).await?;
    }
    until("the pods to go", || async {
        Ok(scope.pods().get_opt("polite").await?.is_none() && scope.pods().get_opt("stubborn").await?.is_none())
    })
    .await?;
    let took = begin.elapsed();
    ensure((Duration::from_secs(3)..Duration::from_secs(15)).contains(&took), &format!("it took {took:?}"))?;
    ordered(
        &scope.log("polite", "kubelet.log")?,
        &["deleted; grace period 20 s", "preStop: sleep 1 s", "SIGTERM", "ended, exit status: 0", "removed"],
    )?;
    ordered(&scope.log("polite", "main.log")?, &["listening", "SIGTERM: draining", "drained"])?;
    ordered(&scope.log("stubborn", "kubelet.log")?, &["preStop: sleep 1 s", "SIGTERM", "SIGKILL", "signal: 9", "removed"])?;
    let log = scope.log("polite", "kubelet.log")?;
    ensure(!log.contains("SIGKILL"), &log)
}

/// The texts appear in this order.
fn ordered(log: &str, texts: &[&str]) -> Outcome {
    let mut rest = log;
    for text in texts {
        rest = rest.split_once(text).ok_or_else(|| format!("{text:?} is not where it should be in:\n{log}"))?.1;
    }
    Ok(())
}

async fn readiness_gates_hold_ready_back(scope: Scope) -> Outcome {
    let gate = "landfall/target-health";
    scope.create(Scope::backend_pod("gated", json!({"readinessGates": [{"conditionType": gate}]}), json!({}))).await?;
    let pod = scope.pod_when("gated", "ContainersReady", |pod| is(pod, "ContainersReady", "True")).await?;
    ensure(is(&pod, "Ready", "False"), "Ready although the gate is closed")?;
    for (status, ready) in [("True", "True"), ("False", "False")] {
        let patch = json!({"status": {"conditions": [{"type": gate, "status": status}]}});
        scope.pods().patch_status("gated", &PatchParams::default(), &Patch::Strategic(patch)).await?;
        scope.pod_when("gated", &format!("Ready {ready}"), |pod| is(pod, "Ready", ready) && is(pod, gate, status)).await?;
    }
    Ok(())
}

async fn a_killed_container_is_restarted(scope: Scope) -> Outcome {
    scope.create(Scope::backend_pod("victim", json!({}), json!({}))).await?;
    let pod = scope.ready_pods("victim", 1).await?.remove(0);
    let (pid, restarts) = process(&pod)?;
    equal("restarts", restarts, 0)?;
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    let restarted = |pod: &Pod| is(pod, "Ready", "True") && process(pod).is_ok_and(|(now, restarts)| now != pid && restarts == 1);
    let after = scope.pod_when("victim", "Ready again with one restart", restarted).await?;
    equal("the address", address(&after)?, address(&pod)?)?;
    let status = after.status.and_then(|status| status.container_statuses?.into_iter().next()).ok_or("no status")?;
    equal("the exit code", status.last_state.and_then(|state| state.terminated).map(|ending| ending.exit_code), Some(137))
}

async fn a_failed_liveness_probe_restarts(scope: Scope) -> Outcome {
    let probe = json!({"livenessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1}});
    scope.create(Scope::backend_pod("sick", json!({"terminationGracePeriodSeconds": 3}), probe)).await?;
    scope.pod_when("sick", "restarted", |pod| process(pod).is_ok_and(|(_, restarts)| restarts >= 1)).await?;
    ordered(&scope.log("sick", "kubelet.log")?, &["liveness probe failed", "SIGTERM", "ended", "back-off 1 s", "started"])
}

async fn an_unknown_image_says_what_to_do(scope: Scope) -> Outcome {
    scope.create(Scope::backend_pod("unknown", json!({}), json!({"image": "registry.test/other:1"}))).await?;
    let message = |pod: &Pod| {
        let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.waiting.as_ref()?;
        (status.reason.as_deref() == Some("ErrImagePull")).then(|| status.message.clone().unwrap_or_default())
    };
    let pod = scope.pod_when("unknown", "ErrImagePull", |pod| message(pod).is_some()).await?;
    let text = message(&pod).unwrap_or_default();
    ensure(text.contains("registry.test/other:1") && text.contains("--image NAME=PATH"), &text)?;
    // It can be deleted although it never ran.
    scope.pods().delete("unknown", &DeleteParams::default()).await?;
    until("the pod to go", || async { Ok(scope.pods().get_opt("unknown").await?.is_none()) }).await
}

async fn a_job_uses_its_service_account(scope: Scope) -> Outcome {
    scope
        .create(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "who"}, "spec": {"template": {
            "metadata": {"labels": {"app": "who"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "kubectl", "args": ["auth", "whoami"]}]}}}}))
        .await?;
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::namespaced(scope.cluster.client(), &scope.namespace);
    until("the Job to complete", || async { Ok(jobs.get("who").await?.status.and_then(|status| status.succeeded) == Some(1)) })
        .await?;
    let pod = scope.pods().list(&Default::default()).await?.items.pop().ok_or("the Job has no pod")?;
    equal("the phase", pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded"))?;
    let output = scope.log(&name(&pod), "main.log")?;
    ensure(output.contains(&format!("system:serviceaccount:{}:default", scope.namespace)), &output)
}

async fn init_containers_and_environment(scope: Scope) -> Outcome {
    scope
        .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"suffix": "end"}}))
        .await?;
    let spec = json!({"initContainers": [{"name": "first", "image": "kubectl", "args": ["version", "--client"]}]});
    let environment = json!({"env": [
        {"name": "SUFFIX", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "suffix"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "POD_NAME", "value": "$(NODE)-$(SUFFIX)"},
    ]});
    scope.create(Scope::backend_pod("env", spec, environment)).await?;
    let pod = scope.ready_pods("env", 1).await?.remove(0);
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    equal("the expanded variable", get((address(&pod)?, 9376), "/").await?.body, format!("{node}-end"))?;
    ensure(is(&pod, "Initialized", "True"), "not initialized")?;
    ordered(&scope.log("env", "first.log")?, &["Client Version"])
}

async fn a_cut_node_is_silent(scope: Scope) -> Outcome {
    scope.create(Scope::backend_pod("cut", json!({"nodeSelector": {"kubernetes.io/hostname": "node-3"}}), json!({}))).await?;
    let pod = scope.ready_pods("cut", 1).await?.remove(0);
    let target = (address(&pod)?, 9376);
    equal("before", get(target, "/").await?.status, 200)?;
    scope.cluster.cut_node("node-3")?;
    let silent = get(target, "/").await.is_err();
    scope.cluster.restore_node("node-3")?;
    ensure(silent, "a pod on a node that is cut off answered")?;
    until("the pod to answer again", || async { Ok(get(target, "/").await?.status == 200) }).await
}

async fn a_pod_is_cut_from_the_api_server_alone(scope: Scope) -> Outcome {
    scope.create(Scope::backend_pod("apart", json!({}), json!({}))).await?;
    let address = address(&scope.ready_pods("apart", 1).await?.remove(0))?;
    let namespace = format!("--net=/run/netns/pod-{address}");
    let reaches = async || {
        let mut curl = tokio::process::Command::new("nsenter");
        curl.args([&namespace, "curl", "-sk", "--max-time", "1", "https://10.0.0.1/livez"]);
        Ok::<_, libtest_mimic::Failed>(curl.output().await?.status.success())
    };
    ensure(reaches().await?, "the API server does not answer the pod")?;
    scope.cluster.cut_from_api_server(address)?;
    ensure(!reaches().await?, "the API server answers although the pod is cut off")?;
    equal("the pod itself", get((address, 9376), "/").await?.status, 200)?;
    scope.cluster.restore_to_api_server(address)?;
    until("the API server to answer again", reaches).await
}

async fn a_paused_api_server_is_waited_for(scope: Scope) -> Outcome {
    scope.create(Scope::backend_pod("patient", json!({}), json!({}))).await?;
    let (pid, _) = process(&scope.ready_pods("patient", 1).await?.remove(0))?;
    scope.cluster.pause_api_server()?;
    let pods = scope.pods();
    let silent = tokio::time::timeout(Duration::from_millis(500), pods.get("patient")).await.is_err();
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    let restarted = until("the kubelet to restart the container by itself", || async {
        Ok(scope.log("patient", "kubelet.log")?.matches("started as process").count() == 2)
    })
    .await;
    scope.cluster.resume_api_server()?;
    ensure(silent, "the API server answered while it was suspended")?;
    restarted?;
    scope
        .pod_when("patient", "Ready with one restart", |pod| {
            is(pod, "Ready", "True") && process(pod).is_ok_and(|(_, restarts)| restarts == 1)
        })
        .await?;
    let audit = scope.cluster.audit_log().ok_or("no audit log")?;
    ensure(std::fs::read_to_string(audit)?.contains("\"process-kubelet\""), "the audit log does not name the kubelet")
}
