//! How soon a container answers.

use std::process::Command;
use std::time::{Duration, Instant};

use super::client::Client;
use super::report::{Goal, Report};

const IMAGE: &str = "landfall-localstack:latest";
const WHAT: &str = "container: start to healthy";

/// From `docker start` of a container that was made before to the first healthy answer.
pub async fn measure(report: &mut Report) {
    if docker(&["version"]).is_err() {
        return report.skip(WHAT, "lacks a Docker engine that answers (`tools/docker.sh make bench-localstack` starts one)");
    }
    if docker(&["image", "inspect", IMAGE]).is_err() {
        return report.skip(WHAT, &format!("lacks the image {IMAGE} (`tools/image.sh localstack` makes it)"));
    }
    let id = docker(&["create", "--rm", "--publish", "127.0.0.1::4566", IMAGE]).unwrap_or_else(|problem| panic!("{problem}"));
    let container = Container(id);
    let begin = Instant::now();
    docker(&["start", &container.0]).unwrap_or_else(|problem| panic!("{problem}"));
    let address = docker(&["port", &container.0, "4566/tcp"]).unwrap_or_else(|problem| panic!("{problem}"));
    let client = Client::new(format!("http://{address}"));
    while !client.is_healthy().await {
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody answers on {address}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    report.figure(WHAT, begin.elapsed().as_secs_f64(), "s", Goal::AtMost(1.0));
}

/// Goes away with this value.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", &self.0]);
    }
}

/// What it printed, or what it complained about.
fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output().map_err(|problem| format!("docker: {problem}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("docker {arguments:?}: {}", text(&output.stderr)))
    }
}
