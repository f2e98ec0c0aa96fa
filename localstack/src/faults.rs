//! Faults on purpose: rules that pick calls and say what goes wrong with them.
//!
//! Imports `glob`, `error`, and `journal` for what a write is. [`Faults::pick`] is asked once per call by `server/aws.rs`, which carries
//! the picked faults out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::glob;
use crate::journal::is_write;
use crate::query::Form;

/// Which calls go wrong, and how. An absent condition matches every call; all conditions have to match.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The 12-digit account.
    #[serde(default)]
    pub account: Option<String>,
    /// The region.
    #[serde(default)]
    pub region: Option<String>,
    /// `elasticloadbalancing`, `ec2` or `sts`.
    #[serde(default)]
    pub service: Option<String>,
    /// The action, `*` and `?` as wildcards: `Describe*`.
    #[serde(default)]
    pub action: Option<String>,
    /// A form field and its value, `*` and `?` as wildcards: `("Name", "lf-*")`.
    #[serde(default)]
    pub parameter: Option<(String, String)>,
    /// Only calls whose action can change anything, as [`crate::Entry::write`] says.
    #[serde(default)]
    pub writes: bool,
    /// Only the n-th matching call, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Only the n-th matching call and all that follow, counted from 1: after `nth` of the same number the caller is cut off.
    #[serde(default)]
    pub from: Option<u64>,
    /// At most so many calls.
    #[serde(default)]
    pub times: Option<u64>,
    /// What happens to them.
    pub fault: Fault,
}

impl Rule {
    /// A rule for every call of `action` (wildcards allowed).
    #[must_use]
    pub fn on(action: &str, fault: Fault) -> Self {
        Self {
            account: None,
            region: None,
            service: None,
            action: Some(action.to_owned()),
            parameter: None,
            writes: false,
            nth: None,
            from: None,
            times: None,
            fault,
        }
    }
}

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call is answered as ever, but so much later (real time). Several delays add up, and combine with any other fault.
    Delay(#[serde(with = "crate::durations::seconds")] Duration),
    /// This error instead of an effect.
    Error {
        /// AWS's error code.
        code: String,
        /// HTTP status.
        status: u16,
        /// Message.
        message: String,
    },
    /// The service's own throttling error: ELBv2 `Throttling` 400, EC2 `RequestLimitExceeded` 503.
    Throttle,
    /// The service's own refusal for a missing permission: ELBv2 `AccessDenied` 403, EC2 `UnauthorizedOperation` 403.
    Denied,
    /// The effect takes place, but the caller sees this error.
    ErrorAfter {
        /// AWS's error code.
        code: String,
        /// HTTP status.
        status: u16,
        /// Message.
        message: String,
    },
    /// The connection is closed without an answer and without an effect.
    DropBefore,
    /// The effect takes place, then the connection is closed without an answer.
    DropAfter,
    /// Nothing happens for so long (real time), then the connection is closed. No effect.
    Hang(#[serde(with = "crate::durations::seconds")] Duration),
    /// An HTML page with status 500 instead of an effect, as an overloaded front end sends it.
    Html500,
}

impl Fault {
    /// The error that replaces the effect, if this fault is one.
    pub(crate) fn refusal(&self, service: &str, action: &str) -> Option<ApiError> {
        let ec2 = service == "ec2";
        match self {
            Self::Error { code, status, message } => Some(ApiError::new(code, message).with_status(*status)),
            Self::Throttle if ec2 => Some(ApiError::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503)),
            Self::Throttle => Some(ApiError::new("Throttling", "Rate exceeded")),
            Self::Denied if ec2 => {
                let message = format!("You are not authorized to perform this operation: {service}:{action}.");
                Some(ApiError::new("UnauthorizedOperation", message).with_status(403))
            }
            Self::Denied => {
                let message =
                    format!("User: arn:aws:iam::000000000000:user/landfall is not authorized to perform: {service}:{action}");
                Some(ApiError::new("AccessDenied", message).with_status(403))
            }
            _ => None,
        }
    }
}

/// Names a rule, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleId(pub u64);

/// The fault rules of an emulator, in the order in which they were added. Clones share the same rules.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Arc<Mutex<Rules>>,
}

#[derive(Debug, Default)]
struct Rules {
    added: u64,
    active: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    matched: u64,
    fired: u64,
}

/// What identifies a call to the rules.
pub(crate) struct Subject<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    pub(crate) action: &'a str,
    pub(crate) form: &'a Form,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule behind the others.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut rules = self.lock();
        rules.added += 1;
        let id = RuleId(rules.added);
        rules.active.push(Active { id, rule, matched: 0, fired: 0 });
        id
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

    /// What goes wrong with this call: all delays added up, and the first other fault.
    pub(crate) fn pick(&self, subject: &Subject<'_>) -> (Duration, Option<Fault>) {
        let mut delay = Duration::ZERO;
        let mut fault = None;
        for active in &mut self.lock().active {
            if fault.is_some() && !matches!(active.rule.fault, Fault::Delay(_)) {
                continue;
            }
            if !active.fires(subject) {
                continue;
            }
            match &active.rule.fault {
                Fault::Delay(by) => delay = delay.saturating_add(*by),
                other => fault = Some(other.clone()),
            }
        }
        (delay, fault)
    }
}

impl Active {
    fn fires(&mut self, subject: &Subject<'_>) -> bool {
        if !self.rule.matches(subject) {
            return false;
        }
        self.matched += 1;
        let fires = self.rule.nth.is_none_or(|nth| nth == self.matched)
            && self.rule.from.is_none_or(|from| from <= self.matched)
            && self.rule.times.is_none_or(|times| self.fired < times);
        self.fired += u64::from(fires);
        fires
    }
}

impl Rule {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        is(&self.account, subject.account)
            && is(&self.region, subject.region)
            && is(&self.service, subject.service)
            && self.action.as_deref().is_none_or(|pattern| glob::matches(pattern, subject.action))
            && (!self.writes || is_write(subject.action))
            && self
                .parameter
                .as_ref()
                .is_none_or(|(name, pattern)| subject.form.get(name).is_some_and(|value| glob::matches(pattern, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(faults: &Faults, action: &str, form: &Form) -> (Duration, Option<Fault>) {
        faults.pick(&Subject { account: "000000000000", region: "us-west-2", service: "ec2", action, form })
    }

    #[test]
    fn nth_times_and_parameters_pick_calls() {
        let faults = Faults::default();
        let named = Form::from([("Name".to_owned(), "lf-a".to_owned())]);
        faults.add(Rule { nth: Some(2), ..Rule::on("Describe*", Fault::Throttle) });
        assert_eq!(pick(&faults, "CreateTags", &named).1, None);
        assert_eq!(pick(&faults, "DescribeVpcs", &named).1, None);
        assert_eq!(pick(&faults, "DescribeTags", &named).1, Some(Fault::Throttle));
        assert_eq!(pick(&faults, "DescribeTags", &named).1, None);

        faults.clear();
        let id = faults.add(Rule {
            times: Some(1),
            parameter: Some(("Name".to_owned(), "lf-*".to_owned())),
            ..Rule::on("*", Fault::DropAfter)
        });
        assert_eq!(pick(&faults, "X", &Form::new()).1, None);
        assert_eq!(pick(&faults, "X", &named).1, Some(Fault::DropAfter));
        assert_eq!(pick(&faults, "X", &named).1, None);
        faults.remove(id);
        assert!(faults.rules().is_empty());
    }

    #[test]
    fn a_write_can_be_the_last_one_that_gets_through() {
        let faults = Faults::default();
        // In this order: a rule behind one that fires does not count the call.
        faults.add(Rule { writes: true, from: Some(3), ..Rule::on("*", Fault::DropBefore) });
        faults.add(Rule { writes: true, nth: Some(2), ..Rule::on("*", Fault::DropAfter) });
        let form = Form::new();
        let fates: Vec<_> = ["CreateTags", "DescribeTags", "DeleteTags", "GetSubnets", "CreateTags", "ListTags", "AddTags"]
            .map(|action| pick(&faults, action, &form).1)
            .into();
        let (before, after) = (Some(Fault::DropBefore), Some(Fault::DropAfter));
        assert_eq!(fates, [None, None, after, None, before.clone(), None, before]);
    }

    #[test]
    fn delays_add_up_and_the_first_other_fault_wins_without_using_up_the_next() {
        let faults = Faults::default();
        faults.add(Rule::on("*", Fault::Delay(Duration::from_millis(100))));
        faults.add(Rule { times: Some(1), ..Rule::on("*", Fault::DropBefore) });
        faults.add(Rule { times: Some(1), ..Rule::on("*", Fault::Html500) });
        faults.add(Rule::on("*", Fault::Delay(Duration::from_millis(50))));
        let delay = Duration::from_millis(150);
        assert_eq!(pick(&faults, "X", &Form::new()), (delay, Some(Fault::DropBefore)));
        assert_eq!(pick(&faults, "X", &Form::new()), (delay, Some(Fault::Html500)));
        assert_eq!(pick(&faults, "X", &Form::new()), (delay, None));
    }

    #[test]
    fn rules_come_as_json() {
        let rule: Rule = serde_json::from_str(r#"{"action": "Create*", "nth": 2, "fault": {"delay": 0.1}}"#).unwrap();
        assert_eq!(rule.fault, Fault::Delay(Duration::from_millis(100)));
        let rule: Rule = serde_json::from_str(r#"{"fault": "throttle"}"#).unwrap();
        assert_eq!(rule.fault.refusal("ec2", "X").unwrap().status, 503);
        assert_eq!(rule.fault.refusal("elasticloadbalancing", "X").unwrap().code, "Throttling");
        assert!(
            serde_json::from_str::<Rule>(r#"{"acton": "x", "fault": "throttle"}"#).unwrap_err().to_string().contains("acton")
        );
    }
}
