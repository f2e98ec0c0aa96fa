//! Which of AWS's protocols a call is in: Query (a form), awsJson 1.1 (`X-Amz-Target`), or smithy's RPC with CBOR (a path).
//!
//! Imports `json` and the table of services. Behind this, a call is a form with `Action` and `Version`, whatever it came in; an answer is
//! text until [`Protocol::answer`].

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Response};

use super::{aws, written};
use crate::error::ApiError;
use crate::query::{Dialect, Form};
use crate::service::Service;
use crate::{acm, elbv2, json};

/// How a call came and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Query,
    Json,
    Cbor,
}

impl Protocol {
    /// Reads a call; an error stands for a body that cannot be read, with the `Action` in the form all the same.
    pub(crate) fn read(head: &Parts, body: &[u8]) -> (Self, Form, Result<(), ApiError>) {
        let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).and_then(|text| text.split_once('.'));
        let (protocol, prefix, action) = match (target, smithy_path(head.uri.path())) {
            // Some SDKs name the target in a header as well.
            (_, Some((prefix, action))) => (Self::Cbor, prefix, action),
            (Some((prefix, action)), None) => (Self::Json, prefix, action),
            (None, None) => return (Self::Query, read_form(head, body), Ok(())),
        };
        let service = aws::SERVICES.iter().find(|known| known.dialect == Dialect::Json && known.namespace == prefix);
        let parameters = service.and_then(|service| service.action(action)).map_or(&[][..], |action| action.parameters);
        let read = if protocol == Self::Json { json::read } else { json::read_cbor }(body, parameters);
        let (mut form, result) = match read {
            Ok(form) => (form, Ok(())),
            Err(error) => (Form::new(), Err(error)),
        };
        form.insert("Action".to_owned(), action.to_owned());
        let version = service.map_or(prefix, |service| service.version);
        form.insert("Version".to_owned(), version.to_owned());
        (protocol, form, result)
    }

    /// An answer of a service: its text, in the encoding and with the headers of the protocol.
    pub(crate) fn answer(self, status: u16, body: String, request_id: &str) -> Response<Bytes> {
        let mut answer = match self {
            Self::Query => written(status, "text/xml;charset=utf-8", body),
            Self::Json => written(status, "application/x-amz-json-1.1", body),
            Self::Cbor => written(status, "application/cbor", json::to_cbor(&body)),
        };
        if self == Self::Cbor {
            answer.headers_mut().insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
        }
        if let Ok(value) = HeaderValue::from_str(request_id) {
            answer.headers_mut().insert("x-amzn-requestid", value);
        }
        answer
    }

    /// An error in the words of a service; without one, as the services of the protocol do.
    pub(crate) fn refuse(self, service: Option<&Service>, error: &ApiError, request_id: &str) -> Response<Bytes> {
        let service = service.unwrap_or(if self == Self::Query { &elbv2::SERVICE } else { &acm::SERVICE });
        self.answer(error.status, service.failure(error, request_id), request_id)
    }
}

/// `/service/PREFIX/operation/ACTION`.
fn smithy_path(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/service/")?.split_once("/operation/")
}

/// The query string of a GET, or the form in the body.
fn read_form(head: &Parts, body: &[u8]) -> Form {
    let text = if head.method == Method::GET { head.uri.query().unwrap_or_default().as_bytes() } else { body };
    form_urlencoded::parse(text).into_owned().collect()
}
