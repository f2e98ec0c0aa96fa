//! The emulator's one clock: real time plus an offset that tests move forward, or a time that stands still until they move it.
//!
//! Everything AWS does "after a while" (provisioning, draining, lingering interfaces) is due at an instant of this clock, so moving it
//! makes minutes pass at once. Imports nothing of the crate; [`crate::durations`] says how long things take, `model/timers.rs` when they are due.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// A clock that follows real time or stands still, and can be moved forward. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    pace: Arc<watch::Sender<Pace>>,
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    /// Ahead of real time by so much.
    Running(SignedDuration),
    /// Standing still at this time.
    Frozen(Timestamp),
}

impl Pace {
    fn now(self) -> Timestamp {
        match self {
            Self::Running(offset) => later(Timestamp::now(), offset),
            Self::Frozen(at) => at,
        }
    }
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { pace: Arc::new(watch::Sender::new(Pace::Running(SignedDuration::ZERO))) }
    }

    /// The emulator's present: real time plus every [`Clock::advance`] so far, less the time it stood still.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.pace.borrow().now()
    }

    /// How far the emulator's present is ahead of real time; negative when it stood still for longer than it was moved.
    #[must_use]
    pub fn offset(&self) -> SignedDuration {
        match *self.pace.borrow() {
            Pace::Running(offset) => offset,
            Pace::Frozen(at) => at.duration_since(Timestamp::now()),
        }
    }

    /// Shows this time from now on, even an earlier one; one that stands still stands still there. Waiters look again.
    pub(crate) fn set(&self, now: Timestamp) {
        self.pace.send_modify(|pace| {
            *pace = match *pace {
                Pace::Running(_) => Pace::Running(now.duration_since(Timestamp::now())),
                Pace::Frozen(_) => Pace::Frozen(now),
            }
        });
    }

    /// Lets `by` pass at once. Whatever falls due in it has happened for every call answered from now on; waiters wake immediately.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.pace.send_modify(|pace| {
            *pace = match *pace {
                Pace::Running(offset) => Pace::Running(offset.saturating_add(by)),
                Pace::Frozen(at) => Pace::Frozen(later(at, by)),
            }
        });
    }

    /// Stops the clock: nothing falls due any more, no health check is made, until it is moved or runs again.
    pub fn freeze(&self) {
        self.pace.send_modify(|pace| *pace = Pace::Frozen(pace.now()));
    }

    /// Lets a clock that was stopped run on from where it is.
    pub fn run(&self) {
        self.pace.send_modify(|pace| {
            if let Pace::Frozen(at) = *pace {
                *pace = Pace::Running(at.duration_since(Timestamp::now()));
            }
        });
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        matches!(*self.pace.borrow(), Pace::Frozen(_))
    }

    /// Completes once the clock shows `when` or later, by time passing or by [`Clock::advance`].
    pub(crate) async fn sleep_until(&self, when: Timestamp) {
        let mut moved = self.pace.subscribe();
        loop {
            let pace = *moved.borrow_and_update();
            let Ok(left) = Duration::try_from(pace.now().duration_until(when)) else { return };
            if left.is_zero() {
                return;
            }
            let passed = async {
                match pace {
                    Pace::Running(_) => tokio::time::sleep(left).await,
                    Pace::Frozen(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => {}
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

    #[tokio::test]
    async fn a_frozen_clock_moves_by_hand_only() {
        let clock = Clock::new();
        clock.freeze();
        let before = clock.now();
        let sleeper = tokio::spawn({
            let (clock, when) = (clock.clone(), after(before, Duration::from_millis(1)));
            async move { clock.sleep_until(when).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(clock.is_frozen() && clock.now() == before && !sleeper.is_finished());
        clock.advance(Duration::from_millis(1));
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
        clock.run();
        assert!(clock.offset().is_negative());
        tokio::time::timeout(Duration::from_secs(5), clock.sleep_until(after(clock.now(), Duration::from_millis(1))))
            .await
            .unwrap();
    }

    #[test]
    fn advancing_for_ever_does_not_overflow() {
        let clock = Clock::new();
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
