//! A loopback server that answers AWS calls from a script, to see what the real SDK makes of an answer. Tests only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{Aws, WriteGate};
use super::error::AwsError;
use super::meter::Meter;
use super::operation::Operation;
use super::throttle::Throttle;
use crate::error::Class;

/// Region of all clients.
pub(crate) const REGION: &str = "eu-west-1";

/// A client of an emulator, for one account.
pub(crate) fn client(endpoint: &str, account: &str) -> Aws {
    let credentials = SharedCredentialsProvider::new(Credentials::new(account, "secret", None, None, "test"));
    Aws::assemble(config(endpoint, credentials), Meter::default(), Arc::new(Throttle::default()), None)
}

/// "It does not exist", as ELBv2 says it.
pub(super) fn gone(operation: Operation) -> AwsError {
    error(operation.iam_action(), "TargetGroupNotFound", Class::Stale)
}

/// An answer of AWS without words.
pub(crate) fn error(operation: &'static str, code: &str, class: Class) -> AwsError {
    AwsError { operation, code: code.to_owned(), class, message: String::new(), request_id: None, retry_after: None }
}

/// An error answer of ELBv2 (EC2's differs around the `Code` element only).
pub(super) fn elb_error(status: u16, code: &str) -> (u16, String) {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>said AWS</Message></Error>");
    (status, format!("<ErrorResponse>{error}<RequestId>r-1</RequestId></ErrorResponse>"))
}

/// A running script.
pub(super) struct Script {
    /// A client of it.
    pub(super) aws: Aws,
    /// The client's meter.
    pub(super) meter: Meter,
    /// Bodies of the requests so far.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

/// Settings of a client that does not wait long between attempts.
pub(super) fn config(endpoint: &str, credentials: SharedCredentialsProvider) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .retry_config(RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(1)))
        .build()
}

pub(super) fn credentials() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "test"))
}

/// Answers the n-th request with the n-th answer and further ones with the last. `gate` is given the number of requests so
/// far.
pub(super) async fn script(answers: Vec<(u16, String)>, gate: impl Fn(usize) -> bool + Send + Sync + 'static) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let body = read_request(&mut connection).await;
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(body);
                seen.len()
            };
            let (status, body) = answers.get(number - 1).or(answers.last()).unwrap();
            let head = format!("HTTP/1.1 {status} Script\r\nx-amzn-requestid: r-{number}\r\nconnection: close\r\n");
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let counted = requests.clone();
    let gate: WriteGate = Arc::new(move || gate(counted.lock().unwrap().len()));
    let meter = Meter::default();
    let throttle = Arc::new(Throttle::default());
    let aws = Aws::assemble(config(&endpoint, credentials()), meter.clone(), throttle, None).with_write_gate(gate);
    Script { aws, meter, requests }
}

async fn read_request(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = connection.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if read == 0 || body.len() >= length.unwrap_or(0) {
                return body.to_owned();
            }
        }
    }
}
