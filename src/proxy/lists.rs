//! Header fields that are lists (RFC 9110 §5.6.1).

use http::header::{AsHeaderName, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether a list has this token, in any case.
pub(super) fn has(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token))
}

/// Whether any field of this name has this token.
pub(super) fn any_has(headers: &HeaderMap, name: impl AsHeaderName, token: &[u8]) -> bool {
    headers.get_all(name).iter().any(|value| has(value.as_bytes(), token))
}

/// The field names that a list has.
pub(super) fn names(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    value.as_bytes().split(|byte| *byte == b',').filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

/// The trailer fields that a message announces.
pub(super) fn trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.get_all(TRAILER).iter().flat_map(names).collect()
}
