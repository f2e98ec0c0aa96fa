//! What stands behind a Service: a Deployment of the backend program, its rollouts, its pods; and `kubectl` for manifests.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::fixture::option;
use super::wait;
use super::world::World;

/// A rollout goes pod by pod, each with its `preStop` and its shutdown.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(180);

/// Creates a Deployment of `landfall-backend` on port 8080, with pods labelled `app: <name>` spread over the nodes, and waits
/// until they are available. `pre_stop` is in seconds, 0 for none.
pub async fn create_backend(world: &World, name: &str, replicas: i32, pre_stop: u32) {
    let lifecycle = (pre_stop > 0).then(|| json!({"preStop": {"sleep": {"seconds": pre_stop}}}));
    let container = json!({
        "name": "web", "image": "landfall-backend", "args": ["--listen", "0.0.0.0:8080"],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "lifecycle": lifecycle,
    });
    let labels = json!({"app": name});
    let spread = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels}});
    let deployment = json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "minReadySeconds": 2,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": pre_stop + 15,
                    "topologySpreadConstraints": [spread],
                    "containers": [container],
                },
            },
        },
    });
    let deployment: Deployment = serde_json::from_value(deployment).expect("a Deployment");
    deployments(world).create(&PostParams::default(), &deployment).await.expect("the API server takes the Deployment");
    rolled_out(world, name).await;
}

/// What `kubectl rollout restart` does, and waits until no pod of before is left.
pub async fn restart(world: &World, name: &str) {
    let before = pods(world, name).await;
    let stamp = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    deployments(world).patch(name, &PatchParams::default(), &Patch::Merge(stamp)).await.expect("patched");
    rolled_out(world, name).await;
    assert!(before.is_disjoint(&pods(world, name).await), "every pod was replaced");
}

/// Waits until the Deployment is what its spec says and has no other pods any more.
async fn rolled_out(world: &World, name: &str) {
    wait::until_within(ROLLOUT_LIMIT, &format!("rollout of {name}"), async || {
        let deployment = deployments(world).get(name).await.expect("the Deployment");
        let replicas = deployment.spec.replicas;
        let status = deployment.status.clone().unwrap_or_default();
        let seen = status.observed_generation == deployment.metadata.generation;
        let done = [status.updated_replicas, status.available_replicas, status.replicas].iter().all(|count| *count == replicas);
        let present = pods(world, name).await.len();
        if seen && done && i32::try_from(present).ok() == replicas { Ok(()) } else { Err((status, present)) }
    })
    .await;
}

/// Names of the pods labelled `app: <app>`, terminating ones included.
pub async fn pods(world: &World, app: &str) -> BTreeSet<String> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let list = pods.list(&ListParams::default().labels(&format!("app={app}"))).await.expect("pods");
    list.items.into_iter().filter_map(|pod| pod.metadata.name).collect()
}

fn deployments(world: &World) -> Api<Deployment> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

/// Runs kubectl as an administrator, with `input` on its standard input; what it printed, or its complaint.
pub async fn kubectl(world: &World, arguments: &[&str], input: &str) -> Result<String, String> {
    let program = PathBuf::from(option("LANDFALL_KUBERNETES").expect("LANDFALL_KUBERNETES is set")).join("kubectl");
    let mut child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", &world.kubeconfig)
        .env("HOME", &world.workdir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).await.expect("kubectl reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("kubectl ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
