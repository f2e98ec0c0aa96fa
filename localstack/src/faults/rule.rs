//! Which calls a fault is for. Imports `glob`, and `journal` for what a write is.

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::{Fault, Subject};
use crate::glob;
use crate::journal::is_write;

/// Which calls go wrong, and how. An absent condition matches every call; all conditions have to match.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The 12-digit account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The caller's user agent, `*` and `?` as wildcards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// `elasticloadbalancing`, `ec2` or `sts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The action, `*` and `?` as wildcards: `Describe*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// A form field and its value, `*` and `?` as wildcards: `("Name", "lf-*")`; or a regular expression that the whole value matches,
    /// behind `regex:`: `("Name", "regex:lf-[0-9a-f]{6}")`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<(String, String)>,
    /// Only calls whose action can change anything, as [`crate::Entry::write`] says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub writes: bool,
    /// Only the n-th matching call, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Only each n-th matching call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Only the n-th matching call and all that follow, counted from 1: after `nth` of the same number the caller is cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// At most so many calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// With this probability, from 0 to 1, drawn from the seed: the same calls in the same order meet the same faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// What happens to them.
    pub fault: Fault,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct RuleError {
    /// The field of the rule.
    pub field: &'static str,
    /// What is wrong with its value, and what it can be.
    pub problem: String,
}

/// A rule's pattern for a parameter, ready to be used.
#[derive(Debug)]
pub(super) enum Pattern {
    Glob,
    Regex(Regex),
}

impl Rule {
    /// A rule for every call of `action` (wildcards allowed).
    #[must_use]
    pub fn on(action: &str, fault: Fault) -> Self {
        Self {
            account: None,
            region: None,
            user_agent: None,
            service: None,
            action: Some(action.to_owned()),
            parameter: None,
            writes: false,
            nth: None,
            every: None,
            from: None,
            times: None,
            probability: None,
            fault,
        }
    }

    /// Whether the rule makes sense.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), RuleError> {
        for (field, count) in [("nth", self.nth), ("every", self.every), ("from", self.from), ("times", self.times)] {
            if count == Some(0) {
                return Err(RuleError { field, problem: "calls are counted from 1: leave it out, or use 1 or more".to_owned() });
            }
        }
        if let Some(probability) = self.probability.filter(|probability| !(0.0..=1.0).contains(probability)) {
            return Err(RuleError { field: "probability", problem: format!("{probability} is not from 0 to 1") });
        }
        if let Some(account) = self.account.as_ref().filter(|account| account.len() != 12) {
            let problem = format!("'{account}' is no account: use 12 digits, or leave it out for all accounts");
            return Err(RuleError { field: "account", problem });
        }
        self.pattern()?;
        self.fault.check().map_err(|problem| RuleError { field: "fault", problem })
    }

    pub(super) fn pattern(&self) -> Result<Pattern, RuleError> {
        let Some(expression) = self.parameter.as_ref().and_then(|(_, pattern)| pattern.strip_prefix("regex:")) else {
            return Ok(Pattern::Glob);
        };
        Regex::new(&format!("^(?:{expression})$")).map(Pattern::Regex).map_err(|error| RuleError {
            field: "parameter",
            problem: format!("'{expression}' is no regular expression ({error}); without 'regex:' it is a pattern with * and ?"),
        })
    }

    pub(super) fn matches(&self, pattern: &Pattern, subject: &Subject<'_>) -> bool {
        let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        let like =
            |pattern: &Option<String>, actual: &str| pattern.as_deref().is_none_or(|pattern| glob::matches(pattern, actual));
        let write = is_write(subject.action);
        is(&self.account, subject.account)
            && is(&self.region, subject.region)
            && is(&self.service, subject.service)
            && like(&self.user_agent, subject.user_agent)
            && like(&self.action, subject.action)
            && (!self.writes || write)
            // There is nothing stale about a write.
            && !(write && matches!(self.fault, Fault::StaleRead(_)))
            && self.parameter.as_ref().is_none_or(|(name, wanted)| {
                subject.form.get(name).is_some_and(|value| match pattern {
                    Pattern::Glob => glob::matches(wanted, value),
                    Pattern::Regex(regex) => regex.is_match(value),
                })
            })
    }
}
