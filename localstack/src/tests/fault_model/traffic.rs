//! What connections meet, with real sockets on loopback addresses.

use std::time::Duration;

use crate::Durations;
use crate::region::TargetHealth;
use crate::tests::traffic::{Bench, ask, serve, until};

#[tokio::test]
async fn f08_a_deregistered_target_still_gets_connections() {
    let bench = Bench::new(60).await;
    let seconds = Duration::from_secs;
    bench.emulator.set_durations(Durations { deregistration_propagation: seconds(150), ..Durations::instant() });
    let (_, group) = bench.load_balancer();
    let (one, two) = (bench.node(1, 9000), bench.node(1, 9001));
    let (_one, _two) = (serve(one, "one").await, serve(two, "two").await);
    bench.change("RegisterTargets", &group, one);
    until("it answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
    bench.change("DeregisterTargets", &group, one);
    assert!(bench.states(&group).is_empty(), "its deregistration delay is 0, so the API shows it no more");
    bench.change("RegisterTargets", &group, two);
    until("the other is healthy", async || bench.states(&group) == ["healthy"]).await;
    until("both get connections", async || ask(bench.address(0)).await.as_deref() == Some("two")).await;
    until("the one that is gone too", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
    bench.emulator.clock().advance(seconds(151));
    // The data plane follows the clock at its next look, which this is the occasion for.
    assert_eq!(bench.states(&group), ["healthy"]);
    until("ten in a row go to the other", async || {
        for _ in 0..10 {
            if ask(bench.address(0)).await.as_deref() != Some("two") {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test]
async fn f09_a_switched_listener_still_forwards_to_the_group_before() {
    let bench = Bench::new(61).await;
    bench.emulator.set_durations(Durations { listener_switch: Duration::from_secs(75), ..Durations::instant() });
    let (_, old) = bench.load_balancer();
    let (one, two) = (bench.node(1, 9000), bench.node(1, 9001));
    let (_one, _two) = (serve(one, "one").await, serve(two, "two").await);
    bench.change("RegisterTargets", &old, one);
    until("it answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
    let new = bench.group("new");
    bench.change("RegisterTargets", &new, two);
    let listener = bench.region.listeners()[0].arn.clone();
    let switch = [
        ("ListenerArn", listener.as_str()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", new.as_str()),
    ];
    bench.call("ModifyListener", &switch);
    until("the new one is healthy", async || bench.states(&new) == ["healthy"]).await;
    assert_eq!(bench.states(&old), ["unused"]);
    for _ in 0..10 {
        assert_eq!(ask(bench.address(0)).await.as_deref(), Some("one"));
    }
    bench.emulator.clock().advance(Duration::from_secs(76));
    assert_eq!(bench.states(&new), ["healthy"]);
    until("the switch arrives", async || ask(bench.address(0)).await.as_deref() == Some("two")).await;
}

#[tokio::test]
async fn f10_without_a_healthy_target_it_fails_open_and_names_every_zone() {
    let bench = Bench::new(62).await;
    let (_, group) = bench.load_balancer();
    let one = bench.node(1, 9000);
    let _one = serve(one, "one").await;
    bench.change("RegisterTargets", &group, one);
    until("healthy", async || bench.states(&group) == ["healthy"]).await;
    assert_eq!(bench.names().unwrap().len(), 1, "the zone without a healthy target is withdrawn");
    bench.region.set_target_health(&group, &one.ip().to_string(), one.port(), TargetHealth::Unhealthy).unwrap();
    assert_eq!(bench.names().unwrap().len(), 2);
    assert_eq!(bench.states(&group), ["unhealthy"]);
    until("it still answers", async || ask(bench.address(0)).await.as_deref() == Some("one")).await;
}
