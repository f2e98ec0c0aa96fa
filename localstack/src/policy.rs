//! An IAM policy that is enforced: calls that it does not allow are refused.
//!
//! What identity-based policies are made of, as far as this emulator's services need it: `Effect`, `Action`, `NotAction`, `Resource`,
//! `NotResource`, `Condition`. `policy/demand.rs` says what a call asks for, `policy/condition.rs` tests conditions. Everything that a call
//! asks for has to be allowed by a statement and denied by none (IAM user guide, "Policy evaluation logic").

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::{self, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::ApiError;
use crate::faults::{Asked, Fault};
use crate::glob;
use crate::model::State;
use crate::query::Form;
use condition::Condition;
use demand::Demand;

mod condition;
mod demand;

/// A policy document, `{"Version": "2012-10-17", "Statement": […]}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(rename = "Version", deserialize_with = "version")]
    _version: String,
    #[serde(rename = "Id", default)]
    _id: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(default)]
    sid: String,
    effect: Verdict,
    #[serde(default, deserialize_with = "one_or_many")]
    action: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    not_action: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    resource: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    not_resource: Vec<String>,
    #[serde(default)]
    condition: Condition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Verdict {
    Allow,
    Deny,
}

/// Why a policy cannot be enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy: {0}")]
pub struct PolicyError(String);

impl Policy {
    /// Reads a policy document (JSON).
    ///
    /// # Errors
    /// When it is none, or uses what is not enforced here: nothing is ever ignored.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = serde_json::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    /// Whether everything in it is known here.
    ///
    /// # Errors
    /// The first thing that is not, by its statement.
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        for (index, statement) in self.statement.iter().enumerate() {
            let name = if statement.sid.is_empty() { format!("statement {}", index + 1) } else { statement.sid.clone() };
            if statement.action.is_empty() == statement.not_action.is_empty() {
                return Err(PolicyError(format!("{name} needs either Action or NotAction")));
            }
            if statement.resource.is_empty() == statement.not_resource.is_empty() {
                return Err(PolicyError(format!("{name} needs either Resource or NotResource")));
            }
            statement.condition.check().map_err(|problem| PolicyError(format!("{name}: {problem}")))?;
        }
        Ok(())
    }

    /// The error that a call gets that is not allowed.
    pub(crate) fn refusal(&self, service: &str, form: &Form, state: &mut State, user_agent: &str) -> Option<ApiError> {
        let place = state.place.clone();
        let refused = demand::of(service, form, state, user_agent).into_iter().find(|demand| !self.allows(demand))?;
        let action = form.get("Action").map(String::as_str).unwrap_or_default();
        let error = Fault::Denied.refusal(Asked { account: &place.account, service, action })?;
        let user = format!("arn:aws:iam::{}:user/caller", place.account);
        let Demand { action, resource, .. } = refused;
        let message = format!(
            "User: {user} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        );
        Some(ApiError { message, ..error })
    }

    fn allows(&self, demand: &Demand) -> bool {
        let says = |verdict| self.statement.iter().any(|statement| statement.effect == verdict && statement.is_for(demand));
        says(Verdict::Allow) && !says(Verdict::Deny)
    }
}

impl Statement {
    fn is_for(&self, demand: &Demand) -> bool {
        // Actions are the one thing in a policy where case does not count.
        let action = demand.action.to_ascii_lowercase();
        let acts = |patterns: &[String]| patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), &action));
        let names = |patterns: &[String]| patterns.iter().any(|pattern| glob::matches(pattern, &demand.resource));
        (if self.action.is_empty() { !acts(&self.not_action) } else { acts(&self.action) })
            && (if self.resource.is_empty() { !names(&self.not_resource) } else { names(&self.resource) })
            && self.condition.holds(&demand.context)
    }
}

/// The policy in force, if any. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Enforcement {
    enforced: Arc<Mutex<Option<Enforced>>>,
}

#[derive(Debug)]
struct Enforced {
    policy: Arc<Policy>,
    account: Option<String>,
}

impl Enforcement {
    fn lock(&self) -> MutexGuard<'_, Option<Enforced>> {
        self.enforced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enforces a policy from now on, on one account or on all; `None` ends it.
    pub(crate) fn set(&self, policy: Option<Policy>, account: Option<String>) {
        *self.lock() = policy.map(|policy| Enforced { policy: Arc::new(policy), account });
    }

    /// The policy that an account's callers are held to.
    pub(crate) fn of(&self, account: &str) -> Option<Arc<Policy>> {
        let enforced = self.lock();
        let enforced = enforced.as_ref()?;
        enforced.account.as_deref().is_none_or(|own| own == account).then(|| Arc::clone(&enforced.policy))
    }
}

/// Policies write a list of one as the element itself. By hand, because an untagged enum would not tell what is wrong with an element.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("one or a list")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(text.into_deserializer()).map(|one| vec![one])
        }

        fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<Vec<T>, M::Error> {
            T::deserialize(de::value::MapAccessDeserializer::new(map)).map(|one| vec![one])
        }

        fn visit_seq<S: de::SeqAccess<'de>>(self, list: S) -> Result<Vec<T>, S::Error> {
            Vec::deserialize(de::value::SeqAccessDeserializer::new(list))
        }
    }

    deserializer.deserialize_any(OneOrMany(PhantomData))
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let version = String::deserialize(deserializer)?;
    if version == "2012-10-17" {
        return Ok(version);
    }
    Err(de::Error::custom(format!("Version is '{version}'; only 2012-10-17 is known here")))
}

#[cfg(test)]
mod tests;
