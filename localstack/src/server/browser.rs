//! What a page of somebody else must not make a browser do here.
//!
//! Signatures are not checked: whoever reaches the port is every account, and so is any page in a browser that reaches it. It can send
//! requests to an address of this machine (cross-site request forgery), or be served under a name that later resolves to it, and read the
//! answers as well (DNS rebinding). Browsers say where a request comes from: by `Origin` in all but some reads, by `Sec-Fetch-Site` in
//! those; and they always say by which name they came. Other clients are held to nothing but the name, where it matters.
//!
//! Imports nothing of the crate. `server.rs` asks before it reads a request's body.

use std::net::IpAddr;

use hyper::Method;
use hyper::header::{HOST, ORIGIN};
use hyper::http::request::Parts;

/// Names that nobody can register, so that no foreign page is served under one: special-use names, and what container networks use.
const LOCAL: [&str; 6] = ["localhost", "local", "internal", "test", "svc", "lan"];

/// Why a request is refused, if it is. `allowed`: names of hosts that are trusted besides addresses and local names.
pub(super) fn refusal(head: &Parts, allowed: &[String]) -> Option<String> {
    // What is no text is nobody's origin.
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap_or("null"));
    let (origin, site) = (text(ORIGIN.as_str()), text("sec-fetch-site"));
    let authority = text(HOST.as_str()).or_else(|| head.uri.authority().map(|authority| authority.as_str()));
    let is_allowed = |host: &str| allowed.iter().any(|name| name.eq_ignore_ascii_case(host));

    let reads = head.method == Method::GET || head.method == Method::HEAD;
    let foreign = match (origin, site) {
        (Some(origin), _) => {
            let came_from = origin.split_once("://").map(|(_, authority)| authority);
            (came_from.is_none() || came_from != authority) && !came_from.is_some_and(|came_from| is_allowed(&host(came_from)))
        }
        // Following a link to the page is no harm, and it forbids being framed.
        (None, Some("cross-site" | "same-site")) => !(reads && text("sec-fetch-mode") == Some("navigate")),
        (None, _) => false,
    };
    if foreign {
        let whose = origin.map_or_else(String::new, |origin| format!(" of {origin}"));
        return Some(format!("a page{whose} must not call this server; --allowed-host trusts the pages of a host"));
    }
    let path = head.uri.path();
    let exposed = origin.is_some() || path.starts_with("/_landfall") || (reads && !path.starts_with("/_localstack/"));
    let host = host(authority.unwrap_or_default());
    if exposed && !is_local(&host) && !is_allowed(&host) {
        return Some(format!("this server is not known as '{host}'; use its address, or say --allowed-host {host}"));
    }
    None
}

/// The host of `HOST[:PORT]`, without brackets and final dot.
fn host(authority: &str) -> String {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// An address, a name without a dot (nobody can register one), or below [`LOCAL`]. Nothing at all: no browser leaves it out.
fn is_local(host: &str) -> bool {
    let top = host.rsplit_once('.').map(|(_, top)| top);
    host.parse::<IpAddr>().is_ok() || top.is_none_or(|top| LOCAL.contains(&top))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request with these headers is refused.
    fn refused(method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = hyper::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        refusal(&request.body(()).unwrap().into_parts().0, &["emulator.example.com".to_owned()]).is_some()
    }

    #[test]
    fn the_own_page_and_other_clients_are_served() {
        let own = [("host", "127.0.0.1:4566"), ("origin", "http://127.0.0.1:4566"), ("sec-fetch-site", "same-origin")];
        let behind_tls = [("host", "emulator.example.com"), ("origin", "https://emulator.example.com")];
        let renamed = [("host", "127.0.0.1:4566"), ("origin", "https://emulator.example.com")];
        let link = [("host", "localhost:4566"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        for headers in [&own[..], &behind_tls, &renamed] {
            assert!(!refused("POST", "/_landfall/clock", headers), "{headers:?}");
            assert!(!refused("POST", "/", headers), "{headers:?}");
        }
        assert!(!refused("GET", "/_landfall/", &link));
        for host in ["127.0.0.1:4566", "[::1]:4566", "localhost", "aws:4566", "host.docker.internal:4566", "aws.default.svc", ""]
        {
            assert!(!refused("GET", "/_landfall/state", &[("host", host)]), "{host}");
        }
        assert!(!refused("GET", "/_landfall/state", &[]), "HTTP/1.0");
        // An SDK, and a harness that waits, whatever the server is called.
        assert!(!refused("POST", "/", &[("host", "elasticloadbalancing.us-east-1.amazonaws.com")]));
        assert!(!refused("GET", "/_localstack/health", &[("host", "ci.example.net:4566")]));
    }

    #[test]
    fn pages_of_others_are_refused() {
        for origin in [
            "https://evil.example.net",
            "http://127.0.0.1:3000",
            "http://localhost:4566",
            "null",
            "",
            "http://127.0.0.1:4566.evil.example.net",
        ] {
            let headers = [("host", "127.0.0.1:4566"), ("origin", origin)];
            for (method, path) in
                [("POST", "/_landfall/clock"), ("POST", "/"), ("OPTIONS", "/_landfall/faults"), ("GET", "/_landfall/state")]
            {
                assert!(refused(method, path, &headers), "{method} {path} from {origin}");
            }
        }
        for (site, mode) in [("cross-site", "no-cors"), ("same-site", "no-cors")] {
            let headers = [("host", "127.0.0.1:4566"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            assert!(
                refused("GET", "/_landfall/overview?account=1", &headers) && refused("GET", "/?Action=DescribeVpcs", &headers)
            );
        }
        let form = [("host", "127.0.0.1:4566"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(refused("POST", "/", &form));
    }

    #[test]
    fn a_foreign_name_that_leads_here_is_refused() {
        for name in
            ["evil.example.net:4566", "127.0.0.1.evil.example.net", "localhost.evil.example.net.", "1.2.3", "x.LOCALHOST.net"]
        {
            let origin = format!("http://{name}");
            assert!(refused("GET", "/_landfall/snapshot", &[("host", name)]), "{name}");
            assert!(refused("GET", "/?Action=DeleteLoadBalancer", &[("host", name)]), "{name}");
            assert!(refused("POST", "/", &[("host", name), ("origin", &origin)]), "{name}");
        }
    }
}
