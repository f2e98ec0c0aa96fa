//! Header fields between client and endpoint: what ends here, what is added, what passes.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, SERVER, STRICT_TRANSPORT_SECURITY, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::super::lists;
use super::super::outgoing::field;
use super::identity::{Identity, list};
use crate::routes::options::GlobalOptions;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A client may not have these taken away by naming them in `Connection`.
const PROTECTED: [HeaderName; 5] = [AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST];

/// Whether a field concerns one connection only.
fn is_of_one_connection(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade")
}

/// Writes the header fields that an endpoint gets: those of the client that pass, and ours. What frames the body is not among
/// them; whether the client has said how long it is, is returned. `upgrade`: the protocol may change after this request.
pub(super) fn to_endpoint(
    head: &mut Vec<u8>,
    client: (&HeaderMap, Version),
    identity: &Identity,
    request_id: &[u8],
    global: &GlobalOptions,
    upgrade: bool,
) -> bool {
    let (headers, version) = client;
    let named = named(headers);
    let (mut sized, mut cookies, mut original_for, mut original_host, mut te) = (false, false, false, None, None);
    field(head, "host", identity.host().as_bytes());
    for (name, value) in headers {
        let text = name.as_str();
        let passes = match text {
            "te" => {
                te.get_or_insert(value);
                false
            }
            name if is_of_one_connection(name) => false,
            // Of this connection, too: nginx answers it. And httpoxy.
            "expect" | "proxy" => false,
            // Ours to set: a client could claim them.
            "content-length" => {
                sized = true;
                false
            }
            "x-forwarded-for" => {
                original_for = true;
                false
            }
            "x-forwarded-host" => {
                original_host.get_or_insert(value);
                false
            }
            "host"
            | "x-forwarded-port"
            | "x-forwarded-proto"
            | "x-forwarded-scheme"
            | "x-original-forwarded-for"
            | "x-original-forwarded-host"
            | "x-real-ip"
            | "x-scheme" => false,
            "x-request-id" => request_id.is_empty(),
            // Nothing replaces it (RFC 7239), and endpoints that read it read it first.
            "forwarded" => identity.believed,
            // Below, as one.
            "cookie" if version == Version::HTTP_2 => {
                cookies = true;
                false
            }
            // Endpoints that turn names into environment variables could not tell `a_b` from `a-b`.
            _ => !(global.drop_underscore_headers && text.contains('_')),
        };
        if passes && !named.contains(name) {
            field(head, text, value.as_bytes());
        }
    }
    if cookies {
        join_cookies(head, headers);
    }
    if original_for
        && !named.contains(&X_FORWARDED_FOR)
        && let Some(original) = list(headers, &X_FORWARDED_FOR)
    {
        field(head, "x-original-forwarded-for", original.as_bytes());
    }
    if let Some(original) = original_host.filter(|_| !named.contains(&X_FORWARDED_HOST)) {
        field(head, "x-original-forwarded-host", original.as_bytes());
    }
    if !request_id.is_empty() {
        field(head, "x-request-id", request_id);
    }
    let scheme: &[u8] = if identity.https { b"https" } else { b"http" };
    field(head, "x-real-ip", identity.real_ip.as_bytes());
    field(head, "x-forwarded-for", identity.forwarded_for.as_bytes());
    field(head, "x-forwarded-host", identity.forwarded_host().as_bytes());
    field(head, "x-forwarded-port", identity.port.as_bytes());
    field(head, "x-forwarded-proto", scheme);
    field(head, "x-forwarded-scheme", scheme);
    field(head, "x-scheme", scheme);
    let trailers = |te: &HeaderValue| te.as_bytes().to_ascii_lowercase().windows(8).any(|at| at == b"trailers");
    if te.is_some_and(trailers) {
        field(head, "te", b"trailers");
    }
    if upgrade && let Some(protocol) = headers.get(UPGRADE) {
        field(head, "upgrade", protocol.as_bytes());
        field(head, "connection", b"upgrade");
    }
    sized
}

/// Turns an endpoint's header fields into those for the client. `sized`: the body's length is known.
pub(super) fn to_client(headers: &mut HeaderMap, sized: bool, upgraded: bool) {
    let protocol = if upgraded { headers.get(UPGRADE).cloned() } else { None };
    end_here(headers);
    if !sized {
        // The chunked coding counts, whatever an endpoint says besides.
        headers.remove(CONTENT_LENGTH);
    }
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// On what goes out over TLS. Replaces what the endpoint says.
pub(super) fn secure(headers: &mut HeaderMap, hsts: Option<&HeaderValue>) {
    if let Some(hsts) = hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
}

/// Removes what concerns one connection only, and what `Connection` names; and which program the endpoint is.
fn end_here(headers: &mut HeaderMap) {
    let ends = |name: &HeaderName| is_of_one_connection(name.as_str()) || *name == SERVER;
    let mut ending: Vec<HeaderName> = headers.keys().filter(|name| ends(name)).cloned().collect();
    if ending.contains(&CONNECTION) {
        ending.extend(named(headers));
    }
    for name in &ending {
        headers.remove(name);
    }
}

/// What `Connection` names, of what it may.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.get_all(CONNECTION).iter().flat_map(lists::names).filter(|name| !PROTECTED.contains(name)).collect()
}

/// HTTP/2 lets clients send cookies one by one (RFC 9113 §8.2.3).
fn join_cookies(head: &mut Vec<u8>, headers: &HeaderMap) {
    let mut before: &[u8] = b"cookie: ";
    for cookie in headers.get_all(COOKIE) {
        head.extend_from_slice(std::mem::replace(&mut before, b"; "));
        head.extend_from_slice(cookie.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
}
