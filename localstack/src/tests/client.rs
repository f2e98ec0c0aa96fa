//! A small HTTP client that signs nothing but says who it is, as an AWS SDK does.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Emulator;

pub(crate) const ELB: &str = "elasticloadbalancing";

pub(crate) struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    endpoint: String,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(emulator: &Emulator) -> Self {
        Self::at(&emulator.endpoint())
    }

    pub(crate) fn at(endpoint: &str) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Self { http, endpoint: endpoint.to_owned() }
    }

    /// An AWS call to us-west-2; `None` when the connection was closed instead of an answer.
    pub(crate) async fn call(&self, service: &str, key: &str, body: &str) -> Option<Answer> {
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
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let request =
            Request::builder().method(method).uri(format!("{}{path}", self.endpoint)).body(Full::from(body.to_owned())).unwrap();
        let answer = self.send(request).await.unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    /// A stream of events of the emulator's own endpoints, from behind the event with this id if one is given.
    pub(crate) async fn stream(&self, path: &str, last_event: Option<&str>) -> Stream {
        let mut request = Request::get(format!("{}{path}", self.endpoint));
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let response = self.http.request(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { body: response.into_body(), text: String::new() }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let response = self.http.request(request).await.ok()?;
        let status = response.status().as_u16();
        let request_id = response.headers().get("x-amzn-requestid").map(|value| value.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, request_id, body: String::from_utf8(body.to_vec()).unwrap() })
    }
}

/// The addresses that a DNS server tells of a name.
pub(super) async fn resolve(server: std::net::SocketAddr, name: &str) -> Vec<std::net::IpAddr> {
    use hickory_proto::op::{Message, Query};
    use hickory_proto::rr::{Name, RecordType};
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), RecordType::A));
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question.to_vec().unwrap(), server).await.unwrap();
    let mut answer = Vec::with_capacity(4096);
    socket.recv_buf_from(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap().answers.iter().map(|record| record.data.ip_addr().unwrap()).collect()
}

/// Server-sent events as they arrive.
pub(crate) struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    /// The data of the next event.
    pub(crate) async fn event(&mut self) -> serde_json::Value {
        let next = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                    self.text = rest.to_owned();
                    match data {
                        Some(data) => return serde_json::from_str(&data).unwrap(),
                        None => continue,
                    }
                }
                let frame = self.body.frame().await.expect("the stream goes on").unwrap();
                self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(10), next).await.expect("an event")
    }

    /// Whether the other side has closed it.
    pub(crate) async fn ended(&mut self) -> bool {
        let end = async { while self.body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
        tokio::time::timeout(Duration::from_secs(10), end).await.is_ok()
    }
}
