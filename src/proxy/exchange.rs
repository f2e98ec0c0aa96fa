//! One request, from its head to the end of its response.
//!
//! [`Exchange::run`] is the list of steps, in the order of nginx's phases, which users' configurations depend on. A step
//! passes the request on or gives the [`Answer`]. Neighbours: [`forward`] talks to endpoints, [`headers`] and [`identity`]
//! know what both sides may learn of each other, [`record`] remembers what is logged and counted.

pub(super) mod body;

mod forward;

#[cfg(test)]
mod fuzz;

mod headers;

mod identity;

mod pages;

pub(super) mod record;

pub(super) mod response;

use std::net::SocketAddr;
use std::rc::Rc;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};

use super::client::{Client, Tunnel};
use super::guard::head::is_host;
use super::metrics::{self, Labels};
use super::refusal::Refusal;
use super::upstream::names;
use super::worker::{Phase, Snapshot};
use crate::clock::Instant;
use crate::routes::RouteTable;
use crate::routes::lookup::{Decision, host_name};
use crate::routes::options::RouteOptions;
use crate::routes::table::{BackendIndex, Endpoints, Host, Route};
use body::Upload;
use forward::Reply;
use identity::Identity;
use pages::Answer;
use record::{Record, RequestId};
use response::ResponseBody;

/// What HTTP/1 knows of a request besides what it asks for.
#[derive(Debug)]
pub(super) struct Arrival {
    /// When its first byte was seen.
    pub started: Instant,
    /// Bytes of the head.
    pub length: usize,
    /// It asks to change the protocol.
    pub upgrade: bool,
    /// Why it is not served, and its first line as far as it was read.
    pub refused: Option<(Refusal, Vec<u8>)>,
}

/// Answers one request of a connection. One that changes the protocol leaves a [`Tunnel`] with `client`.
pub(super) fn answer(
    client: &Rc<Client>,
    arrival: Option<Arrival>,
    request: Request<Upload>,
) -> impl Future<Output = Response<ResponseBody>> {
    let number = client.begin();
    let snapshot = client.worker.snapshot();
    let record = Record::new(client, arrival.as_ref(), &request);
    let upgrade = arrival.as_ref().is_some_and(|arrival| arrival.upgrade);
    let refusal = arrival.and_then(|arrival| arrival.refused).map(|(refusal, _)| refusal);
    let (parts, upload) = request.into_parts();
    let version = parts.version;
    // What is not used before the first wait is not kept: this is moved, and there is one for each request in flight.
    async move {
        let mut exchange = Exchange {
            client,
            snapshot: &snapshot,
            upgrade,
            identity: None,
            host: None,
            route: None,
            backend: None,
            resolved: None,
            options: &snapshot.route_defaults,
            method: parts.method.clone(),
            parts,
            upload,
            record,
        };
        let reply = exchange.run(refusal).await;
        let close = number >= snapshot.table.global.keep_alive_requests || client.worker.phase() > Phase::Serving;
        exchange.respond(reply, version, close)
    }
}

/// A request on its way through the steps, and what they have found out.
struct Exchange<'a> {
    client: &'a Rc<Client>,
    snapshot: &'a Rc<Snapshot>,
    /// The client asks to change the protocol.
    upgrade: bool,
    identity: Option<Identity>,
    host: Option<&'a Host>,
    route: Option<&'a Route>,
    backend: Option<BackendIndex>,
    /// Where an ExternalName leads.
    resolved: Option<Rc<[SocketAddr]>>,
    options: &'a RouteOptions,
    method: Method,
    parts: Parts,
    upload: Upload,
    record: Box<Record>,
}

impl<'a> Exchange<'a> {
    /// `refusal`: what the guard does not let pass.
    async fn run(&mut self, refusal: Option<Refusal>) -> Result<Reply, Answer> {
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        let host = self.hygiene()?;
        self.identify(host);
        self.host();
        self.health()?;
        self.decide()?;
        self.body_limit()?;
        // Here: CORS preflight, redirects, rewriting (annotations, not there yet).
        self.tls_redirect()?;
        self.endpoints().await?;
        // Here: limits, access lists, authentication (annotations, not there yet).
        self.forward().await
    }

    /// Every step after [`Exchange::identify`] has one.
    fn identity(&self) -> Result<&Identity, Answer> {
        self.identity.as_ref().ok_or(Answer::Status(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// What HTTP/1's guard has checked already, for HTTP/2; and which host the request names.
    fn hygiene(&self) -> Result<HeaderValue, Refusal> {
        let global = &self.snapshot.table.global;
        let (uri, headers) = (&self.parts.uri, &self.parts.headers);
        if matches!(self.parts.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::NotAllowed);
        }
        let path = uri.path_and_query().map_or("", |it| it.as_str());
        let mut hosts = headers.get_all(HOST).iter();
        let named = hosts.next();
        if self.parts.version == Version::HTTP_2 {
            if path.len() > global.header_line_limit {
                return Err(Refusal::UriTooLong);
            }
            if headers.len() > global.header_count_limit {
                return Err(Refusal::TooManyHeaders);
            }
            let longest = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).max();
            if longest.unwrap_or(0) > global.header_line_limit {
                return Err(Refusal::HeaderTooLarge);
            }
            let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
            let same = match (authority, named) {
                (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host.as_bytes()),
                (None, None) => false,
                _ => true,
            };
            let host = authority.or(named.map(HeaderValue::as_bytes)).unwrap_or_default();
            if !path.starts_with('/') || !same || hosts.next().is_some() || !is_host(host) {
                return Err(Refusal::BadRequest);
            }
            return HeaderValue::from_bytes(host).map_err(|_| Refusal::BadRequest);
        }
        // HTTP/1.0 may leave it out.
        Ok(named.cloned().unwrap_or_else(|| HeaderValue::from_static("")))
    }

    fn identify(&mut self, host: HeaderValue) {
        let global = &self.snapshot.table.global;
        let identity = identity::identify(self.client, &self.parts.headers, host, global);
        self.record.asked_by(identity.address);
        self.identity = Some(identity);
        let given = self.parts.headers.get(headers::X_REQUEST_ID).filter(|id| !id.is_empty());
        self.record.identified_by(match given {
            Some(id) => RequestId::Given(id.clone()),
            None if global.generate_request_id => RequestId::made(),
            None => RequestId::None,
        });
    }

    /// By what the request itself says; what a proxy before us was asked for only appears in redirects.
    fn host(&mut self) {
        let table: &'a RouteTable = &self.snapshot.table;
        let asked = self.identity.as_ref().and_then(|identity| identity.asked.to_str().ok()).unwrap_or_default();
        self.host = Some(&**table.host(asked));
    }

    /// `/healthz` of the default host, for load balancers.
    fn health(&self) -> Result<(), Answer> {
        let default = self.host.is_some_and(|host| std::ptr::eq(host, &*self.snapshot.table.hosts.default));
        if default && self.parts.uri.path() == "/healthz" { Err(Answer::Healthy) } else { Ok(()) }
    }

    fn decide(&mut self) -> Result<(), Answer> {
        let Some(host) = self.host else { return Err(StatusCode::NOT_FOUND.into()) };
        match host.decide(self.parts.uri.path()) {
            Decision::Route(route) => {
                self.options = &route.options;
                self.backend = route.backend;
                self.route = Some(route);
            }
            Decision::AddSlash => return Err(self.add_slash()?),
            Decision::Unmatched => {
                self.backend = self.snapshot.table.default_backend;
                self.record.goes_nowhere();
            }
            Decision::Malformed => return Err(Refusal::BadRequest.into()),
        }
        if let Some(backend) = self.backend {
            self.record.goes_to(self.snapshot, backend);
        }
        Ok(())
    }

    /// To the same path with a slash, on the host and the scheme that were asked for.
    fn add_slash(&self) -> Result<Answer, Answer> {
        let uri = &self.parts.uri;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let scheme = if self.client.https { "https" } else { "http" };
        let location = format!("{scheme}://{}{}/{query}", host_name(self.identity()?.forwarded_host()), uri.path());
        redirect(StatusCode::MOVED_PERMANENTLY, &location)
    }

    fn body_limit(&self) -> Result<(), Refusal> {
        let Some(value) = self.parts.headers.get(CONTENT_LENGTH) else { return Ok(()) };
        let length: u64 = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Refusal::BadRequest)?;
        if self.options.body_limit.is_some_and(|limit| length > limit) { Err(Refusal::BodyTooLarge) } else { Ok(()) }
    }

    fn tls_redirect(&self) -> Result<(), Answer> {
        let identity = self.identity()?;
        let host = self.host.map(|host| &host.options);
        let wanted = match self.route.map(|route| &*route.options) {
            Some(options) => options.force_ssl_redirect || options.ssl_redirect && host.is_some_and(|host| host.tls),
            None => host.is_some_and(|host| host.redirect_unmatched),
        };
        let path = self.parts.uri.path_and_query().map_or("/", |it| it.as_str());
        if !wanted || identity.https || path.starts_with("/.well-known/acme-challenge") {
            return Ok(());
        }
        let status =
            StatusCode::from_u16(self.snapshot.table.global.http_redirect_code).unwrap_or(StatusCode::PERMANENT_REDIRECT);
        let path = path.strip_suffix('/').unwrap_or(path);
        Err(redirect(status, &format!("https://{}{path}", host_name(identity.forwarded_host())))?)
    }

    /// Who can take the request.
    async fn endpoints(&mut self) -> Result<(), Answer> {
        let Some(index) = self.backend else {
            let status = if self.route.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NOT_FOUND };
            return Err(status.into());
        };
        if let Some(Endpoints::Name { host, port }) = self.snapshot.endpoints(index) {
            let worker = &self.client.worker;
            let resolving = worker.timers.within(names::LIMIT, worker.upstream.names.resolve(host, *port));
            // Rare, and large: not part of every request's state.
            self.resolved = Some(Box::pin(resolving).await.unwrap_or_default());
        }
        match (self.candidates().is_empty(), self.route) {
            (false, _) => Ok(()),
            (true, Some(_)) => Err(StatusCode::SERVICE_UNAVAILABLE.into()),
            // A default backend without endpoints is none.
            (true, None) => Err(StatusCode::NOT_FOUND.into()),
        }
    }

    /// Endpoints that may take the request.
    fn candidates(&self) -> &[SocketAddr] {
        match (&self.resolved, self.backend.and_then(|index| self.snapshot.endpoints(index))) {
            (Some(resolved), _) => resolved,
            (None, Some(Endpoints::Addresses(addresses))) => addresses,
            _ => &[],
        }
    }

    /// The response to the client. Nothing is decided after this.
    fn respond(mut self, reply: Result<Reply, Answer>, version: Version, close: bool) -> Response<ResponseBody> {
        let client = Rc::clone(self.client);
        let (status, refused) = match &reply {
            Ok(Reply::Streamed(response)) => (response.status(), false),
            Ok(Reply::Upgraded(_, _)) => (StatusCode::SWITCHING_PROTOCOLS, false),
            Err(answer) => (answer.status(), answer.closes()),
        };
        let series = self.series(status);
        self.record.respond(status, series);
        let https = self.identity.as_ref().map_or(client.https, |identity| identity.https);
        let mut response = match reply {
            Ok(Reply::Streamed(response)) => {
                let (parts, streaming) = response.into_parts();
                Response::from_parts(parts, ResponseBody::upstream(streaming, self.record))
            }
            Ok(Reply::Upgraded(response, endpoint)) => {
                client.set_tunnel(Tunnel { endpoint, idle: self.options.read_timeout, record: self.record });
                response
            }
            Err(answer) => {
                let mut response = Response::new(ResponseBody::none());
                *response.status_mut() = status;
                let page = answer.render(response.headers_mut());
                response.map(|_| ResponseBody::page(page, self.record))
            }
        };
        let headers = response.headers_mut();
        if https {
            headers::secure(headers, self.snapshot.hsts.as_ref());
        }
        if (close || refused) && version < Version::HTTP_2 && status != StatusCode::SWITCHING_PROTOCOLS {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The numbers that the request is counted under; none for what no rule matched.
    fn series(&self, status: StatusCode) -> Option<std::sync::Arc<metrics::Series>> {
        let (host, route) = (self.host?, self.route?);
        Some(self.client.worker.counters.series(&Labels {
            host: &host.name,
            status: status.as_u16(),
            method: metrics::method(&self.method),
            path: &route.path,
            namespace: &route.namespace,
            ingress: &route.ingress,
            service: &route.service,
        }))
    }
}

fn redirect(status: StatusCode, location: &str) -> Result<Answer, Answer> {
    let location = HeaderValue::from_str(location).or_else(|_| HeaderValue::from_bytes(location.as_bytes()));
    location.map(|location| Answer::Redirect(status, location)).map_err(|_| Refusal::BadRequest.into())
}
