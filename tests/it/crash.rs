//! Acceptance 5: the controller is killed after every single AWS write of a story in turn, and started again: AWS ends up as if
//! nothing had happened. Nothing is left over, nothing is there twice, the Service's finalizer goes.

use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use landfall_localstack::{Fault, Rule};
use libtest_mimic::Trial;

use crate::support::controller::Controller;
use crate::support::fixture;
use crate::support::picture::picture;
use crate::support::wait;
use crate::support::world::{World, host_name, writes};

pub fn trials() -> Vec<Trial> {
    crate::trials!("crash":
        at_every_write_of_create,
        at_every_write_of_a_change_of_everything,
        at_every_write_of_the_last_delete,
        at_every_write_of_a_new_scheme,
    )
}

/// Controllers that run at the same time.
const SIDE_BY_SIDE: usize = 6;

/// No election: a restart need not wait until the killed process's lease has run out. What that takes is seen in `replicas`.
const ALONE: &[&str] = &["--leader-elect=false"];

async fn at_every_write_of_create(world: World) {
    at_every_write(world, &Story { name: "create", act: Act::Create }).await;
}

async fn at_every_write_of_a_change_of_everything(world: World) {
    let prefix = "service.beta.kubernetes.io/aws-load-balancer";
    let patch = serde_json::json!({
        "metadata": {"annotations": {
            format!("{prefix}-healthcheck-protocol"): "http",
            format!("{prefix}-healthcheck-path"): "/ready",
            format!("{prefix}-attributes"): "load_balancing.cross_zone.enabled=true",
            format!("{prefix}-target-group-attributes"): "deregistration_delay.timeout_seconds=15",
            format!("{prefix}-additional-resource-tags"): "team=web",
        }},
        "spec": {
            "ports": [{"name": "http", "port": 80}, {"name": "alt", "port": 8443}],
            "loadBalancerSourceRanges": ["192.0.2.0/24", "198.51.100.0/24"],
        },
    });
    at_every_write(world, &Story { name: "change", act: Act::Change(patch) }).await;
}

async fn at_every_write_of_the_last_delete(world: World) {
    at_every_write(world, &Story { name: "delete", act: Act::Delete }).await;
}

async fn at_every_write_of_a_new_scheme(world: World) {
    let key = "service.beta.kubernetes.io/aws-load-balancer-scheme";
    let patch = serde_json::json!({"metadata": {"annotations": {key: "internet-facing"}}});
    at_every_write(world, &Story { name: "scheme", act: Act::Change(patch) }).await;
}

/// What somebody does, and what the controller is killed in the middle of.
struct Story {
    name: &'static str,
    act: Act,
}

enum Act {
    Create,
    /// A merge patch on the Service that `Create` made.
    Change(serde_json::Value),
    Delete,
}

/// How a story goes when nothing happens to the controller.
struct Rehearsed {
    before: Vec<String>,
    after: Vec<String>,
    /// The writes in between, in the order in which AWS saw them.
    writes: Vec<String>,
}

async fn at_every_write(world: World, story: &Story) {
    let rehearsed = &story.rehearse(&world).await;
    let points = rehearsed.writes.len();
    assert!(points > 2, "{:?}", rehearsed.writes);
    let reached: Vec<bool> =
        stream::iter(1..=points).map(|k| story.killed_after(k, rehearsed)).buffer_unordered(SIDE_BY_SIDE).collect().await;
    let reached = reached.into_iter().filter(|reached| *reached).count();
    println!("crash, {}: killed after {reached} of {points} writes in turn: {}", story.name, rehearsed.writes.join(" "));
    // Waves run side by side, and two runs may share a call now and then.
    assert!(reached + 1 >= points, "only {reached} of {points} points were reached");
}

impl Story {
    async fn rehearse(&self, world: &World) -> Rehearsed {
        let controller = Controller::start(world, "rehearsal", ALONE);
        let before = match self.act {
            Act::Create => picture(world, None),
            Act::Change(_) | Act::Delete => {
                create(world).await;
                settled(world).await
            }
        };
        let mark = world.mark();
        self.act(world).await;
        let after = match self.act {
            Act::Delete => {
                world.gone("web").await;
                world.aws_empty().await;
                picture(world, None)
            }
            Act::Create | Act::Change(_) => settled(world).await,
        };
        assert_ne!(before, after, "the story changes something");
        let writes = writes(&world.calls_since(mark));
        controller.stop().await;
        Rehearsed { before, after, writes }
    }

    /// Plays it, kills the controller when AWS has carried out exactly `k` writes, starts another one and waits for the end of
    /// the story. `false`: this time there were fewer writes.
    async fn killed_after(&self, k: usize, rehearsed: &Rehearsed) -> bool {
        let world = &fixture::case(&format!("crash-{}-{k}", self.name)).await;
        let controller = Controller::start(world, "killed", &alone_in(world));
        if !matches!(self.act, Act::Create) {
            create(world).await;
        }
        looks_like(world, &rehearsed.before, &format!("{} {k}: before", self.name)).await;
        let k_th = u64::try_from(k).expect("a number of writes");
        let silence = Fault::Hang(Duration::from_secs(60));
        world.emulator.faults().add(Rule { writes: true, from: Some(k_th + 1), ..Rule::on("*", silence) });
        world.emulator.faults().add(Rule { writes: true, nth: Some(k_th), ..Rule::on("*", Fault::DropAfter) });
        let mark = world.mark();
        self.act(world).await;
        let last = |entry: &landfall_localstack::Entry| entry.fault.as_deref() == Some("drop_after");
        let reached = world.emulator.journal().wait_for(mark, last, Duration::from_secs(15)).await.is_some();
        controller.kill().await;
        world.emulator.faults().clear();

        let controller = Controller::start(world, "restarted", &alone_in(world));
        let label = format!("{} {k}: after", self.name);
        looks_like(world, &rehearsed.after, &label).await;
        if let Act::Delete = self.act {
            world.gone("web").await;
            assert_eq!(world.leftovers(), Vec::<String>::new(), "{label}");
        } else {
            world.condition("web", "landfall/Ready", "Active").await;
            let events = world.events("web").await;
            assert!(events.iter().all(|event| event.0 != "DriftRepaired"), "{label}: {events:?}");
        }
        world.quiet(world.mark(), Duration::from_millis(300)).await;
        looks_like(world, &rehearsed.after, &label).await;
        controller.kill().await;
        reached
    }

    async fn act(&self, world: &World) {
        match &self.act {
            Act::Create => create(world).await,
            Act::Change(patch) => drop(world.patch("web", patch.clone()).await),
            Act::Delete => world.delete_service("web").await,
        }
    }
}

async fn create(world: &World) {
    world.create_service("web", "{ports: [{name: http, port: 80}, {name: https, port: 443}], selector: {app: web}}").await;
}

/// Only its own namespace: this is about many controllers, each with a Service.
fn alone_in(world: &World) -> Vec<&str> {
    [ALONE, &["--watch-namespace", &world.namespace]].concat()
}

async fn service(world: &World) -> Option<Service> {
    world.services().get_opt("web").await.expect("an answer")
}

/// Waits until the published host name is that of the only load balancer and nothing more happens.
async fn settled(world: &World) -> Vec<String> {
    wait::until("one load balancer, published, and quiet", async || {
        world.quiet(world.mark(), Duration::from_secs(1)).await;
        let found: Vec<_> = world.region().load_balancers().into_iter().map(|lb| lb.dns_name.to_lowercase()).collect();
        let published = service(world).await.as_ref().and_then(host_name);
        if found.len() == 1 && found.first() == published.as_ref() { Ok(()) } else { Err((found, published)) }
    })
    .await;
    picture(world, service(world).await.as_ref())
}

async fn looks_like(world: &World, expected: &[String], label: &str) {
    wait::until(label, async || {
        let now = picture(world, service(world).await.as_ref());
        if now == expected { Ok(()) } else { Err(difference(expected, &now)) }
    })
    .await;
}

/// Lines that only one of the two has.
fn difference(expected: &[String], found: &[String]) -> Vec<String> {
    let missing = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("missing: {line}"));
    let surplus = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("too much: {line}"));
    missing.chain(surplus).collect()
}
