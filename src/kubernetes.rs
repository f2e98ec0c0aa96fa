//! Everything that talks to the Kubernetes API, and the loop machinery that its events drive.
//!
//! Reading: [`watch`] keeps a store per kind and says what changed. Driving: [`queue`] runs work per key, with back-off.
//! Writing: [`status`], [`finalizer`], [`events`]. One writer: [`lease`] decides (pure), [`elect`] does. [`client`] connects.
//! Imports only `clock` and `error`; knows nothing of load balancers.

pub mod client;
pub mod elect;
pub mod events;
pub mod finalizer;
pub mod lease;
pub mod queue;
pub mod status;
pub mod watch;

use std::fmt;
use std::time::Duration;

use kube::core::Status;

use crate::error::{Class, Classified};

/// Name under which Landfall writes: field manager of server-side apply, reporting controller of events.
pub const MANAGER: &str = "landfall";

/// Longest that one write may take, all retries of the client included: kube's own retry goes on for up to 15 attempts.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(15);

/// What a write to the API server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The object already was as wanted: nothing was sent.
    Unchanged,
    /// The object was changed.
    Changed,
}

/// A call to the API server that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not as it was read (changed, replaced or gone).
    #[error("cannot {action}: it changed or went since it was read ({reason})")]
    Stale {
        /// What was tried, with the object's kind and name.
        action: String,
        /// The API server's words.
        reason: String,
    },
    /// No answer in time.
    #[error("cannot {action}: no answer from the API server within {:.1} s", .limit.as_secs_f32())]
    TimedOut {
        /// What was tried.
        action: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Refused, or not reached.
    #[error("cannot {action}: {}", explain(.source))]
    Failed {
        /// What was tried.
        action: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// Sorts the client's error: a conflict and a missing object mean that the caller acted on an old state.
    fn new(action: impl fmt::Display, source: kube::Error) -> Self {
        let action = action.to_string();
        match source {
            kube::Error::Api(status)
                if matches!(status.code, 404 | 409 | 410) || names_another_object(&status) || namespace_ends(&status) =>
            {
                Self::Stale { action, reason: status.message }
            }
            source => Self::Failed { action, source: Box::new(source) },
        }
    }

    /// The HTTP status of a refusal.
    fn status_code(&self) -> Option<u16> {
        match self {
            Self::Failed { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Stale { .. } | Self::TimedOut { .. } => None,
        }
    }
}

impl Classified for Error {
    fn code(&self) -> &str {
        match self.class() {
            Class::Stale => "KubernetesConflict",
            Class::Permission => "KubernetesDenied",
            Class::Throttled => "KubernetesThrottled",
            Class::Bug => "KubernetesRejected",
            _ => "KubernetesUnreachable",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Stale { .. } => Class::Stale,
            Self::TimedOut { .. } => Class::Transient,
            Self::Failed { .. } => match self.status_code() {
                Some(401 | 403) => Class::Permission,
                Some(429) => Class::Throttled,
                // We sent what the API server does not take: no retry makes it better.
                Some(400..=499) => Class::Bug,
                _ => Class::Transient,
            },
        }
    }
}

/// Whether the API server refused because the UID that was sent is not that of the object (server-side apply says it so).
fn names_another_object(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 422 && causes.into_iter().any(|cause| cause.field == "metadata.uid")
}

/// Whether the API server refused to create something because its namespace is being deleted, which is a 403 and no want of rights.
fn namespace_ends(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The client's error for people: its own text repeats the API server's whole answer.
pub(crate) fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} (HTTP {})", status.message, status.code),
        kube::Error::Service(source) => chain(source.as_ref()),
        other => chain(other),
    }
}

/// An error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = cause.source();
    }
    text
}

/// Runs one call with a time limit and says in the error what was tried.
pub(crate) async fn call<T>(
    action: impl fmt::Display,
    limit: Duration,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(Error::new(action, source)),
        Err(_) => Err(Error::TimedOut { action: action.to_string(), limit }),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn refused(code: u16, field: &str) -> Error {
        let reason = if field == "metadata.namespace" { "NamespaceTerminating" } else { "FieldValueInvalid" };
        let cause = StatusCause { reason: reason.into(), message: "no".into(), field: field.into() };
        let (name, group, kind, uid) = Default::default();
        let details = StatusDetails { name, group, kind, uid, causes: vec![cause], retry_after_seconds: 0 };
        let status = Status { code, details: Some(details), ..Status::failure("not today", "x") };
        Error::new("patch Service a/b", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn every_answer_of_the_api_server_has_its_class() {
        let table = [
            (401, Class::Permission),
            (403, Class::Permission),
            (404, Class::Stale),
            (409, Class::Stale),
            (422, Class::Bug),
            (429, Class::Throttled),
            (500, Class::Transient),
            (503, Class::Transient),
        ];
        for (code, class) in table {
            assert_eq!(refused(code, "spec").class(), class, "HTTP {code}");
        }
        assert_eq!(refused(422, "metadata.uid").class(), Class::Stale, "another object has taken its place");
        assert_eq!(refused(403, "metadata.namespace").class(), Class::Stale, "its namespace goes");
    }

    #[test]
    fn errors_are_short() {
        assert_eq!(refused(403, "").to_string(), "cannot patch Service a/b: not today (HTTP 403)");
        let error = Error::new("get Lease a/b", kube::Error::Service("connection refused".into()));
        assert_eq!(error.to_string(), "cannot get Lease a/b: connection refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_given_up() {
        let error = call("get Lease a/b", Duration::from_secs(3), std::future::pending::<Result<(), kube::Error>>());
        let error = error.await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert_eq!(error.to_string(), "cannot get Lease a/b: no answer from the API server within 3.0 s");
    }
}
