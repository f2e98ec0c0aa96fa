//! Header fields between client and endpoint: what ends here, what is added, what passes.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST, SERVER, STRICT_TRANSPORT_SECURITY,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::identity::{Identity, list};
use crate::routes::options::GlobalOptions;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const X_ORIGINAL_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-original-forwarded-for");
const X_ORIGINAL_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-original-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// A client may not have these taken away by naming them in `Connection`.
const PROTECTED: [HeaderName; 5] = [AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST];

/// What concerns one connection only, besides `Connection`.
const ONE_CONNECTION: [HeaderName; 5] = [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

/// Of a request, `Expect` (nginx answers it) and httpoxy's end here too.
const REQUEST_ONLY: [HeaderName; 2] = [EXPECT, PROXY];

/// Fields that the endpoint gets besides those of the client.
const ADDED: usize = 12;

/// Turns a client's header fields into those for the endpoint. `upgrade`: the protocol may change after this request.
pub(super) fn to_endpoint(
    headers: &mut HeaderMap,
    version: Version,
    host: HeaderValue,
    identity: &Identity,
    request_id: Option<&HeaderValue>,
    global: &GlobalOptions,
    upgrade: bool,
) {
    let wanted = if upgrade { headers.get(UPGRADE).cloned() } else { None };
    let trailers = headers.get(TE).is_some_and(|te| te.as_bytes().to_ascii_lowercase().windows(8).any(|at| at == b"trailers"));
    headers.reserve(ADDED);
    end_here(headers);
    remove(headers, &REQUEST_ONLY);
    if global.drop_underscore_headers {
        drop_underscores(headers);
    }
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if !identity.believed {
        // Nothing replaces it (RFC 7239), and endpoints that read it read it first.
        headers.remove(FORWARDED);
    }
    // Ours to set: a client could claim what it claimed.
    headers.remove(X_ORIGINAL_FORWARDED_FOR);
    headers.remove(X_ORIGINAL_FORWARDED_HOST);
    if let Some(original) = list(headers, &X_FORWARDED_FOR).and_then(|list| HeaderValue::try_from(list).ok()) {
        headers.insert(X_ORIGINAL_FORWARDED_FOR, original);
    }
    if let Some(original) = headers.get(X_FORWARDED_HOST).cloned() {
        headers.insert(X_ORIGINAL_FORWARDED_HOST, original);
    }
    let scheme = HeaderValue::from_static(if identity.https { "https" } else { "http" });
    headers.insert(HOST, host);
    if let Some(id) = request_id {
        headers.insert(X_REQUEST_ID, id.clone());
    }
    headers.insert(X_REAL_IP, identity.real_ip.clone());
    headers.insert(X_FORWARDED_FOR, identity.forwarded_for.clone());
    headers.insert(X_FORWARDED_HOST, identity.host.clone());
    headers.insert(X_FORWARDED_PORT, identity.port.clone());
    headers.insert(X_FORWARDED_PROTO, scheme.clone());
    headers.insert(X_FORWARDED_SCHEME, scheme.clone());
    headers.insert(X_SCHEME, scheme);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = wanted {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Turns an endpoint's header fields into those for the client. `sized`: the body's length is known.
pub(super) fn to_client(headers: &mut HeaderMap, sized: bool, upgraded: bool) {
    let protocol = if upgraded { headers.get(UPGRADE).cloned() } else { None };
    end_here(headers);
    headers.remove(SERVER);
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

/// Removes what concerns one connection only, and what `Connection` names.
fn end_here(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named = |value: &HeaderValue| -> Vec<HeaderName> {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
                .collect()
        };
        let names: Vec<_> = headers.get_all(CONNECTION).iter().flat_map(named).collect();
        for name in names.iter().filter(|name| !PROTECTED.contains(name)) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    remove(headers, &ONE_CONNECTION);
}

/// Usually none is there, and to see that is cheaper than to look each of them up.
fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    if headers.keys().any(|name| names.contains(name)) {
        for name in names {
            headers.remove(name);
        }
    }
}

/// Endpoints that turn names into environment variables could not tell `a_b` from `a-b`.
fn drop_underscores(headers: &mut HeaderMap) {
    if headers.keys().any(|name| name.as_str().contains('_')) {
        let names: Vec<_> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// HTTP/2 lets clients send cookies one by one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let mut joined = [first.as_bytes(), b"; ", second.as_bytes()].concat();
        for cookie in cookies {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(cookie.as_bytes());
        }
        if let Ok(joined) = HeaderValue::try_from(joined) {
            headers.insert(COOKIE, joined);
        }
    }
}
