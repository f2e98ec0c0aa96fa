use std::collections::BTreeMap;

use super::*;
use crate::firewall::Sources;

fn target(last: u8) -> PoolTarget {
    let address = SocketAddr::from(([10, 20, 1, last], 80));
    PoolTarget { address, local: address, admits: Sources::Any, healthy: true, draining: false, terminate: false }
}

fn pool(weight: u32, targets: impl IntoIterator<Item = u8>) -> Pool {
    Pool { weight, targets: targets.into_iter().map(target).collect(), ..Pool::default() }
}

/// The flows of `clients` clients from `ports` ports each.
fn flows(clients: u8, ports: u16) -> impl Iterator<Item = Flow> {
    let listener = SocketAddr::from(([10, 20, 128, 4], 443));
    let clients = (1..=clients).flat_map(move |last| (0..ports).map(move |port| ([192, 0, 2, last], 1024 + port)));
    clients.map(move |client| Flow { transport: Transport::Tcp, client: client.into(), listener })
}

fn counts(choice: &Choice, flows: impl Iterator<Item = Flow>) -> BTreeMap<Option<(usize, usize)>, u32> {
    let mut counts = BTreeMap::new();
    for flow in flows {
        assert_eq!(choice.of(&flow), choice.of(&flow));
        *counts.entry(choice.of(&flow)).or_default() += 1;
    }
    counts
}

#[test]
fn flows_are_balanced_and_a_change_moves_only_its_own() {
    let mut pools = [pool(1, 1..=4)];
    let before = Choice::new(&pools, false);
    let spread = counts(&before, flows(1, 4096));
    assert_eq!(spread.len(), 4);
    assert!(spread.values().all(|count| (900..1150).contains(count)), "{spread:?}");

    pools[0].targets[3].healthy = false;
    let after = Choice::new(&pools, false);
    for flow in flows(1, 4096) {
        match before.of(&flow) {
            Some((0, 3)) => assert_ne!(after.of(&flow), Some((0, 3))),
            kept => assert_eq!(after.of(&flow), kept),
        }
    }
    pools[0].targets.reverse();
    let reversed = Choice::new(&pools, false);
    for flow in flows(1, 100) {
        assert_eq!(reversed.of(&flow).map(|(_, place)| 3 - place), after.of(&flow).map(|(_, place)| place));
    }
}

#[test]
fn groups_get_flows_by_weight() {
    let choice = Choice::new(&[pool(30, [1]), pool(0, [2]), pool(10, [3])], false);
    let spread = counts(&choice, flows(4, 1000));
    assert_eq!(spread.len(), 2, "{spread:?}");
    assert!((2850..3150).contains(&spread[&Some((0, 0))]), "{spread:?}");
    assert_eq!(counts(&Choice::new(&[pool(0, [1])], false), flows(1, 1)), BTreeMap::from([(None, 1)]));
    // A group without targets keeps its share: it is not given to the others.
    let spread = counts(&Choice::new(&[pool(1, []), pool(1, [1])], false), flows(4, 1000));
    assert!((1850..2150).contains(&spread[&None]), "{spread:?}");
}

#[test]
fn a_sticky_client_keeps_its_target_and_its_group() {
    let sticky = |pool: Pool| Pool { sticky: true, ..pool };
    let choice = Choice::new(&[sticky(pool(1, 1..=4)), sticky(pool(1, 5..=8))], true);
    let mut used = BTreeMap::<_, u32>::new();
    for flow in flows(200, 1) {
        let same = flows(200, 20).filter(|other| other.client.ip() == flow.client.ip());
        let chosen = counts(&choice, same);
        assert_eq!(chosen.len(), 1, "{chosen:?}");
        *used.entry(choice.of(&flow)).or_default() += 1;
    }
    assert_eq!(used.len(), 8, "{used:?}");
    let flow = flows(1, 1).next().unwrap();
    let udp = Flow { transport: Transport::Udp, ..flow };
    assert_ne!(flow.hash(true), udp.hash(true));
    assert_ne!(counts(&Choice::new(&[pool(1, 1..=4)], false), flows(1, 20)).len(), 1);
}

#[test]
fn too_few_healthy_targets_open_the_group() {
    let mut pools = [pool(1, 1..=4)];
    let of = |pools: &[Pool]| -> Vec<usize> {
        let chosen = counts(&Choice::new(pools, false), flows(1, 1000));
        chosen.into_keys().flatten().map(|(_, place)| place).collect()
    };
    pools[0].targets[0].healthy = false;
    assert_eq!(of(&pools), [1, 2, 3]);
    pools[0].minimum = Minimum { count: 4, percentage: 0 };
    assert_eq!(of(&pools), [0, 1, 2, 3]);
    pools[0].minimum = Minimum { count: 1, percentage: 75 };
    assert_eq!(of(&pools), [1, 2, 3]);
    pools[0].minimum = Minimum { count: 1, percentage: 76 };
    assert_eq!(of(&pools), [0, 1, 2, 3]);
    pools[0].minimum = Minimum::default();
    pools[0].targets.iter_mut().for_each(|target| target.healthy = false);
    assert_eq!(of(&pools), [0, 1, 2, 3], "fails open");
    pools[0].targets[0].draining = true;
    assert_eq!(of(&pools), [1, 2, 3], "a draining target gets nothing even then");
    pools[0].targets.iter_mut().for_each(|target| target.draining = true);
    assert!(of(&pools).is_empty());
}
