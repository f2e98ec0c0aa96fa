//! The journal over HTTP: `/_landfall/journal`, its counts, wait-for, and the live stream.
//!
//! Imports `journal`. The stream is server-sent events (HTML standard, "Server-sent events"): one event per call, made by a task that
//! follows the ring, so that a slow reader costs nothing but its own place.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::http::request::Parts;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Answer, Refusal, query_number, respond};
use crate::journal::{Filter, Journal};

mod feed;

/// Query parameters that are no conditions of a [`Filter`].
const OWN: &[&str] = &["since", "limit", "count", "timeout"];

/// The longest that `wait` waits.
const LONGEST_WAIT: f64 = 600.0;

/// A comment is sent when nothing happened for so long, so that both sides notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events that may wait for a slow reader.
const WAITING: usize = 64;

/// The query string of a request.
type Query = BTreeMap<String, String>;

/// Answers a call of the journal's endpoints; `None` for any other.
pub(crate) async fn answer(journal: &Journal, head: &Parts, query: &Query) -> Option<Answer> {
    let result = match (head.uri.path(), head.method.as_str()) {
        ("/_landfall/journal/stream", "GET") => match stream(journal, query, head) {
            Ok(stream) => return Some(stream),
            Err(refusal) => Err(refusal),
        },
        ("/_landfall/journal/wait", "GET") => wait(journal, query).await,
        ("/_landfall/journal", "GET") => list(journal, query),
        ("/_landfall/journal/counts", "GET") => super::to_json(&journal.counts()),
        ("/_landfall/journal", "DELETE") => {
            journal.clear();
            Ok(json!({ "next_sequence": journal.next_sequence() }))
        }
        _ => return None,
    };
    Some(super::json(result))
}

/// `GET /_landfall/journal`: the calls from `since` on that the filter accepts, the newest `limit` of them.
fn list(journal: &Journal, query: &Query) -> Result<Value, Refusal> {
    let filter = filter(query)?;
    let limit = query_number(query, "limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    super::to_json(&journal.select(query_number(query, "since")?.unwrap_or(0), &filter, limit))
}

/// `GET /_landfall/journal/wait`: the first `count` (1) calls from `since` (1) on, once they have happened.
async fn wait(journal: &Journal, query: &Query) -> Result<Value, Refusal> {
    let filter = filter(query)?;
    let count = query_number(query, "count")?.unwrap_or(1);
    let seconds = match query.get("timeout") {
        None => 30.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (0.0..=LONGEST_WAIT).contains(seconds))
            .ok_or_else(|| (400, format!("timeout: '{text}' is not a number of seconds from 0 to {LONGEST_WAIT}")))?,
    };
    let from = query_number(query, "since")?.unwrap_or(1);
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let found = journal.wait_for_calls(from, &filter, wanted, Duration::from_secs_f64(seconds)).await;
    if found.len() < wanted {
        return Err((408, format!("{} of {count} such calls happened within {seconds} s", found.len())));
    }
    super::to_json(&found)
}

/// `GET /_landfall/journal/stream`: calls as they happen.
fn stream(journal: &Journal, query: &Query, head: &Parts) -> Result<Answer, Refusal> {
    let filter = filter(query)?;
    // A browser that connects again says where it was (`Last-Event-ID`).
    let last = head.headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let from = match (last, query_number(query, "since")?) {
        (Some(last), _) => last.saturating_add(1),
        (None, Some(since)) => since,
        (None, None) => journal.next_sequence(),
    };
    let (events, feed) = feed::Feed::new(WAITING);
    tokio::spawn(follow(journal.clone(), filter, from, events));
    let mut answer = respond(200, "text/event-stream", String::new());
    *answer.body_mut() = feed.boxed();
    answer.headers_mut().insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Sends until the reader is gone.
async fn follow(journal: Journal, filter: Filter, mut from: u64, events: mpsc::Sender<Bytes>) {
    let mut changes = journal.changes();
    loop {
        changes.mark_unchanged();
        let piece = journal.piece(from, WAITING);
        // Not for entries before the first: nobody can have been reading those.
        let missed = piece.entries.first().map_or(0, |first| first.sequence.saturating_sub(from.max(1)));
        if missed > 0 && events.send(event(None, "dropped", &json!({ "entries": missed }))).await.is_err() {
            return;
        }
        let caught_up = piece.entries.is_empty();
        from = piece.next;
        for entry in piece.entries.iter().filter(|entry| filter.accepts(entry)) {
            let Ok(data) = serde_json::to_value(entry.as_ref()) else { continue };
            if events.send(event(Some(entry.sequence), "call", &data)).await.is_err() {
                return;
            }
        }
        if !caught_up {
            continue;
        }
        tokio::select! {
            () = events.closed() => return,
            _ = changes.changed() => {}
            () = tokio::time::sleep(HEARTBEAT) => {
                if events.send(Bytes::from_static(b": nothing new\n\n")).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn event(id: Option<u64>, name: &str, data: &Value) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {name}\ndata: {data}\n\n"))
}

/// The conditions in a query string: `action=Create*`, `write=true`, `parameter=Name=lf-*`.
fn filter(query: &Query) -> Result<Filter, Refusal> {
    let mut conditions = serde_json::Map::new();
    for (name, value) in query.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        let value = match name.as_str() {
            "write" => value.parse().map(Value::Bool).map_err(|_| (400, format!("write: '{value}' is not true or false")))?,
            "parameter" => value
                .split_once('=')
                .map(|(name, value)| json!([name, value]))
                .ok_or_else(|| (400, format!("parameter: '{value}' is not NAME=PATTERN")))?,
            _ => Value::String(value.clone()),
        };
        conditions.insert(name.clone(), value);
    }
    serde_json::from_value(Value::Object(conditions)).map_err(|error| (400, format!("the query: {error}; or {}", OWN.join(", "))))
}
