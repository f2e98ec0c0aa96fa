//! The answers that the proxy gives itself; pages as nginx writes them.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};

use super::super::refusal::Refusal;

/// An answer of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A page that names the status.
    Status(StatusCode),
    /// The same, for a request that is not served.
    Refused(Refusal),
    /// Elsewhere.
    Redirect(StatusCode, HeaderValue),
    /// `/healthz`.
    Healthy,
}

impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Status(status) | Self::Redirect(status, _) => *status,
            Self::Refused(refusal) => refusal.status(),
            Self::Healthy => StatusCode::OK,
        }
    }

    /// After this answer nothing that the client sends on the connection can be believed.
    pub(super) fn closes(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Its body, and the headers that belong to it.
    pub(super) fn render(self, headers: &mut HeaderMap) -> Bytes {
        let status = self.status();
        let detail = match self {
            Self::Healthy => return Bytes::new(),
            Self::Redirect(_, location) => {
                headers.insert(LOCATION, location);
                None
            }
            Self::Refused(refusal) => refusal.detail(),
            Self::Status(_) => None,
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        page(status, detail).into()
    }
}

fn page(status: StatusCode, detail: Option<&str>) -> String {
    let number = status.as_u16();
    let reason = match number {
        302 => "Found",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        408 => "Request Time-out",
        405 => "Not Allowed",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    let title = detail.map_or_else(|| format!("{number} {reason}"), |detail| format!("{number} {detail}"));
    let detail = detail.map(|detail| format!("<center>{detail}</center>\r\n")).unwrap_or_default();
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{number} {reason}</h1></center>\r\n{detail}\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_nginxs() {
        let mut headers = HeaderMap::new();
        let page = Answer::Status(StatusCode::NOT_FOUND).render(&mut headers);
        assert_eq!(
            page,
            "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n\
             <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        assert_eq!(headers[CONTENT_TYPE], "text/html");
        let page = Answer::Refused(Refusal::HeaderTooLarge).render(&mut headers);
        let page = std::str::from_utf8(&page).unwrap();
        assert!(page.contains("<title>400 Request Header Or Cookie Too Large</title>"), "{page}");
        assert!(page.contains("<h1>400 Bad Request</h1></center>\r\n<center>Request Header Or Cookie Too Large</center>"));
        let page = Answer::Status(StatusCode::GATEWAY_TIMEOUT).render(&mut headers);
        assert!(std::str::from_utf8(&page).unwrap().contains("504 Gateway Time-out"));
    }
}
