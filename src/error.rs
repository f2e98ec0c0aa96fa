//! What an error means for the loop: its class alone decides whether and when work is tried again.
//!
//! Every typed error of the crate answers [`Classified`]. Imports nothing; everything may import this.

use std::fmt;

/// Why something failed, as far as the next step is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The user's object is wrong: nothing helps but a change of that object.
    Input,
    /// AWS or Kubernetes denied the call: tried again slowly, somebody must grant something.
    Permission,
    /// An AWS quota is exhausted: tried again slowly.
    Quota,
    /// AWS asked us to slow down: tried again with back-off.
    Throttled,
    /// Network, time-out or 5xx: tried again with back-off.
    Transient,
    /// AWS or Kubernetes is not in the state that was read: observe anew at once.
    Stale,
    /// AWS is still using what is to be deleted, or a target is not running: tried again with back-off, by design of AWS.
    Busy,
    /// Something that cannot happen did: logged loudly, tried again slowly.
    Bug,
}

impl Class {
    /// Stable lower-case label for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Permission => "permission",
            Self::Quota => "quota",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with a stable code (event reason = metric label = anchor in `docs/reference/errors.md`) and a class.
pub trait Classified {
    /// Stable PascalCase code.
    fn code(&self) -> &str;
    /// What to do about it.
    fn class(&self) -> Class;
}
