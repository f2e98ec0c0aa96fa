//! Does to a call what was picked for it, whoever answers it.
//!
//! Imports its siblings and `server` for answers. Between [`before`] and [`after`] the emulator carries the call out, or the proxy asks its
//! upstream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use serde_json::Value;

use super::fault::Asked;
use super::{Fault, Picked};
use crate::error::ApiError;
use crate::journal::Outcome;
use crate::server::{Answer, Closed, whole};
use crate::xml;

/// What came of a call, and the answer as it would be sent.
pub(crate) type Effect = (Outcome, Response<Bytes>);

/// What the caller is told in the end; the first is for the journal.
pub(crate) type Told = (Outcome, Result<Answer, Closed>);

/// Lets a call wait, and answers it if it is not to take place. `refuse` words an error. Every wait is here: what follows happens at once.
pub(crate) async fn before(picked: &Picked, asked: Asked<'_>, refuse: impl Fn(&ApiError) -> Response<Bytes>) -> Option<Told> {
    if !picked.delay.is_zero() {
        tokio::time::sleep(picked.delay).await;
    }
    match picked.fault.as_ref()? {
        Fault::StaleRead(_) | Fault::ErrorAfter { .. } | Fault::DropAfter | Fault::Truncate | Fault::Replace { .. } => None,
        Fault::Hang(duration) => {
            tokio::time::sleep(*duration).await;
            Some((Outcome::Dropped, Err(Closed)))
        }
        Fault::Html500 => {
            let page = "<html><body><h1>500 Internal Server Error</h1></body></html>\n".to_owned();
            Some((Outcome::Error { code: String::new(), status: 500 }, Ok(crate::server::respond(500, "text/html", page))))
        }
        fault => Some(match fault.refusal(asked) {
            Some(error) => (Outcome::of(&error), Ok(whole(refuse(&error)))),
            // `DropBefore`; what combines with others is never here.
            None => (Outcome::Dropped, Err(Closed)),
        }),
    }
}

/// What the caller is told of a call that has taken place.
pub(crate) fn after(picked: &Picked, (outcome, answer): Effect, refuse: impl Fn(&ApiError) -> Response<Bytes>) -> Told {
    match &picked.fault {
        Some(Fault::ErrorAfter { code, status, message }) if outcome == Outcome::Ok => {
            let error = ApiError::new(code, message).with_status(*status);
            (Outcome::of(&error), Ok(whole(refuse(&error))))
        }
        // What the call did stands; its caller learns nothing, not even a failure.
        Some(Fault::DropAfter) => (Outcome::Dropped, Err(Closed)),
        Some(Fault::Truncate) => (Outcome::Dropped, Ok(half(answer))),
        Some(Fault::Replace { element, text }) => (outcome, Ok(whole(replace_in(answer, element, text)))),
        _ => (outcome, Ok(whole(answer))),
    }
}

impl Picked {
    /// How old the answer to a read is to be, on purpose.
    pub(crate) fn stale(&self) -> Option<Duration> {
        if let Some(Fault::StaleRead(lag)) = &self.fault { Some(*lag) } else { None }
    }
}

/// An answer that promises all and ends in the middle.
fn half(answer: Response<Bytes>) -> Answer {
    let length = answer.body().len();
    let mut answer = answer.map(|body| Cut(Some(body.slice(..length / 2))).boxed());
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    answer
}

/// One piece, then an end that is none.
struct Cut(Option<Bytes>);

impl Body for Cut {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        Poll::Ready(Some(self.0.take().map_or(Err(Closed), |piece| Ok(Frame::data(piece)))))
    }
}

/// The answer with another text in every element, or member in JSON, of this name. CBOR stays as it is.
fn replace_in(answer: Response<Bytes>, element: &str, text: &str) -> Response<Bytes> {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.contains("json") {
        return answer.map(|body| match serde_json::from_slice(&body) {
            Ok(mut document) => {
                replace_members(&mut document, element, text);
                Bytes::from(document.to_string())
            }
            Err(_) => body,
        });
    }
    if kind.contains("cbor") {
        return answer;
    }
    answer.map(|body| replace(&body, element, text))
}

/// Sets every member of this name that holds a text.
fn replace_members(value: &mut Value, name: &str, text: &str) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == name && member.is_string() {
                    *member = Value::from(text);
                } else {
                    replace_members(member, name, text);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace_members(item, name, text)),
        _ => {}
    }
}

/// The body with `text` in every element of this name that holds a text.
fn replace(body: &Bytes, element: &str, text: &str) -> Bytes {
    let Ok(body_text) = std::str::from_utf8(body) else { return body.clone() };
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let mut out = String::with_capacity(body_text.len());
    let mut pieces = body_text.split(&open);
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.push_str(&open);
        match piece.split_once(&close) {
            Some((content, rest)) if !content.contains('<') => {
                out.push_str(&xml::escape(text));
                out.push_str(&close);
                out.push_str(rest);
            }
            _ => out.push_str(piece),
        }
    }
    Bytes::from(out)
}

/// What was picked as the journal words it.
pub(crate) fn describe(picked: &Picked) -> Option<String> {
    let delay = (!picked.delay.is_zero()).then(|| Fault::Delay(picked.delay).describe());
    let edits = picked.edits.iter().map(|edit| Fault::Edit(edit.clone()).describe());
    let all: Vec<String> = delay.into_iter().chain(edits).chain(picked.fault.as_ref().map(Fault::describe)).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
