//! One container of a pod: starts its process, restarts it, and ends it. Uses [`super::env`], [`super::probe`], [`super::volumes`],
//! [`crate::launcher`]; reports [`Observation`]s to [`super::pod`], which decides when to stop.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::pod::Log;
use super::probe::{self, Health};
use super::status::{Ending, Observation, State};
use super::volumes::Volumes;
use super::{Context, env};
use crate::launcher::Launch;

/// The pause before the first restart; doubled each time, up to the limit. (A kubelet: 10 s to 5 min.)
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A container that ran this long is not in a crash loop.
const LONG_RUN: Duration = Duration::from_secs(60);

/// The pause before another try when a container could not even be started.
const RETRY: Duration = Duration::from_secs(1);

/// A container gets at least this long between SIGTERM and SIGKILL, whatever preStop took (kubelet's `minimumGracePeriodInSeconds`).
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// Time for a preStop request's answer is the grace period; this bounds it where there is none.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// The order to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// When the grace period is over.
    pub(crate) deadline: Instant,
    /// The pod was deleted by force: no hook, no SIGTERM, no patience.
    pub(crate) forced: bool,
}

/// Which endings are followed by another start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// Where a pod's processes run.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The network namespace's file.
    pub(crate) network: PathBuf,
    /// The pod's address (the node's for hostNetwork).
    pub(crate) address: Ipv4Addr,
    pub(crate) volumes: Volumes,
    /// The pod's home folder, empty at first.
    pub(crate) home: PathBuf,
    /// Folder of the containers' output.
    pub(crate) output: PathBuf,
}

/// Everything that a container's task needs.
pub(crate) struct Task<R> {
    pub(crate) context: Arc<Context>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) container: Container,
    pub(crate) place: Place,
    pub(crate) restart: Restart,
    pub(crate) log: Log,
    /// Told of every change.
    pub(crate) report: R,
    pub(crate) stop: watch::Receiver<Option<Stop>>,
}

/// A process that has been started.
struct Running {
    child: Child,
    pid: Pid,
    since: Timestamp,
    health: watch::Receiver<Health>,
}

impl<R: Fn(Observation) + Send> Task<R> {
    /// Runs the container until it ends for good or has been stopped.
    pub(crate) async fn run(mut self) {
        let mut seen = Observation::default();
        let mut pause = FIRST_PAUSE;
        while !self.stopping() {
            let (begin, ending) = (Instant::now(), self.run_once(&mut seen).await);
            let ending = match ending {
                Ok(ending) => ending,
                Err((reason, message)) => {
                    self.waiting(&mut seen, reason, message);
                    self.pause(RETRY).await;
                    continue;
                }
            };
            (seen.ready, seen.started) = (false, false);
            let again = match self.restart {
                Restart::Always => true,
                Restart::OnFailure => ending.exit_code != 0,
                Restart::Never => false,
            };
            if self.stopping() || !again {
                seen.state = State::Terminated(ending);
                return (self.report)(seen);
            }
            if begin.elapsed() >= LONG_RUN {
                pause = FIRST_PAUSE;
            }
            seen.last = Some(ending.clone());
            let message = format!("back-off {} s restarting container {}", pause.as_secs(), self.container.name);
            self.waiting(&mut seen, "CrashLoopBackOff", message);
            self.pause(pause).await;
            if self.stopping() {
                (seen.state, seen.last) = (State::Terminated(ending), None);
                return (self.report)(seen);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            seen.restarts += 1;
        }
    }

    /// Starts the process and sees it through to its end.
    async fn run_once(&mut self, seen: &mut Observation) -> Result<Ending, (&'static str, String)> {
        let mut process = self.start().await?;
        let (health, _probes) = probe::start(&self.container, IpAddr::V4(self.place.address));
        process.health = health;
        seen.state = State::Running { pid: process.pid.as_raw().unsigned_abs(), since: process.since };
        (self.report)(seen.clone());
        self.log.line(&format!("container {}: started as process {}", self.container.name, process.pid));

        let status = self.see_through(&mut process, seen).await;
        // What the process started goes with it, as a container's processes do.
        let _ = killpg(process.pid, Signal::SIGKILL);
        let status = status.map_err(|problem| ("ContainerStatusUnknown", problem.to_string()))?;
        self.log.line(&format!("container {}: ended, {status}", self.container.name));
        let signal = status.signal();
        Ok(Ending {
            exit_code: status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(-1),
            signal,
            started: process.since,
            finished: Timestamp::now(),
            pid: process.pid.as_raw().unsigned_abs(),
        })
    }

    /// Starts the process. On failure: the reason and the message of the waiting state.
    async fn start(&self) -> Result<Running, (&'static str, String)> {
        let (container, place) = (&self.container, &self.place);
        let image = container.image.as_deref().unwrap_or_default();
        let configuration = |problem: &dyn std::fmt::Display| ("CreateContainerConfigError", problem.to_string());
        let own_environment = self.context.settings.images.find(image).unwrap_or_default().environment;
        let (pod_ip, host_ip) = (place.address.to_string(), self.context.settings.node.address.to_string());
        let home = place.home.display().to_string();
        let facts = env::Facts { pod: &self.pod, pod_ip: &pod_ip, host_ip: &host_ip, home: &home };
        let variables = env::environment(&self.context, container, &own_environment, &facts).await;
        let variables = variables.map_err(|problem| configuration(&problem))?;

        let expand =
            |words: &Option<Vec<String>>| words.iter().flatten().map(|word| env::expand(word, &variables)).collect::<Vec<_>>();
        let program = self.context.settings.images.resolve(image, &expand(&container.command), &expand(&container.args));
        let program = program.map_err(|problem| (problem.reason(), problem.to_string()))?;

        let launch = Launch {
            network: Some(place.network.clone()),
            hostname: self.pod.metadata.name.as_ref().map(|name| name.chars().take(63).collect()),
            binds: place.volumes.binds(container, &program.path, &self.log),
            directory: Some(container.working_dir.as_deref().filter(|folder| !folder.is_empty()).unwrap_or("/").into()),
        };
        let output = place.output.join(format!("{}.log", container.name));
        let spawn = || -> io::Result<Child> {
            let output = File::options().create(true).append(true).open(output)?;
            let mut command = launch.command(&program.path, &program.arguments)?;
            command.env_clear().envs(&variables).stdout(output.try_clone()?).stderr(output).spawn()
        };
        let child = spawn().map_err(|problem| ("RunContainerError", problem.to_string()))?;
        let pid = child.id().ok_or_else(|| ("RunContainerError", "the process ended at once".to_owned()))?;
        // Replaced by the caller, who keeps the probes' handle.
        let health = watch::channel(Health::default()).1;
        Ok(Running { child, pid: Pid::from_raw(pid.cast_signed()), since: Timestamp::now(), health })
    }

    /// Waits for the process's end, or brings it about.
    async fn see_through(&mut self, process: &mut Running, seen: &mut Observation) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = process.child.wait() => return status,
                Ok(()) = process.health.changed() => {
                    if let Some(reason) = self.observe(process, seen) {
                        self.log.line(&format!("container {}: {reason}; it will be restarted", self.container.name));
                        let deadline = Instant::now() + self.grace();
                        return self.terminate(process, seen, Some(Stop { deadline, forced: false })).await;
                    }
                }
                () = stop_ordered(&mut self.stop) => return self.terminate(process, seen, None).await,
            }
        }
    }

    /// preStop, SIGTERM, and SIGKILL when the grace period is over. Readiness goes on being probed: terminating endpoints may serve.
    /// `own` is the deadline of a restart; the order to stop the pod, once there, goes before it and may still be shortened.
    async fn terminate(&mut self, process: &mut Running, seen: &mut Observation, own: Option<Stop>) -> io::Result<ExitStatus> {
        let mut order = self.order(own);
        let hook = self.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.clone());
        if let Some(hook) = hook.filter(|_| !order.forced) {
            let (container, address, log) = (self.container.clone(), self.place.address, self.log.clone());
            let hook = async move { run_hook(&hook, &container, IpAddr::V4(address), &log, order.deadline).await };
            tokio::pin!(hook);
            loop {
                tokio::select! {
                    status = process.child.wait() => return status,
                    () = &mut hook => break,
                    Ok(()) = process.health.changed() => drop(self.observe(process, seen)),
                    Ok(()) = self.stop.changed() => {
                        order = self.order(own);
                        if order.forced || order.deadline <= Instant::now() {
                            break;
                        }
                    }
                }
            }
        }
        // Of what was deleted by force nothing may still be done in order: that is what users force a deletion for.
        if !order.forced {
            self.log.line(&format!("container {}: SIGTERM", self.container.name));
            // An error means that it has ended: the wait below tells.
            let _ = kill(process.pid, Signal::SIGTERM);
        }
        let least = Instant::now() + LEAST_GRACE;
        loop {
            order = self.order(own);
            let deadline = if order.forced { order.deadline } else { order.deadline.max(least) };
            tokio::select! {
                status = process.child.wait() => return status,
                () = sleep_until(deadline) => break,
                Ok(()) = process.health.changed() => drop(self.observe(process, seen)),
                Ok(()) = self.stop.changed() => {}
            }
        }
        self.log.line(&format!("container {}: SIGKILL", self.container.name));
        let _ = killpg(process.pid, Signal::SIGKILL);
        process.child.wait().await
    }

    /// Takes over what the probes say and reports it. Returns why the container must be restarted, if so.
    fn observe(&self, process: &mut Running, seen: &mut Observation) -> Option<String> {
        let health = process.health.borrow_and_update().clone();
        if (seen.started, seen.ready) != (health.started, health.ready) {
            (seen.started, seen.ready) = (health.started, health.ready);
            (self.report)(seen.clone());
        }
        health.failed
    }

    fn waiting(&self, seen: &mut Observation, reason: &str, message: String) {
        self.log.line(&format!("container {}: {reason}: {message}", self.container.name));
        seen.state = State::Waiting { reason: reason.to_owned(), message: Some(message) };
        (self.report)(seen.clone());
    }

    /// Sleeps, but no longer than until the order to stop.
    async fn pause(&mut self, duration: Duration) {
        tokio::select! {
            () = sleep(duration) => {}
            () = stop_ordered(&mut self.stop) => {}
        }
    }

    fn stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    fn order(&mut self, own: Option<Stop>) -> Stop {
        let ordered = *self.stop.borrow_and_update();
        ordered.or(own).unwrap_or_else(|| Stop { deadline: Instant::now(), forced: true })
    }

    fn grace(&self) -> Duration {
        let seconds = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(DEFAULT_GRACE, Duration::from_secs)
    }
}

/// Waits for the order to stop.
async fn stop_ordered(stop: &mut watch::Receiver<Option<Stop>>) {
    if stop.wait_for(Option::is_some).await.is_err() {
        // Whoever could order it is gone, and aborts this task, too.
        std::future::pending::<()>().await;
    }
}

/// Runs a preStop hook, which never takes longer than the grace period. Its failure is logged and otherwise ignored, as by a kubelet.
async fn run_hook(hook: &LifecycleHandler, container: &Container, address: IpAddr, log: &Log, deadline: Instant) {
    let name = &container.name;
    if let Some(pause) = &hook.sleep {
        log.line(&format!("container {name}: preStop: sleep {} s", pause.seconds));
        sleep_until(deadline.min(Instant::now() + Duration::from_secs(u64::try_from(pause.seconds).unwrap_or(0)))).await;
    } else if let Some(action) = &hook.http_get {
        log.line(&format!("container {name}: preStop: HTTP GET"));
        let limit = deadline.saturating_duration_since(Instant::now());
        if let Ok(Err(problem)) = timeout_at(deadline, probe::http_get(action, container, address, limit)).await {
            log.line(&format!("container {name}: preStop failed: {problem}"));
        }
    } else {
        log.line(&format!("container {name}: preStop is ignored: only sleep and httpGet can be run without a container runtime"));
    }
}
