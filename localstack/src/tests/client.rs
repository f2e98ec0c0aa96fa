//! A small HTTP client that signs nothing but says who it is, as an AWS SDK does.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Emulator;

pub(super) const ELB: &str = "elasticloadbalancing";

pub(super) struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    endpoint: String,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) request_id: Option<String>,
    pub(super) body: String,
}

impl Client {
    pub(super) fn new(emulator: &Emulator) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Self { http, endpoint: emulator.endpoint() }
    }

    /// An AWS call to us-west-2; `None` when the connection was closed instead of an answer.
    pub(super) async fn call(&self, service: &str, key: &str, body: &str) -> Option<Answer> {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/us-west-2/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let request = Request::post(&self.endpoint)
            .header("authorization", scope)
            .header("user-agent", "test-client")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(body.to_owned()))
            .unwrap();
        self.send(request).await
    }

    /// A call of the emulator's own endpoints; the status and the JSON.
    pub(super) async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let request =
            Request::builder().method(method).uri(format!("{}{path}", self.endpoint)).body(Full::from(body.to_owned())).unwrap();
        let answer = self.send(request).await.unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let response = self.http.request(request).await.ok()?;
        let status = response.status().as_u16();
        let request_id = response.headers().get("x-amzn-requestid").map(|value| value.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, request_id, body: String::from_utf8(body.to_vec()).unwrap() })
    }
}
