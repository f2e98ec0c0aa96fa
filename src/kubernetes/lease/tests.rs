//! Single decisions, and a simulation of candidates with clocks of different speed, slow calls and lost answers.

use proptest::prelude::*;

use super::*;
use crate::clock;

const TIMINGS: Timings = Timings {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

fn record(holder: Option<&str>, version: &str) -> LeaseRecord {
    LeaseRecord { holder: holder.map(Into::into), duration: TIMINGS.lease_duration, transitions: 3, version: version.into() }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_missing_lease_is_created_and_a_released_one_taken_at_once() {
    let start = clock::now();
    let mut me = Candidate::new("me", TIMINGS);
    assert_eq!(me.decide(start), Decision::Create);
    me.observe(Some(record(None, "7")), start);
    assert_eq!(me.decide(start), Decision::Acquire { transitions: 4 });
}

#[test]
fn another_holder_is_left_alone_until_its_record_has_not_changed_for_its_duration() {
    let start = clock::now();
    let mut me = Candidate::new("me", TIMINGS);
    me.observe(Some(record(Some("other"), "1")), start);
    assert_eq!(me.decide(start), Decision::Wait(seconds(2)));
    assert_eq!(me.decide(start + seconds(14)), Decision::Wait(seconds(1)), "and not a second longer than needed");

    me.observe(Some(record(Some("other"), "2")), start + seconds(14));
    me.observe(Some(record(Some("other"), "2")), start + seconds(20));
    assert_eq!(me.decide(start + seconds(28)), Decision::Wait(seconds(1)), "it was renewed at 14 s");
    assert_eq!(me.decide(start + seconds(29)), Decision::Acquire { transitions: 4 });
}

#[test]
fn the_holder_s_own_duration_counts() {
    let start = clock::now();
    let mut me = Candidate::new("me", TIMINGS);
    me.observe(Some(LeaseRecord { duration: seconds(60), ..record(Some("other"), "1") }), start);
    assert_eq!(me.decide(start + seconds(59)), Decision::Wait(seconds(1)));
    assert_eq!(me.decide(start + seconds(60)), Decision::Acquire { transitions: 4 });
}

#[test]
fn a_holder_renews_until_its_deadline_which_counts_from_when_it_began_to_write() {
    let start = clock::now();
    let mut me = Candidate::new("me", TIMINGS);
    me.wrote(record(Some("me"), "1"), start, start + seconds(4));
    assert_eq!(me.decide(start + seconds(9)), Decision::Renew);
    assert_eq!(me.decide(start + seconds(10)), Decision::Lost);
}

#[test]
fn a_holder_that_sees_another_in_its_place_has_lost() {
    let start = clock::now();
    for seen in [Some(record(Some("other"), "2")), Some(record(None, "2")), None] {
        let mut me = Candidate::new("me", TIMINGS);
        me.wrote(record(Some("me"), "1"), start, start);
        me.observe(seen.clone(), start + seconds(1));
        assert_eq!(me.decide(start + seconds(1)), Decision::Lost, "{seen:?}");
    }
}

#[test]
fn a_restart_under_the_same_name_takes_up_its_lease() {
    let start = clock::now();
    let mut me = Candidate::new("me", TIMINGS);
    me.observe(Some(record(Some("me"), "1")), start);
    assert_eq!(me.decide(start), Decision::Renew);
    assert_eq!(me.valid_until(), None, "but it is no leader before the renewal has succeeded");
}

/// The API server: one object, optimistic locking.
#[derive(Default)]
struct Server {
    lease: Option<LeaseRecord>,
    version: u64,
}

impl Server {
    fn write(&mut self, holder: Option<&str>, against: Option<&str>, transitions: i32) -> Option<LeaseRecord> {
        if self.lease.as_ref().map(|lease| lease.version.as_str()) != against {
            return None;
        }
        self.version += 1;
        let record = LeaseRecord { transitions, ..self::record(holder, &self.version.to_string()) };
        self.lease = Some(record.clone());
        Some(record)
    }
}

/// A call under way: what was decided, when it was sent, and the answer once the server has worked on it.
struct Call {
    decision: Decision,
    against: Option<String>,
    sent: Instant,
    answer: Option<Option<LeaseRecord>>,
}

struct Node {
    candidate: Candidate,
    /// Local time = `offset` + global time × `rate` / 100.
    rate: u64,
    offset: Duration,
    call: Option<Call>,
}

impl Node {
    fn local(&self, epoch: Instant, global_millis: u64) -> Instant {
        epoch + self.offset + Duration::from_millis(global_millis * self.rate / 100)
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Reads the lease, decides, and sends the write.
    Start(usize),
    /// The server works on the write.
    Arrive(usize),
    /// The answer gets through, or is lost.
    Answer(usize, bool),
    /// Hands the lease back, as a clean shutdown does.
    Release(usize),
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..2_usize).prop_map(Op::Start),
        4 => (0..2_usize).prop_map(Op::Arrive),
        4 => (0..2_usize, any::<bool>()).prop_map(|(node, lost)| Op::Answer(node, lost)),
        1 => (0..2_usize).prop_map(Op::Release),
        4 => (0..6000_u64).prop_map(Op::Advance),
    ]
}

/// Runs the simulation; returns how often a node became leader.
fn simulate(ops: Vec<Op>, rates: [u64; 2], offsets: [u64; 2]) -> Result<usize, TestCaseError> {
    let epoch = clock::now();
    let (mut server, mut global, mut leaders) = (Server::default(), 0_u64, 0);
    let names = ["left", "right"];
    let mut nodes: Vec<Node> = (0..2)
        .map(|n| Node {
            candidate: Candidate::new(names[n], TIMINGS),
            rate: rates[n],
            offset: Duration::from_millis(offsets[n]),
            call: None,
        })
        .collect();
    for op in ops {
        match op {
            Op::Advance(millis) => global += millis,
            Op::Start(n) if nodes[n].call.is_none() => {
                let node = &mut nodes[n];
                let now = node.local(epoch, global);
                node.candidate.observe(server.lease.clone(), now);
                let decision = node.candidate.decide(now);
                let against = node.candidate.record().map(|record| record.version.clone());
                match decision {
                    // A process that has lost ends, and comes back with nothing in its memory but its name.
                    Decision::Lost => node.candidate = Candidate::new(names[n], TIMINGS),
                    Decision::Wait(_) => {}
                    decision => node.call = Some(Call { decision, against, sent: now, answer: None }),
                }
            }
            Op::Arrive(n) => {
                if let Some(Call { decision, against, answer: answer @ None, .. }) = &mut nodes[n].call {
                    let transitions = match decision {
                        Decision::Acquire { transitions } => *transitions,
                        _ => server.lease.as_ref().map_or(0, |lease| lease.transitions),
                    };
                    *answer = Some(server.write(Some(names[n]), against.as_deref(), transitions));
                }
            }
            Op::Answer(n, lost) => {
                let node = &mut nodes[n];
                let now = node.local(epoch, global);
                if let Some(Call { answer: Some(answer), sent, .. }) = &node.call {
                    if let (Some(record), false) = (answer.clone(), lost) {
                        leaders += usize::from(node.candidate.valid_until().is_none());
                        node.candidate.wrote(record, *sent, now);
                    }
                    node.call = None;
                }
            }
            Op::Release(n) if nodes[n].call.is_none() => {
                let against = nodes[n].candidate.record().map(|record| record.version.clone());
                if nodes[n].candidate.valid_until().is_some() {
                    // It stops first, then hands back.
                    nodes[n].candidate = Candidate::new(names[n], TIMINGS);
                    server.write(None, against.as_deref(), 0);
                }
            }
            Op::Start(_) | Op::Release(_) => {}
        }
        let believes = |node: &&Node| node.candidate.valid_until().is_some_and(|until| node.local(epoch, global) < until);
        let valid = nodes.iter().filter(believes).count();
        prop_assert!(valid <= 1, "two leaders at {global} ms");
    }
    Ok(leaders)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Whatever is delayed or lost, and with clocks that differ by any offset and by up to a fifth in speed, no two
    /// candidates believe that they lead.
    #[test]
    fn never_two_leaders(
        ops in proptest::collection::vec(op(), 1..200),
        rates in [90..=110_u64, 90..=110_u64],
        offsets in [0..10_000_000_u64, 0..10_000_000_u64],
    ) {
        simulate(ops, rates, offsets)?;
    }
}

/// The property above means nothing if the simulation never gets anywhere.
#[test]
fn the_simulation_elects_leaders_in_turn() {
    let turn = |n| [Op::Start(n), Op::Arrive(n), Op::Answer(n, false)];
    let mut ops = Vec::from(turn(0));
    ops.extend(turn(1));
    ops.push(Op::Advance(16_000));
    ops.extend(turn(1));
    assert_eq!(simulate(ops, [100, 100], [0, 5000]).unwrap(), 2);
}

/// And it must be able to fail: with a clock more than half as fast again, the guarantee is gone.
#[test]
fn the_simulation_notices_two_leaders() {
    let turn = |n| [Op::Start(n), Op::Arrive(n), Op::Answer(n, false)];
    let mut ops = Vec::from(turn(0));
    ops.push(Op::Start(1));
    ops.push(Op::Advance(9_000));
    ops.extend(turn(1));
    assert!(simulate(ops, [100, 200], [0, 0]).is_err());
}
