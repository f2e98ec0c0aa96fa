//! What AWS is like for a test, as one file: faults, how long things take, how much there may be, who may do what.
//!
//! Imports `faults`, `durations`, `policy`, `model::quotas`. Read as JSON from `--faults FILE` and from `PUT /_landfall/faults`; checked as
//! a whole before any of it takes effect.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::durations::{Durations, change_durations};
use crate::faults::{self, Faults, Rule, SETS};
use crate::model::quotas::Quotas;
use crate::policy::Policy;
use crate::shared::Shared;

/// Faults, durations, quotas and a policy. What is absent stays as it is, but for the rules, which are replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// What chances are drawn from.
    pub seed: Option<u64>,
    /// Sets of rules by name, behind `rules`: `aws-like`.
    pub sets: Vec<String>,
    /// Fault rules, in order.
    pub rules: Vec<Rule>,
    /// Durations by name, in seconds; `profile` names what they start from.
    pub durations: Option<Map<String, Value>>,
    /// Quotas of every account and region.
    pub quotas: Option<Quotas>,
    /// The policy that every caller is held to.
    pub policy: Option<Policy>,
}

/// What is wrong with [`Conditions`]: the place, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConditionsError(String);

impl Conditions {
    /// Reads JSON.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn read(text: &str) -> Result<Self, ConditionsError> {
        let read: Self = serde_json::from_str(text).map_err(|error| ConditionsError(error.to_string()))?;
        read.all_rules()?;
        Ok(read)
    }

    /// The rules, those of the sets behind the others.
    fn all_rules(&self) -> Result<Vec<Rule>, ConditionsError> {
        let mut rules = self.rules.clone();
        for (index, rule) in rules.iter().enumerate() {
            rule.check().map_err(|error| ConditionsError(format!("rules[{index}].{error}")))?;
        }
        for name in &self.sets {
            let missing = || ConditionsError(format!("sets: '{name}' does not exist; there are {}", SETS.join(", ")));
            rules.extend(faults::set(name).ok_or_else(missing)?);
        }
        Ok(rules)
    }

    /// Puts everything in force.
    pub(crate) fn apply(self, shared: &Shared) -> Result<(), ConditionsError> {
        let rules = self.all_rules()?;
        let present = shared.durations();
        let durations: Durations = match &self.durations {
            Some(named) => change_durations(present, named).map_err(|error| ConditionsError(format!("durations: {error}")))?,
            None => present,
        };
        if let Some(policy) = &self.policy {
            policy.check().map_err(|error| ConditionsError(error.to_string()))?;
        }
        shared.set_durations(durations);
        replace(&shared.faults, self.seed, rules);
        if let Some(quotas) = self.quotas {
            shared.set_quotas(quotas);
        }
        if self.policy.is_some() {
            shared.policy.set(self.policy, None);
        }
        Ok(())
    }

    /// Puts the rules in force where there is nothing but an endpoint.
    pub(crate) fn apply_to_proxy(self, faults: &Faults) -> Result<(), ConditionsError> {
        let of_state =
            [("durations", self.durations.is_some()), ("quotas", self.quotas.is_some()), ("policy", self.policy.is_some())];
        if let Some((name, _)) = of_state.into_iter().find(|(_, given)| *given) {
            return Err(ConditionsError(format!(
                "{name}: a proxy has no part in the state behind it; leave it out, or use the emulator itself"
            )));
        }
        let rules = self.all_rules()?;
        for (index, rule) in rules.iter().enumerate() {
            check_for_proxy(rule).map_err(|problem| ConditionsError(format!("rules[{index}].{problem}")))?;
        }
        replace(faults, self.seed, rules);
        Ok(())
    }
}

/// Why a rule cannot be carried out by a proxy.
pub(crate) fn check_for_proxy(rule: &Rule) -> Result<(), String> {
    if rule.fault.needs_state() {
        return Err(
            "fault: an edit needs the state behind the endpoint, which a proxy does not have; use the emulator itself".to_owned()
        );
    }
    Ok(())
}

fn replace(faults: &Faults, seed: Option<u64>, rules: Vec<Rule>) {
    faults.clear();
    if let Some(seed) = seed {
        faults.set_seed(seed);
    }
    for rule in rules {
        faults.add(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_everything_or_nothing() {
        let shared = Shared::new(Durations::instant(), 1);
        let text = r#"{
            "seed": 7,
            "sets": ["aws-like"],
            "rules": [
                {"action": "CreateListener", "nth": 2, "fault": "drop_after"},
                {"action": "Describe*", "parameter": ["Names.member.1", "regex:lf-.*"],
                 "fault": {"error": {"code": "InternalError", "status": 500, "message": "broken"}}}
            ],
            "durations": {"profile": "realistic", "provisioning": 5},
            "quotas": {"load_balancers": 2},
            "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
        }"#;
        Conditions::read(text).unwrap().apply(&shared).unwrap();
        assert_eq!(shared.faults.rules().len(), 9);
        assert_eq!(shared.durations().provisioning.as_secs(), 5);
        assert_eq!(shared.durations().registration, Durations::realistic().registration);
        let state = shared.account("111122223333", "us-west-2");
        assert_eq!(shared.with(&state, |state, _, _| state.quotas), Quotas { load_balancers: 2, ..Quotas::default() });
        assert!(shared.policy.of("111122223333").is_some());

        for (text, words) in [
            ("{\"rules\": [{\"fault\": \"throttle\"},\n{\"fault\": \"thrtle\"}]}", &["line 2", "thrtle"][..]),
            (r#"{"rules": [{"fault": "throttle", "nth": 0}]}"#, &["rules[0].nth", "1 or more"]),
            (r#"{"sets": ["aws"]}"#, &["sets", "aws-like"]),
            (r#"{"rulez": []}"#, &["rulez", "rules"]),
        ] {
            let error = Conditions::read(text).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
        let wrong = Conditions::read(r#"{"durations": {"provisionning": 5}}"#).unwrap();
        assert!(wrong.apply(&shared).unwrap_err().to_string().contains("'provisionning' is no duration"));
        assert_eq!(shared.faults.rules().len(), 9, "what is wrong in one place takes no effect in another");
    }

    #[test]
    fn a_proxy_refuses_what_needs_the_state() {
        let faults = Faults::default();
        let edit = r#"{"rules": [{"action": "X", "fault": {"edit": {"service": "ec2", "action": "DeleteTags"}}}]}"#;
        for (text, word) in [
            (edit, "edit"),
            (r#"{"quotas": {"load_balancers": 1}}"#, "quotas"),
            (r#"{"durations": {"registration": 1}}"#, "durations"),
        ] {
            let error = Conditions::read(text).unwrap().apply_to_proxy(&faults).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("emulator itself"), "{error}");
        }
        Conditions::read(r#"{"sets": ["aws-like"]}"#).unwrap().apply_to_proxy(&faults).unwrap();
        assert_eq!(faults.rules().len(), 7);
    }
}
