//! How fast we call AWS: a token bucket for each operation that learns from AWS's answers.
//!
//! AWS keeps such buckets per account and region, shared by every client in the account, and does not show them. So each of
//! ours starts at the published (or a cautious) rate, halves on a throttle answer and grows back by small steps. Imports
//! `clock`; `call.rs` asks it before each call, `attempts.rs` tells it each answer, `operation.rs` has the initial rates.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::operation::{Operation, Pace};
use crate::clock::{self, Instant};

/// Who waits for the call, and so how long it may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A write: held back 200 ms at most, else the run is over and comes back when there is a token.
    Write,
    /// A read on behalf of a Service that somebody waits for: 2 s at most.
    Read,
    /// A read of a sweep: nobody waits. 10 s at most (to give up half-way costs more calls), and it leaves a quarter of the
    /// burst to the others.
    Sweep,
}

impl Priority {
    fn patience(self) -> Duration {
        match self {
            Self::Write => Duration::from_millis(200),
            Self::Read => Duration::from_secs(2),
            Self::Sweep => Duration::from_secs(10),
        }
    }

    /// Share of the burst that is not for it.
    fn reserve(self) -> f64 {
        match self {
            Self::Write | Self::Read => 0.0,
            Self::Sweep => 0.25,
        }
    }
}

/// Slowest rate that throttle answers can bring about, per second.
const FLOOR: f64 = 0.5;
/// Fastest rate that successes can bring about, as a multiple of the initial one.
const CEILING: f64 = 2.0;
/// What one success adds to the rate, as a share of the initial one.
const STEP: f64 = 0.05;

/// The buckets of one account and region.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: Mutex<BTreeMap<Operation, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    initial: Pace,
    /// Tokens that come back each second now.
    rate: f64,
    /// May be negative: tokens promised to calls that are waiting.
    tokens: f64,
    /// When `tokens` was right.
    at: Instant,
    /// When the rate was last halved. Answers to calls sent before say nothing new.
    halved: Option<Instant>,
}

impl Throttle {
    /// Takes a token, waiting for it if it comes soon enough for `priority`. Answers how long it waited.
    ///
    /// # Errors
    /// How long until there is a token, when that is too long to wait here. None is taken then.
    pub(super) async fn admit(&self, operation: Operation, priority: Priority) -> Result<Duration, Duration> {
        let wait = self.bucket(operation, |bucket| bucket.take(clock::now(), priority))?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(wait)
    }

    /// Learns from AWS's answer to an attempt sent at `sent`.
    pub(super) fn answered(&self, operation: Operation, sent: Instant, throttled: bool) {
        self.bucket(operation, |bucket| bucket.learn(clock::now(), sent, throttled));
    }

    fn bucket<T>(&self, operation: Operation, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        act(buckets.entry(operation).or_insert_with(|| Bucket::full(operation.pace(), clock::now())))
    }
}

impl Bucket {
    fn full(initial: Pace, now: Instant) -> Self {
        Self { initial, rate: initial.per_second, tokens: initial.burst, at: now, halved: None }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = elapsed.mul_add(self.rate, self.tokens).min(self.initial.burst);
        self.at = now;
    }

    /// Takes a token that is there after the answered wait, or answers how long that would be.
    fn take(&mut self, now: Instant, priority: Priority) -> Result<Duration, Duration> {
        self.refill(now);
        let missing = self.initial.burst.mul_add(priority.reserve(), 1.0) - self.tokens;
        let wait = Duration::from_secs_f64((missing / self.rate).max(0.0));
        if wait > priority.patience() {
            return Err(wait);
        }
        self.tokens -= 1.0;
        Ok(wait)
    }

    fn learn(&mut self, now: Instant, sent: Instant, throttled: bool) {
        if self.halved.is_some_and(|halved| sent < halved) {
            return;
        }
        self.refill(now);
        if throttled {
            self.rate = (self.rate / 2.0).max(FLOOR);
            self.tokens = self.tokens.min(0.0);
            self.halved = Some(now);
        } else {
            let initial = self.initial.per_second;
            self.rate = STEP.mul_add(initial, self.rate).min(initial * CEILING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: Operation = Operation::RegisterTargets;
    const DESCRIBE: Operation = Operation::DescribeListeners;

    async fn drain(throttle: &Throttle, operation: Operation) {
        while throttle.admit(operation, Priority::Write).await == Ok(Duration::ZERO) {}
    }

    fn rate(throttle: &Throttle, operation: Operation) -> f64 {
        throttle.bucket(operation, |bucket| bucket.rate)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let throttle = Throttle::default();
        for _ in 0..20 {
            assert_eq!(throttle.admit(REGISTER, Priority::Write).await, Ok(Duration::ZERO));
        }
        // 4/s: the next token is 250 ms away, too far for a write.
        assert_eq!(throttle.admit(REGISTER, Priority::Write).await, Err(Duration::from_millis(250)));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(throttle.admit(REGISTER, Priority::Write).await, Ok(Duration::from_millis(150)));
    }

    #[tokio::test(start_paused = true)]
    async fn operations_do_not_share_tokens() {
        let throttle = Throttle::default();
        drain(&throttle, REGISTER).await;
        assert_eq!(throttle.admit(Operation::DeregisterTargets, Priority::Write).await, Ok(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn reads_queue_for_tokens_up_to_two_seconds() {
        let throttle = Throttle::default();
        let start = clock::now();
        for _ in 0..200 {
            throttle.admit(DESCRIBE, Priority::Read).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Side by side, each gets a token of its own: the 100th 2 s from now at 50/s, the 101st none.
        let waits: Vec<_> = throttle.bucket(DESCRIBE, |bucket| (0..101).map(|_| bucket.take(start, Priority::Read)).collect());
        assert_eq!(waits[0], Ok(Duration::from_millis(20)));
        assert_eq!(waits[99], Ok(Duration::from_secs(2)));
        assert_eq!(waits[100], Err(Duration::from_millis(2020)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_leaves_a_quarter_of_the_burst_to_others() {
        let throttle = Throttle::default();
        let mut at_once = 0;
        while throttle.bucket(DESCRIBE, |bucket| bucket.take(clock::now(), Priority::Sweep)) == Ok(Duration::ZERO) {
            at_once += 1;
        }
        assert_eq!(at_once, 150);
        for _ in 0..49 {
            assert_eq!(throttle.admit(DESCRIBE, Priority::Read).await, Ok(Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_answer_halves_the_rate_once_for_all_calls_in_flight() {
        let throttle = Throttle::default();
        let sent = clock::now();
        tokio::time::advance(Duration::from_millis(50)).await;
        for _ in 0..10 {
            throttle.answered(REGISTER, sent, true);
        }
        assert!((rate(&throttle, REGISTER) - 2.0).abs() < 1e-9, "halved once");
        assert_eq!(throttle.admit(REGISTER, Priority::Write).await, Err(Duration::from_millis(500)), "and the burst is gone");

        for _ in 0..10 {
            throttle.answered(REGISTER, clock::now(), true);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!((rate(&throttle, REGISTER) - FLOOR).abs() < 1e-9, "never below the floor");
    }

    #[tokio::test(start_paused = true)]
    async fn successes_bring_the_rate_back_by_small_steps() {
        let throttle = Throttle::default();
        throttle.answered(REGISTER, clock::now(), true);
        throttle.answered(REGISTER, clock::now(), false);
        assert!((rate(&throttle, REGISTER) - 2.2).abs() < 1e-9);
        for _ in 0..100 {
            throttle.answered(REGISTER, clock::now(), false);
        }
        assert!((rate(&throttle, REGISTER) - 8.0).abs() < 1e-9, "twice the initial rate at most");
    }
}
