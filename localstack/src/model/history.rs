//! A state's past, for answers that lag behind: eventually consistent reads, and stale reads on purpose.
//!
//! Kept only while somebody may ask for it. A memory is the whole state as it was just before a change, so the past is true to about a
//! two-hundredth of the longest lag, and there are never more memories than that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::State;
use crate::clock::later;

/// Memories, oldest first. A copy of a state has none.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<(Timestamp, Arc<State>)>);

impl Clone for History {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// How many memories make up the longest lag.
const MEMORIES: u32 = 200;

impl State {
    /// Remembers the state before it may change; `longest` is the longest lag that an answer can have, zero if none has.
    pub(crate) fn remember(&mut self, now: Timestamp, longest: Duration) {
        if longest.is_zero() {
            self.history.0.clear();
            return;
        }
        let oldest = earlier(now, longest);
        while self.history.0.front().is_some_and(|(when, _)| *when <= oldest) {
            self.history.0.pop_front();
        }
        let recent = earlier(now, longest / MEMORIES);
        if self.history.0.back().is_none_or(|(when, _)| *when <= recent) {
            let memory = Arc::new(self.clone());
            self.history.0.push_back((now, memory));
        }
    }

    /// A copy of the state as it was `lag` ago, with that time; `None` when nothing has changed since.
    pub(crate) fn past(&self, now: Timestamp, lag: Duration) -> Option<(Self, Timestamp)> {
        if lag.is_zero() {
            return None;
        }
        let then = earlier(now, lag);
        // The first change after that time: what was before it held then.
        let at = self.history.0.partition_point(|(when, _)| *when <= then);
        let (_, memory) = self.history.0.get(at)?;
        let mut past = Self::clone(memory);
        // IAM's are shared with the present, which a call that is answered from the past must not change.
        past.server_certificates = past.server_certificates.detached();
        past.settle(then);
        Some((past, then))
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    later(time, -SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use crate::durations::Durations;
    use crate::testing::Kit;

    #[test]
    fn the_past_is_bounded_and_ends_with_its_use() {
        let kit = Kit::new(Durations { lists_lag: std::time::Duration::from_secs(20), ..Durations::instant() });
        for step in 0..500 {
            kit.security_group(&format!("group-{step}"));
            kit.shared.clock.advance(std::time::Duration::from_millis(70));
        }
        let memories = kit.look(|state| state.history.0.len());
        assert!((100..=201).contains(&memories), "{memories}");
        kit.shared.set_durations(Durations::instant());
        kit.security_group("last");
        assert_eq!(kit.look(|state| state.history.0.len()), 0);
    }
}
