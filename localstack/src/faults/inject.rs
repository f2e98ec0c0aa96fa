//! Does to a call what was picked for it, whoever answers it.
//!
//! Imports its siblings and `server` for answers. The effect is a function: the emulator carries the call out, the proxy asks its upstream.

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
pub(crate) type Effect = (Outcome, Result<Response<Bytes>, Closed>);

/// Answers a call with what was picked for it. `effect` carries it out, as a read of so long ago if that is given; `refuse` words an error.
pub(crate) async fn carry_out<F>(
    picked: &Picked,
    asked: Asked<'_>,
    refuse: impl Fn(&ApiError) -> Response<Bytes>,
    effect: impl FnOnce(Option<Duration>) -> F,
) -> (Outcome, Result<Answer, Closed>)
where
    F: Future<Output = Effect>,
{
    let refused =
        |error: &ApiError| (Outcome::Error { code: error.code.clone(), status: error.status }, Ok(whole(refuse(error))));
    match &picked.fault {
        None => finish(effect(None).await),
        Some(Fault::StaleRead(lag)) => finish(effect(Some(*lag)).await),
        Some(Fault::ErrorAfter { code, status, message }) => match effect(None).await {
            (Outcome::Ok, _) => refused(&ApiError::new(code, message).with_status(*status)),
            other => finish(other),
        },
        Some(Fault::DropAfter) => {
            // What the call did stands; its caller learns nothing, not even a failure.
            let _ = effect(None).await;
            (Outcome::Dropped, Err(Closed))
        }
        Some(Fault::Hang(duration)) => {
            tokio::time::sleep(*duration).await;
            (Outcome::Dropped, Err(Closed))
        }
        Some(Fault::Html500) => {
            let page = "<html><body><h1>500 Internal Server Error</h1></body></html>\n".to_owned();
            (Outcome::Error { code: String::new(), status: 500 }, Ok(crate::server::respond(500, "text/html", page)))
        }
        Some(Fault::Truncate) => match effect(None).await {
            (_, Ok(answer)) => (Outcome::Dropped, Ok(half(answer))),
            other => finish(other),
        },
        Some(Fault::Replace { element, text }) => {
            let (outcome, answer) = effect(None).await;
            finish((outcome, answer.map(|answer| replace_in(answer, element, text))))
        }
        Some(fault) => match fault.refusal(asked) {
            Some(error) => refused(&error),
            // `DropBefore`; what combines with others is never here.
            None => (Outcome::Dropped, Err(Closed)),
        },
    }
}

fn finish((outcome, answer): Effect) -> (Outcome, Result<Answer, Closed>) {
    (outcome, answer.map(whole))
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
