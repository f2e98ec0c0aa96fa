//! Calls as an AWS SDK makes them, but unsigned: neither server checks signatures.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub const ELB: &str = "elasticloadbalancing";
pub const ACCOUNT: &str = "000000000000";
pub const REGION: &str = "us-east-1";

#[derive(Clone)]
pub struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    endpoint: String,
}

impl Client {
    pub fn new(endpoint: String) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { http: HttpClient::builder(TokioExecutor::new()).build(connector), endpoint }
    }

    /// A call that has to succeed; its XML.
    pub async fn call(&self, service: &str, action: &str, fields: &[(&str, &str)]) -> String {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", action)
            .append_pair("Version", if service == "ec2" { "2016-11-15" } else { "2015-12-01" })
            .extend_pairs(fields)
            .finish();
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let request = Request::post(&self.endpoint)
            .header("authorization", scope)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(body))
            .expect("a request");
        self.send(request, action).await
    }

    /// A call of the emulator's own endpoints, which has to succeed.
    pub async fn admin(&self, method: &str, path: &str, body: &str) -> String {
        let uri = format!("{}{path}", self.endpoint);
        let request = Request::builder().method(method).uri(uri).body(Full::from(body.to_owned())).expect("a request");
        self.send(request, path).await
    }

    /// Whether the emulator says that it is well.
    pub async fn is_healthy(&self) -> bool {
        let request = Request::get(format!("{}/_localstack/health", self.endpoint)).body(Full::default()).expect("a request");
        self.http.request(request).await.is_ok_and(|response| response.status().is_success())
    }

    async fn send(&self, request: Request<Full<Bytes>>, what: &str) -> String {
        let response = self.http.request(request).await.unwrap_or_else(|problem| panic!("{what}: {problem}"));
        let status = response.status();
        let body = response.into_body().collect().await.unwrap_or_else(|problem| panic!("{what}: {problem}")).to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status.is_success(), "{what}: {status} {text}");
        text
    }
}

/// The text of the first element of this name.
pub fn first(xml: &str, element: &str) -> String {
    let found = xml.split_once(&format!("<{element}>")).and_then(|(_, rest)| rest.split_once('<'));
    found.unwrap_or_else(|| panic!("no <{element}> in {xml}")).0.to_owned()
}
