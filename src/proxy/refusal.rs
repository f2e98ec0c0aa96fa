//! Why a request is answered by the proxy itself, without looking further at it.
//!
//! Pure. Statuses are nginx's; where nginx writes one of its own codes (494, 499) into its log, this does so too.

use http::StatusCode;

/// A request that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400: malformed, or open to two readings.
    BadRequest,
    /// 400: one line of the head, or the head, is too large.
    HeaderTooLarge,
    /// 405: CONNECT or TRACE.
    NotAllowed,
    /// 408: the head or the body did not come in time.
    Timeout,
    /// 413: the body is larger than the route allows.
    BodyTooLarge,
    /// 414: the request line is too long.
    UriTooLong,
    /// 431: too many header fields.
    TooManyHeaders,
    /// 505: a version of HTTP that is not spoken here.
    Version,
}

impl Refusal {
    /// As sent.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::HeaderTooLarge => StatusCode::BAD_REQUEST,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    /// A second line on the page.
    pub(crate) fn detail(self) -> Option<&'static str> {
        (self == Self::HeaderTooLarge).then_some("Request Header Or Cookie Too Large")
    }
}
