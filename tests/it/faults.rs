//! Every way in which a single AWS call can go wrong, at each write of a create in turn, without a restart: the Service gets
//! what it asked for, once, and its status does not flap. And throttling that lasts.

use std::time::Duration;

use futures::{StreamExt, stream};
use landfall_localstack::{Fault, Rule};
use libtest_mimic::Trial;

use crate::support::controller::Controller;
use crate::support::fixture;
use crate::support::picture::picture;
use crate::support::wait;
use crate::support::world::{World, writes};

pub fn trials() -> Vec<Trial> {
    crate::trials!("faults":
        any_fault_at_any_write_of_create_is_overcome,
        a_call_that_hangs_is_given_up_and_made_again,
        ten_seconds_of_throttling_are_waited_out,
    )
}

const TWO_PORTS: &str = "{ports: [{name: http, port: 80}, {name: https, port: 443}], selector: {app: web}}";

/// What goes wrong, and with how many writes in a row: the SDK gives a call up after four attempts.
fn kinds() -> Vec<(&'static str, Fault, u64)> {
    let (code, message) = ("InternalFailure".to_owned(), "said the test".to_owned());
    let error = || Fault::Error { code: code.clone(), status: 500, message: message.clone() };
    let error_after = || Fault::ErrorAfter { code: code.clone(), status: 500, message: message.clone() };
    vec![
        ("error", error(), 1),
        ("errors", error(), 5),
        ("error-after", error_after(), 1),
        ("errors-after", error_after(), 5),
        ("drop-before", Fault::DropBefore, 1),
        ("drop-after", Fault::DropAfter, 1),
        ("drops-after", Fault::DropAfter, 5),
        ("throttle", Fault::Throttle, 1),
        ("html", Fault::Html500, 1),
    ]
}

async fn any_fault_at_any_write_of_create_is_overcome(world: World) {
    let controller = Controller::start(&world, "rehearsal", &["--leader-elect=false"]);
    let nothing = picture(&world, None);
    world.create_service("web", TWO_PORTS).await;
    world.host_name("web").await;
    let points = writes(&world.quiet(0, Duration::from_secs(1)).await).len();
    let service = world.services().get("web").await.unwrap();
    let expected = picture(&world, Some(&service));
    controller.stop().await;

    let expected = (nothing.as_slice(), expected.as_slice());
    let kinds = kinds();
    let number = kinds.len();
    stream::iter(kinds)
        .map(|(kind, fault, times)| at_every_write(kind, fault, times, points, expected))
        .buffer_unordered(number)
        .collect::<()>()
        .await;
    println!("faults: {number} kinds at each of {points} writes");
}

/// One controller; for each write a Service of its own, which goes before the next one comes.
async fn at_every_write(kind: &str, fault: Fault, times: u64, points: usize, (nothing, expected): (&[String], &[String])) {
    let world = fixture::case(&format!("fault-{kind}")).await;
    let controller = Controller::start(&world, "a", &["--leader-elect=false", "--watch-namespace", &world.namespace]);
    for k in 1..=points {
        let (name, label) = (&format!("web-{k}"), &format!("{kind} at write {k}"));
        let from = Some(u64::try_from(k).expect("a number of writes"));
        let mark = world.mark();
        world.emulator.faults().add(Rule { writes: true, from, times: Some(times), ..Rule::on("*", fault.clone()) });
        world.create_service(name, TWO_PORTS).await;
        wait::until(label, async || {
            let service = world.services().get(name).await.expect("the Service");
            let now = picture(&world, Some(&service));
            if now == expected { Ok(()) } else { Err(now) }
        })
        .await;
        world.condition(name, "landfall/Ready", "Active").await;
        world.event(name, "Active").await;
        let calls = world.quiet(mark, Duration::from_millis(300)).await;
        let service = world.services().get(name).await.unwrap();
        assert_eq!(picture(&world, Some(&service)), expected, "{label}: it stays so");
        assert!(calls.iter().any(|call| call.fault.is_some()), "{label}: the fault was met");
        assert!(calls.len() < 80, "{label}: {} calls", calls.len());
        let events = world.events(name).await;
        let told = |reason: &str| events.iter().filter(|event| event.0 == reason).map(|event| event.1).sum::<i32>();
        assert_eq!(told("Active"), 1, "{label}: {events:?}");
        assert!(events.iter().all(|event| told(&event.0) == 1) && events.len() <= 3, "{label}: {events:?}");
        assert_eq!(told("DriftRepaired"), 0, "{label}: {events:?}");

        world.emulator.faults().clear();
        world.delete_service(name).await;
        world.gone(name).await;
        assert_eq!(picture(&world, None), nothing, "{label}: nothing is left");
    }
    controller.stop().await;
}

async fn a_call_that_hangs_is_given_up_and_made_again(world: World) {
    let controller = Controller::start(&world, "a", &["--leader-elect=false"]);
    // An attempt is given up after ten seconds.
    let silence = Fault::Hang(Duration::from_secs(25));
    world.emulator.faults().add(Rule { nth: Some(1), ..Rule::on("CreateLoadBalancer", silence) });
    world.create_service("web", TWO_PORTS).await;
    let start = tokio::time::Instant::now();
    world.host_name("web").await;
    assert!(start.elapsed() > Duration::from_secs(9), "it hung: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20), "nobody waited for the answer: {:?}", start.elapsed());
    assert_eq!(world.region().load_balancers().len(), 1);
    world.delete_service("web").await;
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn ten_seconds_of_throttling_are_waited_out(world: World) {
    let controller = Controller::start(&world, "a", &["--leader-elect=false"]);
    world.create_service("first", TWO_PORTS).await;
    world.host_name("first").await;
    world.quiet(0, Duration::from_secs(1)).await;
    let mark = world.mark();
    let throttling = world.emulator.faults().add(Rule::on("*", Fault::Throttle));
    for name in ["a", "b", "c", "d", "e"] {
        world.create_service(name, TWO_PORTS).await;
    }
    world.delete_service("first").await;
    // The point is how much is asked for in a given time.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let refused = world.calls_since(mark);
    assert!(!refused.is_empty() && refused.iter().all(|call| call.fault.as_deref() == Some("throttle")));
    println!("faults: {} calls in ten seconds in which AWS throttled every one", refused.len());
    assert!(refused.len() < 120, "six Services are no reason for {} calls", refused.len());
    world.emulator.faults().remove(throttling);
    let start = tokio::time::Instant::now();
    for name in ["a", "b", "c", "d", "e"] {
        world.host_name(name).await;
        let events = world.events(name).await;
        assert!(events.iter().all(|event| event.1 == 1) && events.len() <= 3, "{events:?}");
        world.delete_service(name).await;
    }
    assert!(start.elapsed() < Duration::from_secs(30), "back after {:?}", start.elapsed());
    for name in ["first", "a", "b", "c", "d", "e"] {
        world.gone(name).await;
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}
