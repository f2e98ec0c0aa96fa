//! Event sequences as kube's watcher produces them, and what must come out.

use futures::channel::mpsc;
use k8s_openapi::api::core::v1::{ConfigMap, NodeCondition, NodeSystemInfo, Taint};
use kube::core::ObjectMeta;
use kube::runtime::reflector::ObjectRef;

use super::*;

fn object(name: &str, uid: &str, version: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some("ns".into()),
            name: Some(name.into()),
            uid: Some(uid.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

/// `name:version` before and after, `-` for nothing.
fn show(change: &Change<ConfigMap>) -> String {
    let side = |object: &Option<Arc<ConfigMap>>| {
        object.as_ref().map_or("-".to_owned(), |o| format!("{}:{}", o.name_any(), o.metadata.resource_version.as_ref().unwrap()))
    };
    format!("{} > {}", side(&change.before), side(&change.after))
}

fn run(fan_out: &mut FanOut<ConfigMap>, events: &[Event<ConfigMap>]) -> Vec<String> {
    events.iter().flat_map(|event| fan_out.apply(event)).map(|change| show(&change)).collect()
}

#[test]
fn a_first_list_is_all_new_and_comes_out_when_complete() {
    let mut fan_out = FanOut::new();
    let list = [Event::Init, Event::InitApply(object("b", "2", "11")), Event::InitApply(object("a", "1", "10"))];
    assert!(run(&mut fan_out, &list).is_empty());
    assert_eq!(run(&mut fan_out, &[Event::InitDone]), ["- > a:10", "- > b:11"]);
}

#[test]
fn live_events_carry_what_was_there_before() {
    let mut fan_out = FanOut::new();
    let events = [
        Event::Init,
        Event::InitDone,
        Event::Apply(object("a", "1", "10")),
        Event::Apply(object("a", "1", "12")),
        Event::Apply(object("a", "1", "12")),
        Event::Delete(object("a", "1", "13")),
        Event::Delete(object("never-seen", "9", "14")),
    ];
    assert_eq!(run(&mut fan_out, &events), ["- > a:10", "a:10 > a:12", "a:12 > -", "never-seen:14 > -"]);
    assert!(fan_out.store.is_empty());
}

#[test]
fn objects_that_vanished_during_an_interruption_are_reported_gone() {
    let mut fan_out = FanOut::new();
    let mut events = vec![Event::Init];
    events.extend(["a", "b", "c", "d"].map(|name| Event::InitApply(object(name, name, "10"))));
    events.push(Event::InitDone);
    run(&mut fan_out, &events);
    let again = [
        Event::Init,
        Event::InitApply(object("a", "a", "10")),
        Event::InitApply(object("c", "c", "20")),
        Event::InitApply(object("e", "e", "21")),
        Event::InitDone,
    ];
    assert_eq!(run(&mut fan_out, &again), ["c:10 > c:20", "- > e:21", "b:10 > -", "d:10 > -"]);
    assert_eq!(fan_out.store.len(), 3);
}

#[test]
fn a_list_that_breaks_off_changes_nothing_until_the_next_is_complete() {
    let mut fan_out = FanOut::new();
    run(&mut fan_out, &[Event::Init, Event::InitApply(object("a", "a", "10")), Event::InitDone]);
    let broken = [Event::Init, Event::InitApply(object("b", "b", "11")), Event::Init];
    assert!(run(&mut fan_out, &broken).is_empty());
    assert!(fan_out.store.get(&ObjectRef::new("a").within("ns")).is_some());
    assert!(!fan_out.listed);
    assert_eq!(run(&mut fan_out, &[Event::InitApply(object("a", "a", "10")), Event::InitDone]), [""; 0]);
}

#[test]
fn a_replaced_object_is_gone_and_new() {
    let mut fan_out = FanOut::new();
    run(&mut fan_out, &[Event::Init, Event::InitApply(object("a", "old", "10")), Event::InitDone]);
    let list = [Event::Init, Event::InitApply(object("a", "new", "20")), Event::InitDone];
    assert_eq!(run(&mut fan_out, &list), ["a:10 > -", "- > a:20"]);
    assert_eq!(run(&mut fan_out, &[Event::Apply(object("a", "newer", "30"))]), ["a:20 > -", "- > a:30"]);
}

type Sender = mpsc::UnboundedSender<watcher::Result<Event<ConfigMap>>>;

fn started() -> (Sender, Heartbeat, Store<ConfigMap>, BoxStream<'static, Change<ConfigMap>>) {
    let (sender, receiver) = mpsc::unbounded();
    let health = Heartbeat::new("ConfigMap", Duration::from_secs(30));
    let fan_out = FanOut::new();
    let store = fan_out.store.clone();
    (sender, health.clone(), store, changes(receiver, fan_out, health).boxed())
}

/// Polls the stream for `span` of paused time; nothing may come out.
async fn idle(stream: &mut BoxStream<'static, Change<ConfigMap>>, span: Duration) {
    assert!(tokio::time::timeout(span, stream.next()).await.is_err(), "an unexpected change");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_quiet_or_tries_again_lives_and_one_that_hangs_does_not() {
    let (sender, health, _, mut stream) = started();
    sender.unbounded_send(Ok(Event::Init)).unwrap();
    idle(&mut stream, Duration::from_secs(31)).await;
    assert!(!health.is_alive(), "a list that hangs");

    sender.unbounded_send(Ok(Event::InitDone)).unwrap();
    idle(&mut stream, Duration::from_secs(600)).await;
    assert!(health.is_alive(), "nothing to report is no failure");

    // The API server is away: an error each time, and no list.
    sender.unbounded_send(Ok(Event::Init)).unwrap();
    for _ in 0..30 {
        sender.unbounded_send(Err(watcher::Error::NoResourceVersion)).unwrap();
        idle(&mut stream, Duration::from_secs(20)).await;
        assert!(health.is_alive(), "it tries again");
    }
    idle(&mut stream, Duration::from_secs(31)).await;
    assert!(!health.is_alive(), "it hangs");
}

#[tokio::test(start_paused = true)]
async fn stores_are_ready_after_their_first_list() {
    let (sender, _, store, mut stream) = started();
    sender.unbounded_send(Ok(Event::Init)).unwrap();
    sender.unbounded_send(Ok(Event::InitApply(object("a", "1", "10")))).unwrap();
    let watch = Watch { store, changes: stream::pending().boxed() };
    let mut synced = watch.synced();
    idle(&mut stream, Duration::from_secs(1)).await;
    assert!((&mut synced).now_or_never().is_none());
    sender.unbounded_send(Ok(Event::InitDone)).unwrap();
    assert_eq!(show(&stream.next().await.unwrap()), "- > a:10");
    assert_eq!(ready([synced]).await, Ok(()));

    let (_, _, store, stream) = started();
    drop(stream);
    let watch = Watch { store, changes: stream::pending().boxed() };
    assert_eq!(ready([watch.synced()]).await, Err(Stopped));
}

#[test]
fn a_trimmed_node_keeps_what_decides_about_traffic() {
    let mut node = Node {
        metadata: ObjectMeta {
            name: Some("n".into()),
            labels: Some([("zone".to_owned(), "a".to_owned())].into()),
            annotations: Some([("csi.volume/x".to_owned(), "y".repeat(1000))].into()),
            managed_fields: Some(vec![Default::default()]),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: Some("aws:///us-west-2a/i-0".into()),
            taints: Some(vec![Taint { key: "k".into(), effect: "NoExecute".into(), ..Taint::default() }]),
            unschedulable: Some(true),
            pod_cidr: Some("10.0.0.0/24".into()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            conditions: Some(vec![NodeCondition { type_: "Ready".into(), status: "True".into(), ..Default::default() }]),
            images: Some(vec![Default::default(); 50]),
            node_info: Some(NodeSystemInfo::default()),
            ..NodeStatus::default()
        }),
    };
    trim_node(&mut node);
    let spec = node.spec.unwrap();
    assert_eq!(
        (spec.provider_id.as_deref(), spec.unschedulable, spec.pod_cidr),
        (Some("aws:///us-west-2a/i-0"), Some(true), None)
    );
    assert_eq!(spec.taints.unwrap().len(), 1);
    let status = node.status.unwrap();
    assert_eq!((status.conditions.unwrap().len(), status.images, status.node_info), (1, None, None));
    assert_eq!(node.metadata.labels.unwrap()["zone"], "a");
    assert!(node.metadata.annotations.is_none() && node.metadata.managed_fields.is_none_or(|fields| fields.is_empty()));
}
