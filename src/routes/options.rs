//! What can be set, in one place: for the whole data plane ([`GlobalOptions`]), for a host ([`HostOptions`]) and for a route
//! ([`RouteOptions`]). Names and defaults are ingress-nginx's (its ConfigMap and annotations); `options/keys.rs` reads them.

pub mod keys;

use std::time::Duration;

use ipnet::IpNet;

/// How rule paths are matched (`--path-matching`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PathMatching {
    /// As ingress-nginx serves them: a rule for `/x/` answers `/x` with 301.
    #[default]
    Nginx,
    /// As the Ingress API describes them.
    Spec,
}

/// Settings of the whole data plane (ConfigMap keys in kebab-case).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalOptions {
    /// Trust `X-Forwarded-{For,Proto,Host,Port}` of the peer (`use-forwarded-headers`).
    pub use_forwarded_headers: bool,
    /// Append the client to `X-Forwarded-For` instead of replacing it (`compute-full-forwarded-for`).
    pub compute_full_forwarded_for: bool,
    /// Read a PROXY protocol header (v1 or v2) on both ports (`use-proxy-protocol`).
    pub use_proxy_protocol: bool,
    /// Longest wait for that header (`proxy-protocol-header-timeout`).
    pub proxy_protocol_header_timeout: Duration,
    /// Peers whose PROXY headers and forwarded headers are believed (`proxy-real-ip-cidr`).
    pub proxy_real_ip_cidrs: Vec<IpNet>,
    /// Status of redirects to https: 301, 302, 307 or 308 (`http-redirect-code`).
    pub http_redirect_code: u16,
    /// `Strict-Transport-Security` on https answers (`hsts`), with its parts (`hsts-max-age`, `hsts-include-subdomains`, `hsts-preload`).
    pub hsts: Option<Hsts>,
    /// Longest wait for a request's head (`client-header-timeout`).
    pub client_header_timeout: Duration,
    /// Longest wait between two reads of a request's body (`client-body-timeout`).
    pub client_body_timeout: Duration,
    /// Idle time after which a client's connection is closed (`keep-alive`).
    pub keep_alive: Duration,
    /// Requests on one client connection (`keep-alive-requests`).
    pub keep_alive_requests: u32,
    /// Bytes of one header line, and of the request line (`large-client-header-buffers`: its size).
    pub header_line_limit: usize,
    /// Bytes of a request's head (`large-client-header-buffers`: number times size).
    pub header_limit: usize,
    /// Header fields of one request.
    pub header_count_limit: usize,
    /// `http2-max-concurrent-streams`.
    pub http2_max_concurrent_streams: u32,
    /// Offer HTTP/2 by ALPN (`use-http2`).
    pub use_http2: bool,
    /// Idle upstream connections kept, over all workers (`upstream-keepalive-connections`).
    pub upstream_keepalive_connections: usize,
    /// Idle time of a kept upstream connection (`upstream-keepalive-timeout`).
    pub upstream_keepalive_timeout: Duration,
    /// Requests on one upstream connection (`upstream-keepalive-requests`).
    pub upstream_keepalive_requests: u32,
    /// Age of an upstream connection after which it is not used again (`upstream-keepalive-time`).
    pub upstream_keepalive_time: Duration,
    /// Retry requests of non-idempotent methods too (`retry-non-idempotent`).
    pub retry_non_idempotent: bool,
    /// Give each request an id unless the client sent one (`generate-request-id`).
    pub generate_request_id: bool,
    /// Drop header fields with an underscore in their name: true unless `enable-underscores-in-headers`.
    pub drop_underscore_headers: bool,
    /// No access log (`disable-access-log`).
    pub disable_access_log: bool,
}

/// `Strict-Transport-Security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// Seconds.
    pub max_age: u64,
    /// `includeSubDomains`.
    pub include_subdomains: bool,
    /// `preload`.
    pub preload: bool,
}

impl Default for GlobalOptions {
    fn default() -> Self {
        Self {
            use_forwarded_headers: false,
            compute_full_forwarded_for: false,
            use_proxy_protocol: false,
            proxy_protocol_header_timeout: Duration::from_secs(5),
            proxy_real_ip_cidrs: [IpNet::V4(ipnet::Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default())].into(),
            http_redirect_code: 308,
            hsts: Some(Hsts { max_age: 31_536_000, include_subdomains: true, preload: false }),
            client_header_timeout: Duration::from_secs(60),
            client_body_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            keep_alive_requests: 1000,
            header_line_limit: 8 * 1024,
            header_limit: 32 * 1024,
            header_count_limit: 100,
            http2_max_concurrent_streams: 128,
            use_http2: true,
            upstream_keepalive_connections: 320,
            upstream_keepalive_timeout: Duration::from_secs(60),
            upstream_keepalive_requests: 10_000,
            upstream_keepalive_time: Duration::from_secs(3600),
            retry_non_idempotent: false,
            generate_request_id: true,
            drop_underscore_headers: true,
            disable_access_log: false,
        }
    }
}

/// Settings of a host: the first Ingress that names the host decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostOptions {
    /// Some Ingress has a `tls` section for the host or its wildcard: plain requests are redirected (see [`RouteOptions::ssl_redirect`]).
    pub tls: bool,
    /// Plain requests that no path takes are redirected, too, before they are answered 404: what the first Ingress of the host
    /// says of redirects holds for all of the host.
    pub redirect_unmatched: bool,
}

/// Settings of a route (annotations of its Ingress over the global defaults).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOptions {
    /// Redirect http to https if the host has TLS (`ssl-redirect`).
    pub ssl_redirect: bool,
    /// Redirect http to https in any case (`force-ssl-redirect`).
    pub force_ssl_redirect: bool,
    /// Largest request body in bytes, none without limit (`proxy-body-size`).
    pub body_limit: Option<u64>,
    /// `proxy-connect-timeout`.
    pub connect_timeout: Duration,
    /// Longest wait between two writes to the upstream (`proxy-send-timeout`).
    pub send_timeout: Duration,
    /// Longest wait between two reads from the upstream (`proxy-read-timeout`); bounds idle upgraded connections too.
    pub read_timeout: Duration,
    /// Endpoints tried for one request, the first included (`proxy-next-upstream-tries`).
    pub tries: u32,
    /// Time in which a further endpoint may be tried, none without limit (`proxy-next-upstream-timeout`).
    pub tries_timeout: Option<Duration>,
}

impl Default for RouteOptions {
    fn default() -> Self {
        Self {
            ssl_redirect: true,
            force_ssl_redirect: false,
            body_limit: Some(1024 * 1024),
            connect_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            tries: 3,
            tries_timeout: None,
        }
    }
}
