//! A small HTTP server with fixed answers: the metadata and credential services that the AWS SDK asks besides the AWS APIs.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET /path`.
    pub line: String,
    /// Lower case names.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// A header's value, empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// A running server; dropping it ends it.
pub struct Answers {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    _task: AbortOnDropHandle<()>,
}

impl Answers {
    /// Answers each request by status and body.
    pub async fn serve(answer: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move { converse(stream, &*answer).await });
            }
        });
        Self { url, _task: AbortOnDropHandle::new(task) }
    }
}

/// One request per connection. A client that goes away early is its own affair.
async fn converse(stream: TcpStream, answer: &(impl Fn(&Request) -> (u16, String) + Sync)) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let line = line.rsplit_once(' ')?.0.to_owned();
    let mut request = Request { line, headers, body: String::new() };
    let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    let (status, text) = answer(&request);
    // The metadata service tells how long its token lives.
    let head = format!("HTTP/1.1 {status} -\r\nconnection: close\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
    let text = format!("{head}content-length: {}\r\n\r\n{text}", text.len());
    stream.write_all(text.as_bytes()).await.ok()
}
