//! The page at `/_landfall/`, and what only it asks for. Files that are part of the program: nothing is built, nothing is fetched from
//! elsewhere, and the browser is told to allow nothing else.
//!
//! Imports `model`, `region`, `shared`. Clock, faults and journal are those of `server/admin.rs`.

use std::collections::BTreeMap;

use hyper::Method;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::{Answer, Refusal, query_number, respond, to_json};
use crate::model::State;
use crate::region::Region;
use crate::shared::Shared;

/// Whatever a tag or a name says, no script but the page's own runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Load balancers, and targets of a group, unless `limit` says otherwise.
const LIMIT: u64 = 100;
const MOST: u64 = 10_000;

/// The page or a part of it, if that is what was asked for.
pub(super) fn file(head: &Parts) -> Option<Answer> {
    let (kind, text) = match head.uri.path() {
        "/_landfall" | "/_landfall/" => ("text/html; charset=utf-8", include_str!("console/page.html")),
        "/_landfall/page.css" => ("text/css; charset=utf-8", include_str!("console/page.css")),
        "/_landfall/page.js" => ("text/javascript; charset=utf-8", include_str!("console/page.js")),
        "/_landfall/calls.js" => ("text/javascript; charset=utf-8", include_str!("console/calls.js")),
        "/_landfall/view.js" => ("text/javascript; charset=utf-8", include_str!("console/view.js")),
        _ => return None,
    };
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let mut answer = respond(200, kind, text.to_owned());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Another version may answer on the same port in a minute.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(answer)
}

/// `GET /_landfall/places`: every account and region that was ever used.
pub(super) fn places(shared: &Shared) -> Value {
    let place = |state: &State| {
        let balancers = state.balancing.load_balancers.len();
        let empty = state.network.vpcs.is_empty() && balancers + state.balancing.target_groups.len() == 0;
        json!({ "account": state.place.account, "region": state.place.region, "load_balancers": balancers, "empty": empty })
    };
    shared.accounts().iter().map(|account| shared.with(account, |state, _, _| place(state))).collect()
}

/// `GET /_landfall/overview?account=&region=[&match=TEXT][&limit=100]`.
pub(super) fn overview(region: &Region, query: &BTreeMap<String, String>) -> Result<Value, Refusal> {
    let matching = query.get("match").map_or("", String::as_str);
    to_json(&region.overview(matching, limit(query)?))
}

/// `GET /_landfall/targets?account=&region=&target_group=ARN[&limit=100]`.
pub(super) fn targets(region: &Region, query: &BTreeMap<String, String>) -> Result<Value, Refusal> {
    let group = query.get("target_group").ok_or_else(|| (400, "target_group: an ARN is needed".to_owned()))?;
    to_json(&region.first_targets(group, limit(query)?))
}

fn limit(query: &BTreeMap<String, String>) -> Result<usize, Refusal> {
    let limit = query_number(query, "limit")?.unwrap_or(LIMIT).min(MOST);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}
