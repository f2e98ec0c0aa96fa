//! The emulator's one clock: real time plus an offset that tests move forward.
//!
//! Everything AWS does "after a while" (provisioning, draining, lingering interfaces) is due at an instant of this clock, so moving it
//! makes minutes pass at once. Imports nothing of the crate; [`crate::durations`] says how long things take, `model/timers.rs` when they are due.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// A clock that follows real time and can be moved forward. Clones share the same offset.
#[derive(Clone, Debug)]
pub struct Clock {
    offset: Arc<watch::Sender<SignedDuration>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { offset: Arc::new(watch::Sender::new(SignedDuration::ZERO)) }
    }

    /// The emulator's present: real time plus every [`Clock::advance`] so far.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        later(Timestamp::now(), self.offset())
    }

    /// How far the emulator's present is ahead of real time.
    #[must_use]
    pub fn offset(&self) -> SignedDuration {
        *self.offset.borrow()
    }

    /// Lets `by` pass at once. Whatever falls due in it has happened for every call answered from now on; waiters wake immediately.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.offset.send_modify(|offset| *offset = offset.saturating_add(by));
    }

    /// Completes once the clock shows `when` or later, by time passing or by [`Clock::advance`].
    pub(crate) async fn sleep_until(&self, when: Timestamp) {
        let mut moved = self.offset.subscribe();
        loop {
            let now = later(Timestamp::now(), *moved.borrow_and_update());
            let Ok(left) = Duration::try_from(now.duration_until(when)) else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                // The sender lives as long as `self`, so this only ever reports a move.
                _ = moved.changed() => {}
            }
        }
    }
}

/// `time` moved by `by`, held at the end of representable time instead of failing.
pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// `time` plus an unsigned duration, held at the end of representable time.
pub(crate) fn after(time: Timestamp, by: Duration) -> Timestamp {
    later(time, SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn advancing_wakes_a_sleeper_at_once() {
        let clock = Clock::new();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            let when = after(clock.now(), Duration::from_secs(3600));
            async move { clock.sleep_until(when).await }
        });
        clock.advance(Duration::from_secs(1800));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1800));
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
    }

    #[test]
    fn advancing_for_ever_does_not_overflow() {
        let clock = Clock::new();
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
