//! What one call leaves behind in the journal. Imports `error`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::error::ApiError;

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Rises by one with each call, never reused, not even after [`crate::Journal::clear`]. Within an account and region it is the order in
    /// which calls took effect.
    pub sequence: u64,
    /// When the call arrived, on the emulator's clock.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// The 12-digit account.
    pub account: String,
    /// The region, for example `us-west-2`.
    pub region: String,
    /// The caller's `User-Agent`; `landfall-localstack/by-hand` for calls made through [`crate::Region::call`].
    pub user_agent: String,
    /// `elasticloadbalancing`, `ec2` or `sts`.
    pub service: String,
    /// The action, for example `CreateLoadBalancer`.
    pub action: String,
    /// All form fields but `Action` and `Version`; what is secret by its name reads `(redacted)`.
    pub parameters: BTreeMap<String, String>,
    /// What the caller was told.
    pub result: Outcome,
    /// The fault that was injected, if any.
    pub fault: Option<String>,
    /// From the arrival of the call to its answer, injected delays included.
    #[serde(with = "crate::durations::seconds")]
    pub duration: Duration,
    /// Whether the action can change anything: its name does not begin with `Describe`, `Get` or `List`.
    pub write: bool,
    /// The request id of the answer.
    pub request_id: String,
}

/// What the caller of a call was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Success.
    Ok,
    /// An error with AWS's code and the HTTP status.
    Error {
        /// AWS's error code, empty for an answer that is not AWS's XML.
        code: String,
        /// HTTP status.
        status: u16,
    },
    /// Nothing: the connection was closed.
    Dropped,
}

impl Outcome {
    /// A refusal.
    pub(crate) fn of(error: &ApiError) -> Self {
        Self::Error { code: error.code.clone(), status: error.status }
    }
}

/// Last parts of the names of parameters whose values nobody should find in a record (ACM, IAM, STS, EC2, OIDC actions of listeners).
const SECRETS: &[&str] = &[
    "PrivateKey",
    "ClientSecret",
    "Password",
    "SecretAccessKey",
    "SecretKey",
    "SessionToken",
    "WebIdentityToken",
    "SAMLAssertion",
    "TokenCode",
    "UserData",
];

impl Entry {
    /// Takes secrets out of the parameters.
    pub(super) fn redact(&mut self) {
        for (name, value) in &mut self.parameters {
            let last = name.rsplit('.').next().unwrap_or(name);
            if SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(last)) {
                "(redacted)".clone_into(value);
            }
        }
    }

    /// Bytes of text, with something for the rest.
    pub(super) fn size(&self) -> usize {
        let parameters: usize = self.parameters.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
        parameters + self.user_agent.len() + 256
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Whether an action can change anything.
pub(crate) fn is_write(action: &str) -> bool {
    !["Describe", "Get", "List"].iter().any(|prefix| action.starts_with(prefix))
}
