//! Eventual consistency: from which state a call is answered.
//!
//! A read may be answered from the past, and whatever names a thing that is too fresh may not find it. Imports `service`, `model`
//! (`history.rs` keeps the past), `durations`. Asked by `server/aws.rs` for each call.

use std::time::Duration;

use jiff::Timestamp;

use crate::durations::Durations;
use crate::error::ApiError;
use crate::journal::is_write;
use crate::model::State;
use crate::query::Form;
use crate::service::Service;

/// The name of the Resource Groups Tagging API in a credential scope: an index of its own, far behind.
const TAGGING: &str = "tagging";

/// Answers a call as [`Service::run`] does, but from the past where AWS would. `stale` is the lag of a read on purpose.
pub(crate) fn run(
    service: &Service,
    form: &Form,
    state: &mut State,
    now: Timestamp,
    durations: &Durations,
    stale: Option<Duration>,
    request_id: &str,
) -> Result<String, ApiError> {
    let action = form.get("Action").map(String::as_str).unwrap_or_default();
    let names_something = form.keys().any(|key| is_name(key));
    if names_something && let Some((mut past, then)) = state.past(now, durations.fresh_ids) {
        // What the call would do to the past is thrown away: all that counts is what it did not find there.
        match service.run(form, &mut past, then, durations, request_id) {
            Err(error) if error.code.contains("NotFound") => return Err(error),
            _ => {}
        }
    }
    if !is_write(action) {
        let lag = stale.unwrap_or(if service.name == TAGGING {
            durations.tag_index_lag
        } else if !names_something || action == "DescribeTags" {
            durations.lists_lag
        } else {
            durations.reads_lag
        });
        if let Some((mut past, then)) = state.past(now, lag) {
            return service.run(form, &mut past, then, durations, request_id);
        }
    }
    service.run(form, state, now, durations, request_id)
}

/// Whether a form field names the thing that the call is about: `LoadBalancerArn`, `Names.member.1`, `GroupId.1`.
fn is_name(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or(key);
    ["Arn", "Arns", "Id", "Names", "GroupName"].iter().any(|suffix| first.ends_with(suffix))
}

impl Durations {
    /// The longest lag that an answer can have.
    pub(crate) fn longest_lag(&self) -> Duration {
        self.fresh_ids.max(self.reads_lag).max(self.lists_lag).max(self.tag_index_lag)
    }
}
