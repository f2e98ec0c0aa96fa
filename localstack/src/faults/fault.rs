//! What can go wrong with a call, and the errors that each service words in its own way.
//!
//! Imports `error`, `durations` for seconds in JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call is answered as ever, but so much later (real time). Several delays add up, and combine with any other fault.
    Delay(#[serde(with = "crate::durations::seconds")] Duration),
    /// The same with a delay from one to the other, drawn from the seed.
    DelayBetween(#[serde(with = "crate::durations::seconds")] Duration, #[serde(with = "crate::durations::seconds")] Duration),
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
    /// A token bucket for each account, region and action: a call that finds it empty meets [`Fault::Throttle`]. The first bucket that is for
    /// a call is the one that counts.
    Bucket {
        /// Tokens in a full bucket.
        burst: u32,
        /// Tokens that come back, on the emulator's clock.
        per_second: f64,
    },
    /// The service's own refusal for a missing permission: ELBv2 `AccessDenied` 403, EC2 `UnauthorizedOperation` 403.
    Denied,
    /// The caller's temporary credentials have expired: `ExpiredToken` 403, EC2 `RequestExpired` 400.
    ExpiredToken,
    /// The caller's clock is wrong by more than AWS allows: `SignatureDoesNotMatch` 403, EC2 `RequestExpired` 400.
    ClockSkew,
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
    /// The effect takes place, and half of the answer arrives before the connection is closed.
    Truncate,
    /// A read is answered from the state as it was so long ago on the emulator's clock (not before the rule was added). In front of another
    /// endpoint: with the last answer to the same query, if that is not older. Writes are left alone.
    StaleRead(#[serde(with = "crate::durations::seconds")] Duration),
    /// The answer as ever, but with another text in every element (JSON: member; CBOR stays as it is) of this name: a state, an enum value that the caller does not know.
    Replace {
        /// The XML element: `State`, `Code`.
        element: String,
        /// Its text.
        text: String,
    },
    /// The call is answered as ever, and somebody else makes a call of their own.
    Edit(Edit),
}

/// A call that somebody else makes because of a call: a colleague in the console, another controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// `elasticloadbalancing`, `ec2`.
    pub service: String,
    /// The action.
    pub action: String,
    /// Form fields. `{LoadBalancerArn}` in a value is the text of that element in the answer to the call, or else the call's own parameter.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// How long after the call, on the emulator's clock; at once (before the caller sees its answer) when it is zero.
    #[serde(default, with = "crate::durations::seconds")]
    pub after: Duration,
}

/// The account, service and action of a call, for errors that name them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) account: &'a str,
    pub(crate) service: &'a str,
    pub(crate) action: &'a str,
}

impl Fault {
    /// Whether it leaves room for another fault of the same call.
    pub(super) fn combines(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::DelayBetween(..) | Self::Edit(_))
    }

    /// Whether it needs the state that the call is about.
    pub(crate) fn needs_state(&self) -> bool {
        matches!(self, Self::Edit(_))
    }

    /// What makes no sense about it.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::DelayBetween(from, to) if from > to => Err(format!(
                "delay_between: {} is more than {}: give the shorter delay first",
                from.as_secs_f64(),
                to.as_secs_f64()
            )),
            Self::Error { status, .. } | Self::ErrorAfter { status, .. } if !(400..=599).contains(status) => {
                Err(format!("status: {status} is no error: use 400 to 599"))
            }
            Self::Bucket { burst: 0, .. } => Err("bucket.burst: an empty bucket lets nothing through: use 1 or more".to_owned()),
            Self::Bucket { per_second, .. } if !(per_second.is_finite() && *per_second >= 0.0) => {
                Err(format!("bucket.per_second: {per_second} is not a number from 0 on"))
            }
            Self::Replace { element, .. } if !is_name(element) => {
                Err(format!("replace.element: '{element}' is no name of an XML element, such as State"))
            }
            Self::Edit(edit) if edit.action.is_empty() || edit.service.is_empty() => {
                Err("edit: service and action are needed, such as ec2 and DeleteTags".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The error that replaces the effect, if this fault is one.
    pub(crate) fn refusal(&self, asked: Asked<'_>) -> Option<ApiError> {
        let Asked { account, service, action } = asked;
        let (ec2, json) = (service == "ec2", ["acm", "tagging"].contains(&service));
        let error = |code: &str, status: u16, message: &str| Some(ApiError::new(code, message).with_status(status));
        match self {
            Self::Error { code, status, message } => error(code, *status, message),
            Self::Throttle | Self::Bucket { .. } => match service {
                "ec2" => error("RequestLimitExceeded", 503, "Request limit exceeded."),
                _ if json => error("ThrottlingException", 400, "Rate exceeded"),
                _ => error("Throttling", 400, "Rate exceeded"),
            },
            Self::Denied if ec2 => error(
                "UnauthorizedOperation",
                403,
                &format!("You are not authorized to perform this operation: {service}:{action}."),
            ),
            Self::Denied => {
                let user = format!("arn:aws:iam::{account}:user/caller");
                let (code, status) = if json { ("AccessDeniedException", 400) } else { ("AccessDenied", 403) };
                error(code, status, &format!("User: {user} is not authorized to perform: {service}:{action}"))
            }
            Self::ExpiredToken if ec2 => error("RequestExpired", 400, "Request has expired."),
            Self::ExpiredToken if json => {
                error("ExpiredTokenException", 400, "The security token included in the request is expired")
            }
            Self::ExpiredToken => error("ExpiredToken", 403, "The security token included in the request is expired"),
            Self::ClockSkew if ec2 => error("RequestExpired", 400, "Request has expired."),
            Self::ClockSkew => error(
                if json { "InvalidSignatureException" } else { "SignatureDoesNotMatch" },
                if json { 400 } else { 403 },
                "Signature expired: the time of the request is more than 5 minutes in the past",
            ),
            _ => None,
        }
    }

    /// How the journal words it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Delay(by) => format!("delay {} ms", by.as_millis()),
            Self::DelayBetween(from, to) => format!("delay {}-{} ms", from.as_millis(), to.as_millis()),
            Self::Error { code, .. } => format!("error {code}"),
            Self::Throttle => "throttle".to_owned(),
            Self::Bucket { .. } => "bucket".to_owned(),
            Self::Denied => "denied".to_owned(),
            Self::ExpiredToken => "expired_token".to_owned(),
            Self::ClockSkew => "clock_skew".to_owned(),
            Self::ErrorAfter { code, .. } => format!("error_after {code}"),
            Self::DropBefore => "drop_before".to_owned(),
            Self::DropAfter => "drop_after".to_owned(),
            Self::Hang(duration) => format!("hang {} ms", duration.as_millis()),
            Self::Html500 => "html500".to_owned(),
            Self::Truncate => "truncate".to_owned(),
            Self::StaleRead(lag) => format!("stale_read {} s", lag.as_secs_f64()),
            Self::Replace { element, .. } => format!("replace {element}"),
            Self::Edit(edit) => format!("edit {}", edit.action),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
