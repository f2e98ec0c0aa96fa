//! The queue on a paused clock: a run is (key, milliseconds since the start).

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::*;

type Runs = Arc<Mutex<Vec<(&'static str, u64)>>>;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A running queue whose work notes its start, takes `duration`, and answers what `outcomes` says next (else `Done`).
fn start(
    concurrency: usize,
    duration: Duration,
    outcomes: Vec<Requeue>,
) -> (QueueHandle<&'static str>, Runs, CancellationToken, JoinHandle<()>) {
    let queue = Queue::new(concurrency);
    let (handle, runs, shutdown) = (queue.handle(), Runs::default(), CancellationToken::new());
    let outcomes = Arc::new(Mutex::new(outcomes.into_iter()));
    let begin = clock::now();
    let work = {
        let runs = runs.clone();
        move |key| {
            let (runs, outcomes) = (runs.clone(), outcomes.clone());
            async move {
                runs.lock().unwrap().push((key, (clock::now() - begin).as_millis() as u64));
                tokio::time::sleep(duration).await;
                outcomes.lock().unwrap().next().unwrap_or(Requeue::Done)
            }
        }
    };
    let task = tokio::spawn(queue.run(shutdown.clone(), work));
    (handle, runs, shutdown, task)
}

fn seen(runs: &Runs) -> Vec<(&'static str, u64)> {
    runs.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_run_a_tenth_of_a_second_after_its_first_change() {
    let (queue, runs, _shutdown, _task) = start(4, millis(1), vec![]);
    for _ in 0..9 {
        queue.enqueue("a");
        tokio::time::sleep(millis(10)).await;
    }
    queue.enqueue("b");
    tokio::time::sleep(millis(1000)).await;
    assert_eq!(seen(&runs), [("a", 100), ("b", 190)]);
    assert!(queue.shared.schedule().keys.is_empty(), "nothing is remembered of keys that are done");
}

#[tokio::test(start_paused = true)]
async fn changes_during_a_run_lead_to_one_more_run_after_it() {
    let (queue, runs, _shutdown, _task) = start(4, millis(500), vec![]);
    queue.enqueue("a");
    tokio::time::sleep(millis(200)).await;
    for _ in 0..3 {
        queue.enqueue("a");
    }
    assert_eq!(queue.depth(), 0, "not due before the debounce time");
    tokio::time::sleep(millis(150)).await;
    assert_eq!(queue.depth(), 1);
    tokio::time::sleep(millis(5000)).await;
    assert_eq!(seen(&runs), [("a", 100), ("a", 600)]);
}

#[tokio::test(start_paused = true)]
async fn keys_run_side_by_side_up_to_the_limit() {
    let (queue, runs, _shutdown, _task) = start(2, millis(100), vec![]);
    for key in ["a", "b", "c"] {
        queue.enqueue(key);
    }
    tokio::time::sleep(millis(150)).await;
    assert_eq!(queue.depth(), 1);
    tokio::time::sleep(millis(1000)).await;
    assert_eq!(seen(&runs), [("a", 100), ("b", 100), ("c", 200)]);
}

#[tokio::test(start_paused = true)]
async fn after_runs_again_unless_something_comes_first() {
    let (queue, runs, _shutdown, _task) = start(1, millis(0), vec![Requeue::After(millis(5000)), Requeue::Done]);
    queue.enqueue("a");
    tokio::time::sleep(millis(10_000)).await;
    assert_eq!(seen(&runs), [("a", 100), ("a", 5100)]);

    queue.enqueue_after("b", millis(4000));
    queue.enqueue_after("b", millis(9000));
    queue.enqueue_after("b", millis(2000));
    tokio::time::sleep(millis(20_000)).await;
    assert_eq!(seen(&runs).split_off(2), [("b", 12_000)], "the earliest wish wins, and one run fulfils all");
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_exponentially_and_success_forgets_them() {
    let outcomes = [vec![Requeue::Backoff; 14], vec![Requeue::Done, Requeue::Backoff]].concat();
    let (queue, runs, _shutdown, _task) = start(1, millis(0), outcomes);
    queue.enqueue("a");
    tokio::time::sleep(millis(3_600_000)).await;
    let times: Vec<u64> = seen(&runs).iter().map(|(_, at)| *at).collect();
    assert_eq!(times.len(), 15, "the 15th run succeeded");
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (n, gap) in gaps.iter().enumerate() {
        let base = (500_u64 << n.min(20)).min(150_000);
        // tokio's timer rounds up to the next millisecond.
        assert!((base..=2 * base + 1).contains(gap), "gap {n} is {gap} ms, base {base} ms");
    }

    queue.enqueue("a");
    tokio::time::sleep(millis(5000)).await;
    let times: Vec<u64> = seen(&runs).iter().map(|(_, at)| *at).collect();
    assert_eq!(times.len(), 17);
    assert!((500..=1001).contains(&(times[16] - times[15])), "the first delay again: {}", times[16] - times[15]);
}

#[tokio::test(start_paused = true)]
async fn a_change_cuts_a_back_off_short_without_forgetting_it() {
    let (queue, runs, _shutdown, _task) = start(1, millis(0), vec![Requeue::Backoff; 9]);
    queue.enqueue("a");
    tokio::time::sleep(millis(60_000)).await;
    let before = seen(&runs).len();
    queue.enqueue("a");
    tokio::time::sleep(millis(101)).await;
    assert_eq!(seen(&runs).len(), before + 1);
    tokio::time::sleep(millis(10_000)).await;
    assert_eq!(seen(&runs).len(), before + 1, "the next delay goes on growing");
}

#[tokio::test(start_paused = true)]
async fn shutdown_starts_nothing_more_and_waits_for_what_runs() {
    let (queue, runs, shutdown, task) = start(1, millis(700), vec![]);
    queue.enqueue("a");
    queue.enqueue("b");
    tokio::time::sleep(millis(150)).await;
    shutdown.cancel();
    let begin = clock::now();
    task.await.unwrap();
    assert_eq!((clock::now() - begin).as_millis(), 650);
    assert_eq!(seen(&runs), [("a", 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_its_key_alone() {
    let queue = Queue::new(2);
    let (handle, runs) = (queue.handle(), Runs::default());
    let work = {
        let runs = runs.clone();
        move |key: &'static str| {
            let runs = runs.clone();
            async move {
                runs.lock().unwrap().push((key, 0));
                assert!(key != "bad" || runs.lock().unwrap().iter().filter(|(key, _)| *key == "bad").count() > 1, "first time");
                Requeue::Done
            }
        }
    };
    tokio::spawn(queue.run(CancellationToken::new(), work));
    handle.enqueue("bad");
    handle.enqueue("good");
    tokio::time::sleep(millis(3000)).await;
    let mut keys: Vec<_> = seen(&runs).into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["bad", "bad", "good"]);
}

/// What happens to the queue from outside.
#[derive(Clone, Debug)]
enum Op {
    Enqueue(usize),
    EnqueueAfter(usize, u64),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..4_usize).prop_map(Op::Enqueue),
        (0..4_usize, 0..3000_u64).prop_map(|(key, delay)| Op::EnqueueAfter(key, delay)),
        (0..400_u64).prop_map(Op::Wait),
    ]
}

proptest! {
    /// For every wish of a run there is a run that starts afterwards, and no key runs twice at once.
    #[test]
    fn no_wake_up_is_lost(
        ops in proptest::collection::vec(op(), 1..60),
        concurrency in 1..4_usize,
        duration in 0..300_u64,
        outcomes in proptest::collection::vec(0..3_u8, 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let outcome = runtime.block_on(async {
            let queue = Queue::new(concurrency);
            let handle = queue.handle();
            let starts: Arc<Mutex<BTreeMap<usize, Instant>>> = Arc::default();
            let running: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
            let overlap = Arc::new(Mutex::new(false));
            let outcomes = Arc::new(Mutex::new(outcomes.into_iter()));
            let work = {
                let (starts, running, overlap) = (starts.clone(), running.clone(), overlap.clone());
                move |key: usize| {
                    let (starts, running, overlap, outcomes) = (starts.clone(), running.clone(), overlap.clone(), outcomes.clone());
                    async move {
                        *overlap.lock().unwrap() |= !running.lock().unwrap().insert(key) || running.lock().unwrap().len() > concurrency;
                        starts.lock().unwrap().insert(key, clock::now());
                        tokio::time::sleep(millis(duration)).await;
                        running.lock().unwrap().remove(&key);
                        match outcomes.lock().unwrap().next() {
                            Some(1) => Requeue::Backoff,
                            Some(2) => Requeue::After(millis(200)),
                            _ => Requeue::Done,
                        }
                    }
                }
            };
            let shutdown = CancellationToken::new();
            let task = tokio::spawn(queue.run(shutdown.clone(), work));
            let mut wishes: BTreeMap<usize, Instant> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Enqueue(key) => {
                        wishes.insert(key, clock::now());
                        handle.enqueue(key);
                    }
                    Op::EnqueueAfter(key, delay) => {
                        wishes.insert(key, clock::now());
                        handle.enqueue_after(key, millis(delay));
                    }
                    Op::Wait(span) => tokio::time::sleep(millis(span)).await,
                }
            }
            // Long enough for every delay, back-off and run that is outstanding.
            tokio::time::sleep(millis(3_600_000)).await;
            let left = handle.shared.schedule().keys.len();
            shutdown.cancel();
            task.await.unwrap();
            let starts = starts.lock().unwrap().clone();
            let lost: Vec<_> = wishes.into_iter().filter(|(key, at)| starts.get(key).is_none_or(|start| start < at)).collect();
            let overlap = *overlap.lock().unwrap();
            (lost, overlap, left)
        });
        prop_assert!(outcome.0.is_empty(), "wishes without a run: {:?}", outcome.0);
        prop_assert!(!outcome.1, "a key ran twice at once, or too many ran");
        prop_assert_eq!(outcome.2, 0, "keys still remembered");
    }
}
