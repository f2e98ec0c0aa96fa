//! Who asks, for which host, by which way: from the connection, and from `X-Forwarded-*` where they are believed.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::client::{Client, parse_address, text};
use super::super::guard::head::is_host;
use super::headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO};
use crate::routes::options::GlobalOptions;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The client (`$remote_addr`).
    pub address: IpAddr,
    /// As [`X_FORWARDED_FOR`] tells it to the endpoint.
    pub forwarded_for: HeaderValue,
    /// As `X-Real-IP` does.
    pub real_ip: HeaderValue,
    /// Name and perhaps port that the request asks for; empty if it asks for none.
    pub asked: HeaderValue,
    /// What a believed proxy was asked for.
    forwarded_host: Option<HeaderValue>,
    pub port: HeaderValue,
    pub https: bool,
    /// What the request says of the way that it came is believed.
    pub believed: bool,
}

impl Identity {
    /// For the endpoint's `Host`.
    pub(super) fn host(&self) -> &str {
        if self.asked.is_empty() { self.forwarded_host() } else { self.asked.to_str().unwrap_or_default() }
    }

    /// What the client asks for, as far as is known: for `X-Forwarded-Host`, and to send it elsewhere on the same host.
    pub(super) fn forwarded_host(&self) -> &str {
        let host = self.forwarded_host.as_ref().or(Some(&self.asked)).filter(|host| !host.is_empty());
        host.map_or("_", |host| host.to_str().unwrap_or_default())
    }
}

/// `asked`: what the request itself asks for.
pub(super) fn identify(client: &Client, headers: &HeaderMap, asked: HeaderValue, global: &GlobalOptions) -> Identity {
    let mut identity = Identity {
        address: client.address,
        forwarded_for: client.address_value.clone(),
        real_ip: client.address_value.clone(),
        asked,
        forwarded_host: None,
        port: client.port_value.clone(),
        https: client.https,
        believed: false,
    };
    let trusted = |address: IpAddr| global.proxy_real_ip_cidrs.iter().any(|cidr| cidr.contains(&address));
    if !global.use_forwarded_headers || !trusted(client.peer) {
        return identity;
    }
    identity.believed = true;
    if let Some(list) = list(headers, &X_FORWARDED_FOR) {
        // With a PROXY header the client is known already.
        if !global.use_proxy_protocol
            && let Some(address) = last_untrusted(&list, trusted)
        {
            identity.address = address;
            identity.real_ip = text(address);
            identity.forwarded_for = identity.real_ip.clone();
        }
        if global.compute_full_forwarded_for
            && let Ok(full) = HeaderValue::try_from(format!("{list}, {}", client.address))
        {
            identity.forwarded_for = full;
        }
    }
    let first = |name: &HeaderName| headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim);
    match first(&X_FORWARDED_PROTO) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => identity.https = true,
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => identity.https = false,
        _ => {}
    }
    if let Some(host) = first(&X_FORWARDED_HOST).filter(|host| is_host(host.as_bytes()))
        && let Ok(host) = HeaderValue::try_from(host)
    {
        identity.forwarded_host = Some(host);
    }
    if let Some(port) = first(&X_FORWARDED_PORT).and_then(|port| port.parse::<u16>().ok()) {
        identity.port = HeaderValue::from(port);
    }
    identity
}

/// All values of a list header, joined.
pub(super) fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut list = values.next()?.to_owned();
    for value in values {
        list.push_str(", ");
        list.push_str(value);
    }
    Some(list)
}

/// The last address that is no proxy of ours; the first if all are (nginx: `real_ip_recursive on`).
fn last_untrusted(list: &str, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut found = None;
    for text in list.rsplit(',') {
        let Some(address) = parse_address(text) else { break };
        found = Some(address);
        if !trusted(address) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_wrote() {
        let ours = |address: IpAddr| address.to_string().starts_with("10.");
        for (list, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1, 10.0.0.1", Some("192.0.2.1")),
            ("6.6.6.6,192.0.2.1:4711 , 10.0.0.1,10.0.0.2", Some("192.0.2.1")),
            ("10.0.0.9, 10.0.0.1", Some("10.0.0.9")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("unknown, 10.0.0.1", Some("10.0.0.1")),
            ("", None),
            ("evil", None),
        ] {
            assert_eq!(last_untrusted(list, ours), expected.map(|it| it.parse().unwrap()), "{list}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_list_is_read_without_panic(list in ".*") {
            last_untrusted(&list, |address| address.is_loopback());
        }
    }
}
