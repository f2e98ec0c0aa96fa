//! The endpoint behind a proxy: passes a request on, and reads what came of it. Imports `journal` for outcomes.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, Scheme, Uri};
use hyper::{Request, Response, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::journal::Outcome;

/// The longest answer that is passed on.
const MAX_ANSWER: usize = 64 << 20;

/// Headers that are about one connection.
const HOP_BY_HOP: &[&str] = &["keep-alive", "proxy-connection", "te", "trailer"];

#[derive(Debug)]
pub(super) struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
    authority: Authority,
}

impl Upstream {
    /// An endpoint `http://HOST[:PORT]`; the error says what is wrong with it.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let uri = url.parse::<Uri>().map_err(|error| format!("it is no URL ({error}); use http://HOST:PORT"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err("only http:// endpoints can be used: use http://HOST:PORT".to_owned());
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err("an endpoint has no path: use http://HOST:PORT".to_owned());
        }
        let authority = uri.authority().cloned().ok_or_else(|| "it names no host: use http://HOST:PORT".to_owned())?;
        // A call is passed on once: repeating it is for its caller to decide.
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Ok(Self { client, authority })
    }

    /// Passes a request on as it is, and waits for the whole answer.
    pub(super) async fn ask(&self, head: &Parts, body: Bytes) -> Result<Response<Bytes>, String> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() =
            format!("http://{}{path}", self.authority).parse::<Uri>().map_err(|error| format!("the path '{path}': {error}"))?;
        *request.headers_mut() = head.headers.clone();
        strip(request.headers_mut());
        let response =
            self.client.request(request).await.map_err(|error| format!("{} does not answer: {error}", self.authority))?;
        let (mut head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| format!("its answer ends early: {error}"))?;
        strip(&mut head.headers);
        head.version = Version::HTTP_11;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
    // The length is that of the body that is sent, which is known.
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, CONTENT_LENGTH] {
        headers.remove(name);
    }
}

/// What an answer says: its error code stands in XML (`<Code>`) or JSON (`__type`).
pub(super) fn outcome(answer: &Response<Bytes>) -> Outcome {
    let status = answer.status();
    if status.is_success() {
        return Outcome::Ok;
    }
    let text = String::from_utf8_lossy(answer.body());
    let xml = || text.split_once("<Code>").and_then(|(_, rest)| rest.split('<').next()).map(str::to_owned);
    let json = || {
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(value.get("__type")?.as_str()?.rsplit('#').next()?.to_owned())
    };
    Outcome::Error { code: xml().or_else(json).unwrap_or_default(), status: status.as_u16() }
}
