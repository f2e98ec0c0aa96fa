//! An answer that is an error, as AWS's query protocols carry it: a code, an HTTP status, a message.
//!
//! Imports nothing of the crate. `server/aws.rs` writes it as XML in the form of the service that was called.

/// One AWS error answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// AWS's code as it stands on the wire, for example `LoadBalancerNotFound` or `InvalidGroup.Duplicate`.
    pub code: String,
    /// HTTP status, 400 for most.
    pub status: u16,
    /// The message, naming the offending value.
    pub message: String,
}

impl ApiError {
    /// An error with status 400.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), status: 400, message: message.into() }
    }

    /// The same error with another HTTP status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// ELBv2's error for input that is wrong in itself.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }

    /// EC2's error for a parameter with an unusable value.
    pub(crate) fn parameter_value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }
}
