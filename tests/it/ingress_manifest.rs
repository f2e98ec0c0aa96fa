//! `deploy/ingress-nginx.yaml` as users apply it, behind an NLB that our own controller made: served through it, rolled and killed
//! under load, with exactly its rights.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, PostParams};
use landfall_test_cluster::load::{Load, Sort, Tally};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::controller::Controller;
use crate::support::data_plane::{ask, create_service, ingresses};
use crate::support::rights::{documents, granted, requests};
use crate::support::wait;
use crate::support::workload::{create_backend, kubectl, restart};
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    crate::trials_alone!("ingress_manifest": behind_our_nlb_rolled_and_killed_under_load_with_exactly_its_rights)
}

const MANIFEST: &str = include_str!("../../deploy/ingress-nginx.yaml");
const SYSTEM: &str = "ingress-nginx";
const ACCOUNT: &str = "system:serviceaccount:ingress-nginx:ingress-nginx";

/// Under the emulator's `instant` profile the load balancer needs two seconds to see that a node has no pod left.
const GRACE: &str = "--shutdown-grace-period=6";

async fn behind_our_nlb_rolled_and_killed_under_load_with_exactly_its_rights(world: World) {
    let controller = Controller::start(&world, "a", &[]);
    let accepted =
        kubectl(&world, &["apply", "--dry-run=client", "--validate=strict", "-f", "deploy/ingress-nginx.yaml"], "").await;
    accepted.expect("every object of the file is valid");
    deploy(&world).await;
    rolled_out(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 3, 2).await;
    let addresses = serve(&world).await;

    // The backend, then the data plane itself, are rolled while requests flow.
    let sorts = [Sort::Kept, Sort::New, Sort::Http2];
    let mut socket = Websocket::open(addresses[0]).await;
    let load = Load::of(&addresses, &sorts);
    let pod = socket.pod.clone();
    tokio::join!(restart(&world, "web"), async {
        drains(&world, &pod).await;
        socket.echoes("while its pod drains").await;
        socket.finish().await;
    });
    report("backend rolled", &load.stop().await);

    let mut socket = Websocket::open(addresses[1]).await;
    let load = Load::of(&addresses, &sorts);
    kubectl(&world, &["-n", SYSTEM, "rollout", "restart", "deployment/ingress-nginx-controller"], "").await.expect("restarted");
    rollout_status(&world).await;
    // The connection's pod was told to go, and lets it finish.
    socket.echoes("after the data plane's roll").await;
    socket.finish().await;
    rolled_out(&world).await;
    report("data plane rolled", &load.stop().await);

    // One of two is killed: what it carried is lost, and nothing after that.
    let victim = pods(&world).await.into_iter().next().expect("a pod");
    let load = Load::of(&addresses, &sorts);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let kill = ["-n", SYSTEM, "delete", "pod", &victim, "--force", "--grace-period", "0"];
    kubectl(&world, &kill, "").await.expect("killed");
    rolled_out(&world).await;
    let tally = load.stop().await;
    println!("killed: {tally}");
    assert!(tally.sent > 500, "{}", tally.sent);
    let load = Load::of(&addresses, &sorts);
    tokio::time::sleep(Duration::from_secs(2)).await;
    report("after the kill", &load.stop().await);

    // A finding and its event, a Secret, the lease given back: everything that the roles are for.
    let refused = json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/no-such": "x"}}});
    crate::support::data_plane::patch_ingress(&world, "web", refused).await;
    wait::until("an event", async || {
        let events = kubectl(&world, &["-n", &world.namespace, "get", "events"], "").await.expect("events");
        if events.contains("AnnotationsNotSupported") { Ok(()) } else { Err(events) }
    })
    .await;
    let refused: Vec<_> = requests(&world, ACCOUNT).into_iter().filter(|request| !request.allowed).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<String> = requests(&world, ACCOUNT).into_iter().map(|request| request.right).collect();
    // The same event within six minutes would be patched; here each was told once.
    let granted = granted(MANIFEST).into_iter().filter(|right| !right.starts_with("patch events") || used.contains(right));
    assert_eq!(used, granted.collect(), "used (left) is what deploy/ingress-nginx.yaml grants (right)");

    kubectl(&world, &["delete", "--wait=false", "-f", "deploy/ingress-nginx.yaml"], "").await.expect("deleted");
    world.aws_empty().await;
    controller.stop().await;
}

/// Applies the manifest with the class that this test's controller claims, and a grace that fits the emulator's times.
async fn deploy(world: &World) {
    let mut objects: Vec<Value> = documents(MANIFEST);
    for object in &mut objects {
        match object["kind"].as_str() {
            Some("Service") => object["spec"]["loadBalancerClass"] = json!(world.class),
            Some("Deployment") => {
                let arguments = object["spec"]["template"]["spec"]["containers"][0]["args"].as_array_mut().expect("arguments");
                arguments.retain(|argument| !argument.as_str().unwrap_or_default().starts_with("--shutdown-grace-period"));
                arguments.push(json!(GRACE));
            }
            _ => {}
        }
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    kubectl(world, &["apply", "--validate=strict", "-f", "-"], &list).await.expect("applied");
}

/// Waits until exactly the wanted pods are there, all of them ready.
async fn rolled_out(world: &World) {
    rollout_status(world).await;
    wait::until("two pods", async || {
        let pods = pods(world).await;
        if pods.len() == 2 { Ok(()) } else { Err(pods) }
    })
    .await;
}

/// Waits until all pods that are not leaving are new ones, and available.
async fn rollout_status(world: &World) {
    let status = ["-n", SYSTEM, "rollout", "status", "deployment/ingress-nginx-controller", "--timeout", "120s"];
    kubectl(world, &status, "").await.expect("rolled out");
}

async fn pods(world: &World) -> BTreeSet<String> {
    let names = kubectl(world, &["-n", SYSTEM, "get", "pods", "-o", "name"], "").await.expect("pods");
    names.lines().map(|line| line.trim_start_matches("pod/").to_owned()).collect()
}

/// An Ingress for every host; the load balancer's addresses once Service and Ingress show its name and it answers.
async fn serve(world: &World) -> Vec<SocketAddr> {
    let ingress = json!({
        "metadata": {"name": "web"},
        "spec": {"ingressClassName": "nginx", "rules": [{"http": {"paths": [{
            "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}},
        }]}}]},
    });
    ingresses(world)
        .create(&PostParams::default(), &serde_json::from_value(ingress).expect("an Ingress"))
        .await
        .expect("created");
    let name = wait::until("the load balancer's name", async || {
        let services: Api<Service> = Api::namespaced(world.client.clone(), SYSTEM);
        let service = services.get("ingress-nginx-controller").await.expect("the Service");
        crate::support::world::host_name(&service).ok_or(service.status)
    })
    .await;
    crate::support::data_plane::status_is(world, "web", &[&name]).await;
    let load_balancers = world.region().load_balancers();
    let zones = load_balancers.iter().flat_map(|load_balancer| &load_balancer.zones);
    let addresses: Vec<_> = zones.map(|zone| SocketAddr::new(IpAddr::V4(zone.address), 80)).collect();
    assert_eq!(addresses.len(), 3, "an address in each zone");
    for address in &addresses {
        wait::until(&format!("an answer from {address}"), async || {
            let answer = ask(*address, &format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")).await;
            if answer.status == 200 { Ok(()) } else { Err(answer) }
        })
        .await;
    }
    // Nodes without a pod count as healthy until their first check.
    wait::until("two healthy nodes", async || {
        let groups = world.region().target_groups();
        let states: Vec<_> = groups.iter().flat_map(|group| world.region().targets(&group.arn)).collect();
        let healthy = states.iter().filter(|target| target.state == "healthy").count();
        if healthy == 2 * groups.len() { Ok(()) } else { Err(states) }
    })
    .await;
    addresses
}

fn report(what: &str, tally: &Tally) {
    println!("{what}: {tally}, {} on connections used before", tally.reused);
    assert_eq!(tally.failed, Vec::<String>::new(), "{what}: {tally}");
    assert!(tally.by_sort.len() == 3 && tally.by_sort.values().all(|sent| *sent > 100), "{what}: only {tally}");
}

/// Waits until a pod of the backend was told to end, and tells its clients to go.
async fn drains(world: &World, pod: &str) {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = pods.get(pod).await.expect("the pod");
    let address = pod.status.and_then(|status| status.pod_ip).expect("an address");
    wait::until(&format!("{address} drains"), async || {
        let mut stream = TcpStream::connect(format!("{address}:8080")).await.map_err(|problem| problem.to_string())?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.map_err(|problem| problem.to_string())?;
        let head = read_head(&mut stream).await;
        if head.contains("connection: close") { Ok(()) } else { Err(head) }
    })
    .await;
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

/// A connection that has changed its protocol: what is sent comes back.
struct Websocket {
    stream: TcpStream,
    /// The pod at its other end.
    pod: String,
}

impl Websocket {
    async fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!(
            "GET /socket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("asked");
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        let pod = head.lines().find_map(|line| line.strip_prefix("pod-name: ")).expect("who it is").to_owned();
        let mut socket = Self { stream, pod };
        socket.echoes("at once").await;
        socket
    }

    async fn echoes(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("sent");
        let mut back = vec![0; text.len()];
        self.stream.read_exact(&mut back).await.expect("it comes back");
        assert_eq!(back, text.as_bytes());
    }

    async fn finish(mut self) {
        self.stream.shutdown().await.expect("closed");
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.expect("the other side closes, too");
        assert_eq!(rest, b"");
    }
}
