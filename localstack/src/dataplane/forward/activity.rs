//! When a flow last carried something, by the emulator's clock: moving that clock makes flows idle, too.
//!
//! Imports `clock`. No lock; a touch for each piece of data, not for each byte.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock, after};

#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    /// Milliseconds since the epoch.
    last: AtomicI64,
}

impl Activity {
    pub(super) fn new(clock: Clock) -> Self {
        let last = AtomicI64::new(clock.now().as_millisecond());
        Self { clock, last }
    }

    pub(super) fn touch(&self) {
        self.last.store(self.clock.now().as_millisecond(), Ordering::Relaxed);
    }

    /// Returns when nothing was carried for `limit`.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let last = Timestamp::from_millisecond(self.last.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX);
            let deadline = after(last, limit);
            if deadline <= self.clock.now() {
                return;
            }
            self.clock.sleep_until(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flow_is_idle_when_nothing_was_carried_for_the_time() {
        let (clock, limit) = (Clock::new(), Duration::from_secs(350));
        let activity = Activity::new(clock.clone());
        clock.advance(Duration::from_secs(300));
        activity.touch();
        clock.advance(Duration::from_secs(300));
        assert!(tokio::time::timeout(Duration::from_millis(20), activity.idle(limit)).await.is_err());
        let idle = tokio::spawn(async move { activity.idle(limit).await });
        clock.advance(Duration::from_secs(50));
        tokio::time::timeout(Duration::from_secs(5), idle).await.expect("idle").unwrap();
    }
}
