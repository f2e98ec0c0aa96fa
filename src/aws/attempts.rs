//! Sees every attempt of every call on its way to the wire and back: meter, throttle, trace, and the gate once more.
//!
//! An SDK interceptor, because the SDK repeats calls by itself: a write that is tried again after the leadership was lost
//! must not go out, and throttle answers that the SDK hides must still slow us down. Neighbours: `call.rs` (whole calls),
//! `client.rs` (installs this in both clients).

use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_elasticloadbalancingv2::config::retry::RetryConfig;
use aws_sdk_elasticloadbalancingv2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_elasticloadbalancingv2::error::BoxError;
use aws_sdk_elasticloadbalancingv2::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::client::WriteGate;
use super::codes::{class_of, class_of_status, reason_of};
use super::error::GateClosed;
use super::meter::Meter;
use super::operation::Operation;
use super::throttle::Throttle;
use crate::clock::{self, Instant};
use crate::error::Class;

/// A call that AWS throttles is sent three times at most: beyond that our own throttle and the queue decide when.
const THROTTLED_ATTEMPTS: u32 = 3;

/// The interceptor.
pub(super) struct Attempts {
    pub(super) meter: Meter,
    pub(super) throttle: Arc<Throttle>,
    pub(super) gate: Option<WriteGate>,
}

/// When the attempt in flight was sent; `None` when none is.
#[derive(Debug)]
struct SentAt(Option<Instant>);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

/// The SDK takes a document that ends early for one with less in it: a listing that was cut off would look complete.
#[derive(Debug, thiserror::Error)]
#[error("the answer is cut off")]
struct CutOff;

impl std::fmt::Debug for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attempts")
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(operation), Some(gate)) = (operation(cfg), &self.gate)
            && operation.is_write()
            && !gate()
        {
            return Err(GateClosed.into());
        }
        cfg.interceptor_state().store_put(SentAt(Some(clock::now())));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let cut_off = response.status().is_success() && response.body().bytes().is_some_and(|body| !is_whole(body));
        if cut_off { Err(CutOff.into()) } else { Ok(()) }
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (Some(operation), Some(&SentAt(Some(sent)))) = (operation(cfg), cfg.load::<SentAt>()) else {
            return Ok(());
        };
        let number = cfg.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        cfg.interceptor_state().store_put(SentAt(None));

        let failed = !matches!(context.output_or_error(), Some(Ok(_)));
        let (outcome, class) = match (failed, context.response()) {
            (false, _) => ("ok".to_owned(), None),
            (true, Some(response)) => failure(response),
            (true, None) => ("AwsUnreachable".to_owned(), Some(Class::Transient)),
        };
        let took = clock::now().saturating_duration_since(sent);
        self.meter.attempt(operation, &outcome, took);
        let throttled = class == Some(Class::Throttled);
        // Only a success or a throttle answer tells something about AWS's buckets.
        if throttled || class.is_none() {
            self.throttle.answered(operation, sent, throttled);
        }
        if throttled && let Some(retries) = cfg.load::<RetryConfig>().cloned() {
            cfg.interceptor_state().store_put(retries.with_max_attempts(THROTTLED_ATTEMPTS));
        }
        tracing::debug!(
            operation = operation.iam_action(),
            outcome,
            attempt = number,
            milliseconds = took.as_millis(),
            request_id = context.response().and_then(RequestId::request_id),
            "AWS call"
        );
        Ok(())
    }
}

fn operation(cfg: &ConfigBag) -> Option<Operation> {
    cfg.load::<Metadata>().and_then(|metadata| Operation::named(metadata.name()))
}

/// Code and class of a failed answer. The SDK has parsed it into a type of the operation's own that cannot be named here,
/// so the code is read from the body: both protocols carry it in one `Code` element.
fn failure(response: &HttpResponse) -> (String, Option<Class>) {
    let status = response.status().as_u16();
    match response.body().bytes().and_then(code_element) {
        Some(code) => (reason_of(code), Some(class_of(code, status))),
        None => ("UnexpectedAnswer".to_owned(), Some(class_of_status(status))),
    }
}

fn code_element(body: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.trim()).filter(|code| !code.is_empty())
}

/// Whether an XML document ends with the end of its root element.
fn is_whole(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let is_element = |part: &&str| part.starts_with(|c: char| c.is_ascii_alphabetic());
    let Some(root) = text.split('<').find(is_element) else { return false };
    let name = root.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next().unwrap_or_default();
    let closed = text.trim_end().strip_suffix('>').is_some_and(|text| text.ends_with(&format!("</{name}")));
    let empty = root.trim_end().ends_with("/>") && text.trim_end().ends_with(root.trim_end());
    closed || empty
}

#[cfg(test)]
mod tests {
    use super::{code_element, is_whole};

    #[test]
    fn a_document_is_whole_when_its_root_ends() {
        for whole in ["<?xml version=\"1.0\"?>\n<A xmlns=\"u\"><b/></A>\n", "<A></A>", "<A/>", "<!-- c --><A x=\"y\" />"] {
            assert!(is_whole(whole.as_bytes()), "{whole}");
        }
        for cut in ["", "<?xml version=\"1.0\"?>", "<A><b/>", "<A><b></b>", "<A><b></A", "<A"] {
            assert!(!is_whole(cut.as_bytes()), "{cut}");
        }
    }

    #[test]
    fn the_code_is_found_in_errors_of_both_protocols() {
        let elb =
            b"<ErrorResponse><Error><Type>Sender</Type><Code>ResourceInUse</Code><Message>m</Message></Error></ErrorResponse>";
        let ec2 = b"<Response><Errors><Error><Code>InvalidGroup.NotFound</Code><Message>m</Message></Error></Errors></Response>";
        assert_eq!(code_element(elb), Some("ResourceInUse"));
        assert_eq!(code_element(ec2), Some("InvalidGroup.NotFound"));
        assert_eq!(code_element(b"<html>500</html>"), None);
        assert_eq!(code_element(b"<Code></Code>"), None);
        assert_eq!(code_element(&[0xff, 0xfe]), None);
    }
}
