use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::aws::test_server;
use crate::error::Class;

fn error(class: Class, retry_after: Option<Duration>) -> AwsError {
    AwsError { retry_after, ..test_server::error("elasticloadbalancing:DescribeListeners", "SaidTheTest", class) }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_the_throttle_holds_back_waits_for_its_turn_and_any_other_failure_is_an_answer() {
    let (start, turn) = (tokio::time::Instant::now(), Duration::from_secs(2));
    let calls = AtomicU32::new(0);
    let answer = patiently(async || match calls.fetch_add(1, Ordering::Relaxed) {
        0..3 => Err(error(Class::Throttled, Some(turn))),
        _ => Ok("listeners"),
    });
    assert_eq!(answer.await.unwrap(), "listeners");
    assert_eq!((calls.into_inner(), start.elapsed()), (4, turn * 3));
    for class in [Class::Throttled, Class::Transient, Class::Permission] {
        let calls = AtomicU32::new(0);
        let answer = patiently(async || {
            calls.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(error(class, None))
        });
        assert_eq!(answer.await.unwrap_err().class, class);
        assert_eq!(calls.into_inner(), 1);
    }
}
