//! Faults on purpose: rules that pick calls and say what goes wrong with them.
//!
//! `faults/rule.rs` picks calls, `faults/fault.rs` says what can go wrong, `faults/inject.rs` does it to a call, whoever answers it: the
//! emulator (`server/aws.rs`) or an upstream (`proxy.rs`). [`Faults::pick`] is asked once per call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::query::Form;
use bucket::Tokens;
use rule::Pattern;

mod bucket;
mod fault;
pub(crate) mod inject;
mod rule;
mod sets;

pub(crate) use fault::Asked;
pub use fault::{Edit, Fault};
pub use rule::{Rule, RuleError};
pub use sets::SETS;
pub(crate) use sets::set;

/// Names a rule, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleId(pub u64);

/// The fault rules of an emulator or of a proxy, in the order in which they were added. Clones share the same rules.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Arc<Mutex<Rules>>,
}

#[derive(Debug, Default)]
struct Rules {
    seed: u64,
    added: u64,
    active: Vec<Active>,
}

/// A rule, and what it has seen.
#[derive(Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    /// `None`: the rule's pattern for parameters cannot be read; it never fires.
    pattern: Option<Pattern>,
    matched: u64,
    fired: u64,
    tokens: BTreeMap<(String, String, String), Tokens>,
}

/// A rule with its counters, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    id: RuleId,
    rule: Rule,
    matched: u64,
    fired: u64,
}

/// What identifies a call to the rules.
pub(crate) struct Subject<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) user_agent: &'a str,
    pub(crate) service: &'a str,
    pub(crate) action: &'a str,
    pub(crate) form: &'a Form,
    /// Buckets are refilled on this clock.
    pub(crate) now: Timestamp,
}

/// What goes wrong with one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Picked {
    /// All delays added up.
    pub(crate) delay: Duration,
    /// Calls by somebody else that follow this one.
    pub(crate) edits: Vec<Edit>,
    /// The first fault that is neither.
    pub(crate) fault: Option<Fault>,
}

impl Faults {
    /// No rules; chances are drawn from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let faults = Self::default();
        faults.lock().seed = seed;
        faults
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule behind the others. One that [`Rule::check`] refuses is added as well, and never fires.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut rules = self.lock();
        rules.added += 1;
        let id = RuleId(rules.added);
        let pattern = rule.check().and_then(|()| rule.pattern()).ok();
        rules.active.push(Active { id, rule, pattern, matched: 0, fired: 0, tokens: BTreeMap::new() });
        id
    }

    /// Adds a rule behind the others.
    ///
    /// # Errors
    /// When a field of the rule makes no sense.
    pub fn try_add(&self, rule: Rule) -> Result<RuleId, RuleError> {
        rule.check()?;
        Ok(self.add(rule))
    }

    /// Removes a rule; an unknown id is ignored.
    pub fn remove(&self, id: RuleId) {
        self.lock().active.retain(|active| active.id != id);
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.lock().active.clear();
    }

    /// The rules with their ids, in order.
    #[must_use]
    pub fn rules(&self) -> Vec<(RuleId, Rule)> {
        self.lock().active.iter().map(|active| (active.id, active.rule.clone())).collect()
    }

    /// Chances are drawn from this seed from now on: the same calls in the same order meet the same faults.
    pub fn set_seed(&self, seed: u64) {
        self.lock().seed = seed;
    }

    /// The rules with what they have seen.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let show =
            |active: &Active| Shown { id: active.id, rule: active.rule.clone(), matched: active.matched, fired: active.fired };
        self.lock().active.iter().map(show).collect()
    }

    /// The longest lag that a rule gives to a read.
    pub(crate) fn longest_lag(&self) -> Duration {
        let lag = |active: &Active| if let Fault::StaleRead(lag) = active.rule.fault { lag } else { Duration::ZERO };
        self.lock().active.iter().map(lag).max().unwrap_or_default()
    }

    /// What goes wrong with this call: all delays added up, all edits, and the first other fault.
    pub(crate) fn pick(&self, subject: &Subject<'_>) -> Picked {
        let mut rules = self.lock();
        let seed = rules.seed;
        let mut picked = Picked::default();
        let mut limited = false;
        for active in &mut rules.active {
            if picked.fault.is_some() && !active.rule.fault.combines() {
                continue;
            }
            let is_bucket = matches!(active.rule.fault, Fault::Bucket { .. });
            // A call costs one token: of the first bucket that is for it.
            if (is_bucket && limited) || !active.matches(subject) {
                continue;
            }
            limited |= is_bucket;
            let Some(chance) = active.fires(seed, subject) else { continue };
            match &active.rule.fault {
                Fault::Delay(by) => picked.delay = picked.delay.saturating_add(*by),
                Fault::DelayBetween(from, to) => {
                    picked.delay = picked.delay.saturating_add(*from + to.saturating_sub(*from).mul_f64(chance));
                }
                Fault::Edit(edit) => picked.edits.push(edit.clone()),
                other => picked.fault = Some(other.clone()),
            }
        }
        picked
    }
}

impl Active {
    fn matches(&mut self, subject: &Subject<'_>) -> bool {
        let matches = self.pattern.as_ref().is_some_and(|pattern| self.rule.matches(pattern, subject));
        self.matched += u64::from(matches);
        matches
    }

    /// Whether this matching call is one that the fault is for: then a number from 0 to 1 that is the call's own.
    fn fires(&mut self, seed: u64, subject: &Subject<'_>) -> Option<f64> {
        let rule = &self.rule;
        let draw = |what: &str| chance(&format!("{seed}/{}/{}/{what}", self.id.0, self.matched));
        let mut fires = rule.nth.is_none_or(|nth| nth == self.matched)
            && rule.every.is_none_or(|every| self.matched.is_multiple_of(every))
            && rule.from.is_none_or(|from| from <= self.matched)
            && rule.times.is_none_or(|times| self.fired < times)
            && rule.probability.is_none_or(|probability| draw("whether") < probability);
        let size = draw("size");
        if let Fault::Bucket { burst, per_second } = rule.fault {
            let key = (subject.account.to_owned(), subject.region.to_owned(), subject.action.to_owned());
            let tokens = self.tokens.entry(key).or_insert_with(|| Tokens::full(burst, subject.now));
            fires = fires && !tokens.take(burst, per_second, subject.now);
        }
        self.fired += u64::from(fires);
        fires.then_some(size)
    }
}

/// A number from 0 to 1 (exclusive) that depends on `text` alone.
fn chance(text: &str) -> f64 {
    let digits = crate::ids::hex(text, 8);
    f64::from(u32::from_str_radix(&digits, 16).unwrap_or_default()) / 4_294_967_296.0
}

#[cfg(test)]
mod tests;
