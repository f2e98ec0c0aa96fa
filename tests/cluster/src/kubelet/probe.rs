//! Startup, readiness and liveness probes of one container run, made from the node. Uses [`crate::http_client`];
//! [`super::container`] acts on the verdicts.
//!
//! As a kubelet does them (defaults: no initial delay, every 10 s, 1 s to answer, 1 success, 3 failures), with one difference: until its
//! first success a readiness or startup probe is made four times a second, so that no test waits for a period to pass. Failures made
//! in between do not count.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::http_client;

/// The pause between attempts before the first success.
const EAGER: Duration = Duration::from_millis(250);

/// What the probes say of a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// The startup probe has passed, or there is none.
    pub(crate) started: bool,
    /// Started, and the readiness probe passes, or there is none.
    pub(crate) ready: bool,
    /// Why the container must be restarted: its startup or liveness probe failed.
    pub(crate) failed: Option<String>,
}

/// Probes `container` at `address` until the returned handle is dropped.
pub(crate) fn start(container: &Container, address: IpAddr) -> (watch::Receiver<Health>, AbortOnDropHandle<()>) {
    let (sender, health) = watch::channel(Health::default());
    let container = container.clone();
    let task = tokio::spawn(async move {
        if let Some(probe) = &container.startup_probe {
            let mut passed = false;
            let verdict = |success: bool, problem: Option<&io::Error>| {
                passed = success;
                if let (false, Some(problem)) = (success, problem) {
                    sender.send_modify(|health| health.failed = Some(format!("startup probe failed: {problem}")));
                }
                !success
            };
            follow(probe, Kind::Startup, &container, address, verdict).await;
            if !passed {
                return;
            }
        }
        sender.send_modify(|health| {
            health.started = true;
            health.ready = container.readiness_probe.is_none();
        });
        let readiness = async {
            if let Some(probe) = &container.readiness_probe {
                let verdict = |success, _: Option<&io::Error>| {
                    sender.send_if_modified(|health| std::mem::replace(&mut health.ready, success) != success);
                    true
                };
                follow(probe, Kind::Readiness, &container, address, verdict).await;
            }
        };
        let liveness = async {
            if let Some(probe) = &container.liveness_probe {
                let verdict = |success: bool, problem: Option<&io::Error>| {
                    if let (false, Some(problem)) = (success, problem) {
                        sender.send_modify(|health| health.failed = Some(format!("liveness probe failed: {problem}")));
                    }
                    success
                };
                follow(probe, Kind::Liveness, &container, address, verdict).await;
            }
        };
        futures::join!(readiness, liveness);
    });
    (health, AbortOnDropHandle::new(task))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Startup,
    Readiness,
    Liveness,
}

/// Makes a probe again and again, and tells `verdict` whenever a threshold is reached (with the last problem, on failure), until it
/// returns false.
async fn follow(
    probe: &Probe,
    kind: Kind,
    container: &Container,
    address: IpAddr,
    mut verdict: impl FnMut(bool, Option<&io::Error>) -> bool,
) {
    let seconds = |value: Option<i32>, default: u64| {
        Duration::from_secs(value.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default))
    };
    let (period, limit) = (seconds(probe.period_seconds, 10), seconds(probe.timeout_seconds, 1));
    let (needed, tolerated) = (probe.success_threshold.unwrap_or(1).max(1), probe.failure_threshold.unwrap_or(3).max(1));
    sleep(seconds(probe.initial_delay_seconds, 0)).await;
    if kind == Kind::Liveness {
        // A kubelet's first one comes somewhere within the period; the latest is the kindest to programs that start slowly.
        sleep(period).await;
    }

    let (mut successes, mut failures, mut succeeded_once) = (0, 0, false);
    let mut due = Instant::now();
    loop {
        let result = attempt(probe, container, address, limit).await;
        let now = Instant::now();
        let counts = now >= due;
        if counts {
            due = now.max(due + period);
        }
        match result {
            Ok(()) => {
                (successes, failures, succeeded_once) = (successes + 1, 0, true);
                if successes >= needed && !verdict(true, None) {
                    return;
                }
            }
            Err(problem) => {
                successes = 0;
                failures += i32::from(counts);
                if failures >= tolerated && !verdict(false, Some(&problem)) {
                    return;
                }
            }
        }
        let eager = !succeeded_once && kind != Kind::Liveness;
        sleep_until(if eager { due.min(Instant::now() + EAGER) } else { due }).await;
    }
}

async fn attempt(probe: &Probe, container: &Container, address: IpAddr, limit: Duration) -> io::Result<()> {
    if let Some(action) = &probe.http_get {
        http_get(action, container, address, limit).await
    } else if let Some(action) = &probe.tcp_socket {
        let target = tcp_target(action, container, address)?;
        timeout(limit, TcpStream::connect(target)).await.map_err(io::Error::from)?.map(drop)
    } else {
        Err(io::Error::other("only httpGet and tcpSocket probes can be made without a container runtime"))
    }
}

/// A probe's or hook's HTTP GET: any status from 200 to 399 is a success.
pub(crate) async fn http_get(action: &HTTPGetAction, container: &Container, address: IpAddr, limit: Duration) -> io::Result<()> {
    if action.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
        return Err(io::Error::other("only scheme HTTP can be probed"));
    }
    let host = host(action.host.as_deref(), address)?;
    let target = SocketAddr::new(host, port(&action.port, container)?);
    let headers = action.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
    let mut headers: Vec<_> = headers.collect();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        headers.push(("user-agent".into(), "kube-probe/1.36".into()));
    }
    let path = match action.path.as_deref() {
        None | Some("") => "/".to_owned(),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
    };
    match http_client::get(target, &path, &headers, limit).await? {
        200..400 => Ok(()),
        status => Err(io::Error::other(format!("HTTP probe of http://{target}{path} answered {status}"))),
    }
}

fn tcp_target(action: &TCPSocketAction, container: &Container, address: IpAddr) -> io::Result<SocketAddr> {
    Ok(SocketAddr::new(host(action.host.as_deref(), address)?, port(&action.port, container)?))
}

fn host(named: Option<&str>, address: IpAddr) -> io::Result<IpAddr> {
    match named {
        None | Some("") => Ok(address),
        Some(host) => host.parse().map_err(|_| io::Error::other(format!("host {host:?} is not an IP address"))),
    }
}

/// A port by number, or by the name of one of the container's ports.
fn port(port: &IntOrString, container: &Container) -> io::Result<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            ports.find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let unknown = || io::Error::other(format!("container {:?} has no port {port:?}", container.name));
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    fn container(value: serde_json::Value) -> Container {
        serde_json::from_value(value).unwrap()
    }

    #[tokio::test]
    async fn readiness_follows_the_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let container = container(json!({"name": "c", "ports": [{"name": "web", "containerPort": port}],
            "readinessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 1}}));
        let (mut health, _task) = start(&container, IpAddr::from([127, 0, 0, 1]));
        assert!(health.wait_for(|health| health.ready).await.unwrap().started);
        drop(listener);
        let lost = health.wait_for(|health| !health.ready).await.unwrap().clone();
        assert_eq!(lost, Health { started: true, ready: false, failed: None });
    }

    #[tokio::test]
    async fn liveness_fails_after_its_threshold() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let container = container(json!({"name": "c",
            "livenessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 2}}));
        let begin = Instant::now();
        let (mut health, _task) = start(&container, IpAddr::from([127, 0, 0, 1]));
        let failed = health.wait_for(|health| health.failed.is_some()).await.unwrap().clone();
        assert!(failed.ready && failed.failed.unwrap().starts_with("liveness probe failed"));
        assert!(begin.elapsed() >= Duration::from_secs(2), "the first comes after a period, the second one later");
    }

    #[test]
    fn an_unknown_port_is_named() {
        let container = container(json!({"name": "c", "ports": [{"name": "web", "containerPort": 80}]}));
        assert_eq!(port(&IntOrString::String("web".into()), &container).unwrap(), 80);
        let error = port(&IntOrString::String("metrics".into()), &container).unwrap_err();
        assert!(error.to_string().contains("metrics"), "{error}");
    }
}
