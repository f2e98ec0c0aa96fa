//! A small client for AWS's Query and JSON protocols that signs nothing, and for an emulator's own paths. Enough for black-box checks; a
//! test of a program uses that program's SDK, pointed at [`crate::Aws::endpoint`].
//!
//! Imports nothing of the crate.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long one answer may take: moto's first one of a service takes long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls one endpoint as one account in one region.
#[derive(Clone, Debug)]
pub struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    endpoint: String,
    account: String,
    region: String,
}

/// What was answered, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's.
    pub status: u16,
    /// XML of the Query protocol, JSON of the others.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url}: {reason}")]
pub struct ClientError {
    method: String,
    url: String,
    reason: String,
}

impl Client {
    /// Of account 000000000000 in us-east-1, as LocalStack has it.
    #[must_use]
    pub fn new(endpoint: &str) -> Self {
        // What a fault spoils is to be seen, not tried again.
        let http = HttpClient::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Self { http, endpoint: endpoint.to_owned(), account: "000000000000".to_owned(), region: "us-east-1".to_owned() }
    }

    /// The same endpoint, as this account: emulators keep accounts apart.
    #[must_use]
    pub fn of_account(&self, account: &str) -> Self {
        Self { account: account.to_owned(), ..self.clone() }
    }

    /// A call by the Query protocol: of ELBv2, EC2, STS or IAM.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn query(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> Result<Answer, ClientError> {
        let version = match service {
            "ec2" => "2016-11-15",
            "sts" => "2011-06-15",
            "iam" => "2010-05-08",
            _ => "2015-12-01",
        };
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action).append_pair("Version", version).extend_pairs(parameters);
        let kind = ("content-type", "application/x-www-form-urlencoded".to_owned());
        let scope = ("authorization", self.scope(service));
        self.send("POST", "/", &[kind, scope], &body.finish()).await
    }

    /// A call by the JSON protocol: `target` is `CertificateManager.ListCertificates`, say.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn json(&self, service: &str, target: &str, body: &serde_json::Value) -> Result<Answer, ClientError> {
        let kind = ("content-type", "application/x-amz-json-1.1".to_owned());
        let target = ("x-amz-target", target.to_owned());
        self.send("POST", "/", &[kind, target, ("authorization", self.scope(service))], &body.to_string()).await
    }

    /// A request to a path of the emulator's own.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn own(&self, method: &str, path: &str, body: &str) -> Result<Answer, ClientError> {
        self.send(method, path, &[], body).await
    }

    /// Emulators take account, region and service from here, and do not look at the signature.
    fn scope(&self, service: &str) -> String {
        let Self { account, region, .. } = self;
        format!("AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0")
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, String)], body: &str) -> Result<Answer, ClientError> {
        let url = format!("{}{path}", self.endpoint);
        let failed = |reason: String| ClientError { method: method.to_owned(), url: url.clone(), reason };
        let mut request = Request::builder().method(method).uri(&url).header("user-agent", "landfall-test-containers");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(body.to_owned())).map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| failed(with_source(&error)))?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|error| failed(with_source(&error)))?.to_bytes();
            Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        let late = |_| failed(format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }
}

/// hyper's errors keep what the system said to themselves.
fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", with_source(source)))
}

impl Answer {
    /// The text of the first XML element of this name.
    #[must_use]
    pub fn text(&self, element: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{element}>"))?;
        rest.split_once(&format!("</{element}>")).map(|(text, _)| text)
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_elements_are_found() {
        let answer = Answer { status: 200, body: "<A><Name>web</Name><Name>b</Name><Empty></Empty></A>".to_owned() };
        assert_eq!((answer.text("Name"), answer.text("Empty"), answer.text("State")), (Some("web"), Some(""), None));
        assert_eq!(answer.as_json(), serde_json::Value::Null);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_with_the_reason() {
        let error = Client::new("http://127.0.0.1:1").own("GET", "/x", "").await.unwrap_err().to_string();
        assert!(error.starts_with("GET http://127.0.0.1:1/x: ") && error.contains("refused"), "{error}");
    }
}
