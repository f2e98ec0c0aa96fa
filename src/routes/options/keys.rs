//! The keys by which options are set: one table for routes (annotations, and the ConfigMap for all routes) and one for the
//! whole data plane (ConfigMap). It is the parser, the validation and the reference page.

use std::time::Duration;

use ipnet::IpNet;

use super::{GlobalOptions, Hsts, RouteOptions};

/// What annotations of ingress-nginx begin with.
pub const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// A key that sets something of `T`.
pub struct Key<T: 'static> {
    /// As in the ConfigMap, and after [`PREFIX`] in an annotation.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// Sets it, or says what its value may be.
    pub(crate) set: fn(&mut T, &str) -> Result<(), String>,
    /// Its value, as it would be written.
    pub show: fn(&T) -> String,
}

/// What the ConfigMap says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For the whole data plane.
    pub global: GlobalOptions,
    /// What routes have unless an annotation says otherwise.
    pub route: RouteOptions,
    /// Paths of type Exact and Prefix have no special characters (`strict-validate-path-type`).
    pub strict_paths: bool,
    /// Whether [`GlobalOptions::hsts`] is sent; kept apart, for `hsts: false` can stand before or after its parts.
    hsts: bool,
    hsts_parts: Hsts,
    /// Number and bytes, of which both limits of [`GlobalOptions`] are made.
    header_buffers: (usize, usize),
}

impl Default for Config {
    fn default() -> Self {
        let global = GlobalOptions::default();
        let hsts_parts = Hsts { max_age: 31_536_000, include_subdomains: true, preload: false };
        let header_buffers = (global.header_limit / global.header_line_limit, global.header_line_limit);
        let route = RouteOptions::default();
        Self { hsts: global.hsts.is_some(), hsts_parts, header_buffers, global, route, strict_paths: true }
    }
}

impl Config {
    /// Sets a key of the ConfigMap. None: there is no such key.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        let result = match GLOBAL.iter().find(|key| key.name == name) {
            Some(key) => (key.set)(self, value),
            None => (ROUTE.iter().find(|key| key.name == name)?.set)(&mut self.route, value),
        };
        self.global.hsts = self.hsts.then_some(self.hsts_parts);
        let (buffers, bytes) = self.header_buffers;
        (self.global.header_line_limit, self.global.header_limit) = (bytes, buffers.saturating_mul(bytes));
        Some(result)
    }
}

macro_rules! keys {
    ($of:ty; $($name:literal $doc:literal $field:ident $(. $inner:ident)* = $parse:ident, $show:ident;)*) => {
        &[$(Key {
            name: $name,
            doc: $doc,
            set: |options: &mut $of, text| {
                options.$field $(.$inner)* = $parse(text)?;
                Ok(())
            },
            show: |options: &$of| $show(&options.$field $(.$inner)*),
        },)*]
    };
}

/// Keys of routes: annotations of an Ingress; in the ConfigMap for all that have no such annotation.
pub const ROUTE: &[Key<RouteOptions>] = keys! { RouteOptions;
    "ssl-redirect" "http is redirected to https where the host has a `tls` section" ssl_redirect = boolean, plain;
    "force-ssl-redirect" "http is redirected to https in any case" force_ssl_redirect = boolean, plain;
    "proxy-body-size" "largest request body (`k`, `m`, `g`), above: 413; `0`: any" body_limit = size_or_none, size;
    "proxy-connect-timeout" "seconds to connect to an endpoint" connect_timeout = seconds, time;
    "proxy-send-timeout" "seconds between two writes to an endpoint" send_timeout = seconds, time;
    "proxy-read-timeout" "seconds between two reads from an endpoint, for upgraded connections too; above: 504" read_timeout = seconds, time;
    "proxy-next-upstream-tries" "endpoints tried for one request, the first included; `0`: any number" tries = tries, plain;
    "proxy-next-upstream-timeout" "seconds within which another endpoint may be tried; `0`: any time" tries_timeout = seconds_or_none, limit;
};

/// Keys of the ConfigMap only.
pub const GLOBAL: &[Key<Config>] = keys! { Config;
    "use-forwarded-headers" "believe `X-Forwarded-*` of the peer" global.use_forwarded_headers = boolean, plain;
    "compute-full-forwarded-for" "append to `X-Forwarded-For` instead of replacing it" global.compute_full_forwarded_for = boolean, plain;
    "use-proxy-protocol" "expect a PROXY protocol header on both ports" global.use_proxy_protocol = boolean, plain;
    "proxy-protocol-header-timeout" "longest wait for that header" global.proxy_protocol_header_timeout = duration, time;
    "proxy-real-ip-cidr" "peers whose PROXY and forwarded headers are believed" global.proxy_real_ip_cidrs = networks, list;
    "http-redirect-code" "status of redirects to https: 301, 302, 307 or 308" global.http_redirect_code = redirect_code, plain;
    "hsts" "send `Strict-Transport-Security` on https" hsts = boolean, plain;
    "hsts-max-age" "its `max-age`, in seconds" hsts_parts.max_age = number, plain;
    "hsts-include-subdomains" "its `includeSubDomains`" hsts_parts.include_subdomains = boolean, plain;
    "hsts-preload" "its `preload`" hsts_parts.preload = boolean, plain;
    "client-header-timeout" "longest wait for a request's head; above: 408" global.client_header_timeout = duration, time;
    "client-body-timeout" "longest wait between two reads of a request's body; above: 408" global.client_body_timeout = duration, time;
    "keep-alive" "idle time after which a client's connection is closed" global.keep_alive = duration, time;
    "keep-alive-requests" "requests on one client connection" global.keep_alive_requests = count, plain;
    "large-client-header-buffers" "number and size: the size bounds a header line and the request line, both together a request's head"
        header_buffers = header_buffers, header_text;
    "http2-max-concurrent-streams" "streams of one HTTP/2 connection at a time" global.http2_max_concurrent_streams = count, plain;
    "use-http2" "offer HTTP/2 by ALPN" global.use_http2 = boolean, plain;
    "upstream-keepalive-connections" "idle connections to endpoints that are kept" global.upstream_keepalive_connections = connections, plain;
    "upstream-keepalive-timeout" "how long they are kept idle" global.upstream_keepalive_timeout = duration, time;
    "upstream-keepalive-requests" "requests on one of them" global.upstream_keepalive_requests = count, plain;
    "upstream-keepalive-time" "age after which one is not used again" global.upstream_keepalive_time = duration, time;
    "retry-non-idempotent" "try another endpoint for POST, LOCK and PATCH, too" global.retry_non_idempotent = boolean, plain;
    "generate-request-id" "give each request an `X-Request-ID` unless the client sent one" global.generate_request_id = boolean, plain;
    "enable-underscores-in-headers" "keep header fields with `_` in their name" global.drop_underscore_headers = inverse, inverse_text;
    "disable-access-log" "write no access log" global.disable_access_log = boolean, plain;
    "strict-validate-path-type" "refuse special characters in paths of type Exact and Prefix" strict_paths = boolean, plain;
};

/// The table of [`ROUTE`] and [`GLOBAL`] in Markdown.
#[must_use]
pub fn markdown() -> String {
    fn rows<T>(keys: &[Key<T>], defaults: &T) -> String {
        let row = |key: &Key<T>| format!("| `{}` | `{}` | {} |\n", key.name, (key.show)(defaults), key.doc);
        keys.iter().map(row).collect()
    }
    const HEAD: &str = "| key | default | meaning |\n|---|---|---|\n";
    let config = Config::default();
    let (route, global) = (rows(ROUTE, &config.route), rows(GLOBAL, &config));
    format!("### Of routes\n\n{HEAD}{route}\n### Of the whole data plane\n\n{HEAD}{global}")
}

/// Go's `strconv.ParseBool`, as ingress-nginx reads annotations.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err("give `true` or `false`".to_owned()),
    }
}

fn inverse(text: &str) -> Result<bool, String> {
    boolean(text).map(|value| !value)
}

fn whole(text: &str, least: u32) -> Result<u32, String> {
    text.parse().ok().filter(|number| *number >= least).ok_or_else(|| format!("give a whole number from {least}"))
}

fn number(text: &str) -> Result<u64, String> {
    whole(text, 0).map(u64::from)
}

fn count(text: &str) -> Result<u32, String> {
    whole(text, 1)
}

fn connections(text: &str) -> Result<usize, String> {
    whole(text, 0).map(|number| number as usize)
}

fn tries(text: &str) -> Result<u32, String> {
    whole(text, 0).map(|number| if number == 0 { u32::MAX } else { number })
}

fn seconds(text: &str) -> Result<Duration, String> {
    whole(text, 1).map(|number| Duration::from_secs(number.into())).map_err(|error| format!("{error}, in seconds, without unit"))
}

fn seconds_or_none(text: &str) -> Result<Option<Duration>, String> {
    let number = whole(text, 0).map_err(|error| format!("{error}, in seconds, without unit"))?;
    Ok((number > 0).then(|| Duration::from_secs(number.into())))
}

/// A length of time as nginx reads it: numbers with units from days down to milliseconds; without unit, seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a length of time, like 60, 60s or 1h30m".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: u32 = number.parse().map_err(|_| wrong())?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit.trim() {
            "ms" => Duration::from_millis(1),
            "s" | "" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86_400),
            _ => return Err(wrong()),
        };
        total = unit.checked_mul(number).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "give a number of bytes, with `k`, `m` or `g` for more".to_owned();
    let text = text.to_ascii_lowercase();
    let (digits, shift) = match text.strip_suffix(['b', 'k', 'm', 'g']) {
        Some(digits) => (
            digits,
            match text.as_bytes().last() {
                Some(b'k') => 10,
                Some(b'm') => 20,
                Some(b'g') => 30,
                _ => 0,
            },
        ),
        None => (text.as_str(), 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)).ok_or_else(wrong)
}

fn size_or_none(text: &str) -> Result<Option<u64>, String> {
    bytes(text).map(|bytes| (bytes > 0).then_some(bytes))
}

fn header_buffers(text: &str) -> Result<(usize, usize), String> {
    let wrong = || "give a number and a size from 1k, like `4 8k`".to_owned();
    let (number, size) = text.split_once(' ').ok_or_else(wrong)?;
    let number: usize = number.parse().map_err(|_| wrong())?;
    let size = bytes(size.trim()).ok().and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(wrong)?;
    if number > 0 && size >= 1024 { Ok((number, size)) } else { Err(wrong()) }
}

fn redirect_code(text: &str) -> Result<u16, String> {
    match text {
        "301" => Ok(301),
        "302" => Ok(302),
        "307" => Ok(307),
        "308" => Ok(308),
        _ => Err("give 301, 302, 307 or 308".to_owned()),
    }
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |item: &str| item.parse().or_else(|_| item.parse::<std::net::IpAddr>().map(IpNet::from));
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| network(item).map_err(|_| "give CIDRs separated by commas, like 10.0.0.0/8".to_owned())).collect()
}

/// Whether a list of networks has every address of both families in it.
pub(crate) fn admits_all(text: &str) -> bool {
    let all = |networks: Vec<IpNet>| {
        let widest = |is_of: fn(&IpNet) -> bool| networks.iter().any(|network| network.prefix_len() == 0 && is_of(network));
        widest(|network| matches!(network, IpNet::V4(_))) && widest(|network| matches!(network, IpNet::V6(_)))
    };
    networks(text).is_ok_and(all)
}

/// Whether a value says `false`.
pub(crate) fn is_off(text: &str) -> bool {
    boolean(text) == Ok(false)
}

fn plain<T: ToString>(value: &T) -> String {
    value.to_string()
}

fn inverse_text(value: &bool) -> String {
    (!value).to_string()
}

fn list<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn time(value: &Duration) -> String {
    format!("{value:?}").trim_end_matches('s').to_owned()
}

fn limit(value: &Option<Duration>) -> String {
    value.as_ref().map_or_else(|| "0".to_owned(), time)
}

fn size(value: &Option<u64>) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    let bytes = value.unwrap_or(0);
    match units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

fn header_text((number, size): &(usize, usize)) -> String {
    format!("{number} {}", self::size(&u64::try_from(*size).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_ingress_nginx_reads_them() {
        let route = |name: &str, value: &str| {
            let mut options = RouteOptions::default();
            let key = ROUTE.iter().find(|key| key.name == name).unwrap();
            (key.set)(&mut options, value).map(|()| (key.show)(&options))
        };
        for (name, value, shown) in [
            ("ssl-redirect", "F", "false"),
            ("force-ssl-redirect", "TRUE", "true"),
            ("proxy-body-size", "0", "0"),
            ("proxy-body-size", "8M", "8m"),
            ("proxy-body-size", "1025", "1025"),
            ("proxy-body-size", "2048k", "2m"),
            ("proxy-connect-timeout", "7", "7"),
            ("proxy-read-timeout", "3600", "3600"),
            ("proxy-next-upstream-tries", "0", "4294967295"),
            ("proxy-next-upstream-timeout", "0", "0"),
            ("proxy-next-upstream-timeout", "9", "9"),
        ] {
            assert_eq!(route(name, value).as_deref(), Ok(shown), "{name}: {value}");
        }
        for (name, value) in [
            ("ssl-redirect", "yes"),
            ("ssl-redirect", ""),
            ("proxy-body-size", "1t"),
            ("proxy-body-size", "m"),
            ("proxy-body-size", "-1"),
            ("proxy-body-size", "99999999999g"),
            ("proxy-connect-timeout", "5s"),
            ("proxy-connect-timeout", "0"),
            ("proxy-read-timeout", "4294967296"),
            ("proxy-next-upstream-tries", "-1"),
        ] {
            assert!(route(name, value).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn the_config_map_sets_all() {
        let mut config = Config::default();
        for (name, value) in [
            ("hsts-max-age", "60"),
            ("hsts-preload", "true"),
            ("large-client-header-buffers", "8 16k"),
            ("keep-alive", "1m30s"),
            ("upstream-keepalive-time", "1h"),
            ("enable-underscores-in-headers", "true"),
            ("proxy-real-ip-cidr", "10.0.0.0/8, 192.0.2.1,2001:db8::/32"),
            ("http-redirect-code", "301"),
            ("proxy-body-size", "10m"),
            ("strict-validate-path-type", "false"),
        ] {
            assert_eq!(config.set(name, value), Some(Ok(())), "{name}");
        }
        assert_eq!(config.global.hsts, Some(Hsts { max_age: 60, include_subdomains: true, preload: true }));
        assert_eq!((config.global.header_line_limit, config.global.header_limit), (16384, 131_072));
        assert_eq!((config.global.keep_alive.as_secs(), config.global.upstream_keepalive_time.as_secs()), (90, 3600));
        assert_eq!(config.global.proxy_real_ip_cidrs.len(), 3);
        assert_eq!((config.global.http_redirect_code, config.route.body_limit), (301, Some(10 << 20)));
        assert!(!config.global.drop_underscore_headers && !config.strict_paths);
        assert_eq!(config.set("hsts", "false"), Some(Ok(())));
        assert_eq!(config.global.hsts, None, "its parts do not bring it back");
        assert_eq!(config.set("no-such-key", "1"), None);
        for (name, value) in
            [("http-redirect-code", "303"), ("keep-alive", "5x"), ("large-client-header-buffers", "8k"), ("hsts", "on")]
        {
            assert!(config.set(name, value).unwrap().is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn the_reference_lists_all_keys() {
        let page = include_str!("../../../docs/reference/ingress-options.md");
        let table = markdown();
        assert!(page.contains(&table), "docs/reference/ingress-options.md should contain:\n{table}");
    }
}
