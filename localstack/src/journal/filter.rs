//! Which entries of the journal somebody wants to see. Imports `glob`.

use serde::Deserialize;

use super::{Entry, Outcome};
use crate::glob;

/// Conditions on an entry; an absent one accepts all. `*` and `?` are wildcards in `action`, `user_agent`, `fault` and the value of
/// `parameter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The 12-digit account.
    pub account: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// `elasticloadbalancing`, `ec2`, `sts`.
    pub service: Option<String>,
    /// The action: `Create*`.
    pub action: Option<String>,
    /// The caller's user agent: `*controller*`.
    pub user_agent: Option<String>,
    /// A form field and its value: `("Name", "lf-*")`.
    pub parameter: Option<(String, String)>,
    /// `ok`, `error` or `dropped`.
    pub outcome: Option<OutcomeKind>,
    /// AWS's error code.
    pub code: Option<String>,
    /// The fault as the journal words it: `*` for any.
    pub fault: Option<String>,
    /// Only calls that can change anything, or only those that cannot.
    pub write: Option<bool>,
}

/// An [`Outcome`] without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// [`Outcome::Ok`].
    Ok,
    /// [`Outcome::Error`].
    Error,
    /// [`Outcome::Dropped`].
    Dropped,
}

impl Filter {
    /// Accepts calls of `action` (wildcards allowed).
    #[must_use]
    pub fn action(action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..Self::default() }
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn accepts(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        let like =
            |pattern: &Option<String>, actual: &str| pattern.as_deref().is_none_or(|pattern| glob::matches(pattern, actual));
        let (kind, code) = match &entry.result {
            Outcome::Ok => (OutcomeKind::Ok, ""),
            Outcome::Error { code, .. } => (OutcomeKind::Error, code.as_str()),
            Outcome::Dropped => (OutcomeKind::Dropped, ""),
        };
        is(&self.account, &entry.account)
            && is(&self.region, &entry.region)
            && is(&self.service, &entry.service)
            && is(&self.code, code)
            && like(&self.action, &entry.action)
            && like(&self.user_agent, &entry.user_agent)
            && self.outcome.is_none_or(|wanted| wanted == kind)
            && self.write.is_none_or(|wanted| wanted == entry.write)
            && self
                .fault
                .as_deref()
                .is_none_or(|pattern| entry.fault.as_deref().is_some_and(|fault| glob::matches(pattern, fault)))
            && self
                .parameter
                .as_ref()
                .is_none_or(|(name, pattern)| entry.parameters.get(name).is_some_and(|value| glob::matches(pattern, value)))
    }
}
