use super::*;
use crate::aws::test_server;

fn group(name: &str) -> TargetGroupRef {
    TargetGroupRef::Existing { name: name.to_owned(), id: name.into() }
}

fn register(name: &str) -> Action {
    Action::RegisterTargets { target_group: group(name), targets: BTreeSet::new() }
}

fn deregister(name: &str) -> Action {
    Action::DeregisterTargets { target_group: group(name), targets: BTreeSet::new() }
}

fn failed(action: Action, class: Class) -> Outcome {
    let error = test_server::error("elasticloadbalancing:RegisterTargets", "SaidTheTest", class);
    let failure = Failure { step: Step { wave: 0, action, reason: String::new() }, error };
    Outcome { failures: vec![failure], ..Outcome::default() }
}

#[test]
fn dead_targets_go_unless_their_own_group_failed_for_another_reason_than_a_quota() {
    let full = failed(register("a"), Class::Quota);
    assert!(!is_blocked(&deregister("a"), &full), "nobody else makes room");
    assert!(is_blocked(&register("b"), &full));
    for class in [Class::Transient, Class::Permission, Class::Throttled] {
        let outcome = failed(register("a"), class);
        assert!(is_blocked(&deregister("a"), &outcome), "{class}: what takes their place may be missing");
        assert!(!is_blocked(&deregister("b"), &outcome), "{class}: another group");
    }
}
