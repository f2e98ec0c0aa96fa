//! PURE: what is known of a pod's containers → PodStatus. Imports only the API's types; [`super::pod`] sends the result.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What a container is doing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// It does not run yet, or not at the moment.
    Waiting { reason: String, message: Option<String> },
    /// It runs as process `pid`.
    Running { pid: u32, since: Timestamp },
    /// It ended and will not be started again.
    Terminated(Ending),
}

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ending {
    pub(crate) exit_code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) pid: u32,
}

/// A container as its task sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observation {
    pub(crate) state: State,
    /// The ending before the last restart.
    pub(crate) last: Option<Ending>,
    pub(crate) restarts: i32,
    /// The startup probe has passed.
    pub(crate) started: bool,
    /// The readiness probe passes.
    pub(crate) ready: bool,
}

impl Default for Observation {
    fn default() -> Self {
        let state = State::Waiting { reason: "ContainerCreating".into(), message: None };
        Self { state, last: None, restarts: 0, started: false, ready: false }
    }
}

impl Observation {
    /// The exit code, once it ended for good.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match &self.state {
            State::Terminated(ending) => Some(ending.exit_code),
            State::Waiting { .. } | State::Running { .. } => None,
        }
    }
}

/// A container of the pod with its observation.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) container: Container,
    /// Whether it is an init container.
    pub(crate) init: bool,
    pub(crate) observation: Observation,
}

/// Everything a status is made from.
pub(crate) struct View<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) slots: &'a [Slot],
    /// The pod's address, once it has one.
    pub(crate) pod_ip: Option<String>,
    pub(crate) host_ip: String,
    /// When the kubelet first saw the pod.
    pub(crate) since: Timestamp,
    /// No container runs or will run.
    pub(crate) ended: bool,
    /// Why the pod's containers cannot be started yet, such as a missing Secret.
    pub(crate) obstacle: Option<&'a str>,
    /// The conditions of the status before.
    pub(crate) previous: &'a [PodCondition],
}

/// The status to report at `now`.
pub(crate) fn build(view: &View<'_>, now: Timestamp) -> PodStatus {
    let apps = || view.slots.iter().filter(|slot| !slot.init);
    let phase = phase(view);
    let initialized = view.slots.iter().filter(|slot| slot.init).all(|slot| slot.observation.exit_code() == Some(0));
    let containers_ready = apps().all(|slot| slot.observation.ready);
    let missing_gate = missing_gate(view.pod);

    let not_ready: Vec<_> = apps().filter(|slot| !slot.observation.ready).map(|slot| slot.container.name.as_str()).collect();
    let unready = format!("containers with unready status: [{}]", not_ready.join(" "));
    let containers_verdict = match phase {
        "Succeeded" => Some(("PodCompleted", String::new())),
        "Failed" => Some(("PodFailed", String::new())),
        _ if !containers_ready => Some(("ContainersNotReady", unready)),
        _ => None,
    };
    let ready_verdict = containers_verdict.clone().or_else(|| {
        let gate = missing_gate?;
        Some(("ReadinessGatesNotReady", format!("the status of pod readiness gate {gate:?} is not \"True\"")))
    });
    let initialized_verdict =
        (!initialized).then(|| ("ContainersNotInitialized", "init containers have not all finished".to_owned()));
    let conditions = [("Initialized", initialized_verdict), ("ContainersReady", containers_verdict), ("Ready", ready_verdict)]
        .map(|(kind, verdict)| condition(view.previous, kind, verdict, now));

    let statuses =
        |init| view.slots.iter().filter(move |slot| slot.init == init).map(|slot| container_status(slot, view.obstacle));
    let init_statuses: Vec<_> = statuses(true).collect();
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions.into()),
        container_statuses: Some(statuses(false).collect()),
        init_container_statuses: (!init_statuses.is_empty()).then_some(init_statuses),
        host_ip: Some(view.host_ip.clone()),
        host_ips: Some(vec![HostIP { ip: view.host_ip.clone() }]),
        pod_ips: view.pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: view.pod_ip.clone(),
        start_time: Some(Time(view.since)),
        observed_generation: view.pod.metadata.generation,
        ..PodStatus::default()
    }
}

/// Pending until every init container is done and a container has run; Succeeded or Failed when all have ended for good.
fn phase(view: &View<'_>) -> &'static str {
    let mut apps = view.slots.iter().filter(|slot| !slot.init).map(|slot| &slot.observation);
    let failed = view.slots.iter().any(|slot| slot.observation.exit_code().is_some_and(|code| code != 0));
    let has_run = |observation: &Observation| !matches!(observation.state, State::Waiting { .. }) || observation.last.is_some();
    if view.ended && failed {
        "Failed"
    } else if view.ended && apps.clone().all(|app| app.exit_code() == Some(0)) {
        "Succeeded"
    } else if apps.any(has_run) {
        "Running"
    } else {
        "Pending"
    }
}

/// The first readiness gate whose condition, set by somebody else, is not True.
fn missing_gate(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let is_true = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    gates.iter().map(|gate| gate.condition_type.as_str()).find(|kind| !is_true(kind))
}

/// A condition that is True without a verdict, and False with the verdict's reason and message.
fn condition(previous: &[PodCondition], kind: &str, verdict: Option<(&'static str, String)>, now: Timestamp) -> PodCondition {
    let status = if verdict.is_none() { "True" } else { "False" };
    let unchanged = previous.iter().find(|condition| condition.type_ == kind && condition.status == status);
    let (reason, message) = verdict.unzip();
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        message: message.filter(|text| !text.is_empty()),
        last_transition_time: unchanged.map_or(Some(Time(now)), |condition| condition.last_transition_time.clone()),
        ..PodCondition::default()
    }
}

fn container_status(slot: &Slot, obstacle: Option<&str>) -> ContainerStatus {
    let seen = &slot.observation;
    let image = slot.container.image.clone().unwrap_or_default();
    let (state, pid) = match &seen.state {
        State::Waiting { reason, message } => {
            let message = message.clone().or_else(|| obstacle.map(str::to_owned));
            let waiting = ContainerStateWaiting { reason: Some(reason.clone()), message };
            (ContainerState { waiting: Some(waiting), ..ContainerState::default() }, seen.last.as_ref().map(|ending| ending.pid))
        }
        State::Running { pid, since } => {
            let running = ContainerStateRunning { started_at: Some(Time(*since)) };
            (ContainerState { running: Some(running), ..ContainerState::default() }, Some(*pid))
        }
        State::Terminated(ending) => (terminated(ending), Some(ending.pid)),
    };
    ContainerStatus {
        name: slot.container.name.clone(),
        image_id: image.clone(),
        image,
        container_id: pid.map(container_id),
        ready: seen.ready,
        started: Some(seen.started),
        restart_count: seen.restarts,
        state: Some(state),
        last_state: seen.last.as_ref().map(terminated),
        ..ContainerStatus::default()
    }
}

fn terminated(ending: &Ending) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: ending.exit_code,
        signal: ending.signal,
        reason: Some(if ending.exit_code == 0 { "Completed" } else { "Error" }.to_owned()),
        started_at: Some(Time(ending.started)),
        finished_at: Some(Time(ending.finished)),
        container_id: Some(container_id(ending.pid)),
        message: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// The process id (as the cluster's process namespace knows it) is the container's id.
fn container_id(pid: u32) -> String {
    format!("process://{pid}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EARLY: Timestamp = Timestamp::UNIX_EPOCH;

    fn pod(conditions: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [], "readinessGates": [{"conditionType": "landfall/target-health"}]},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn slot(init: bool, state: State, ready: bool) -> Slot {
        let container = Container { name: if init { "i" } else { "c" }.into(), ..Container::default() };
        Slot { container, init, observation: Observation { state, ready, ..Observation::default() } }
    }

    fn running() -> State {
        State::Running { pid: 7, since: EARLY }
    }

    fn ended(exit_code: i32) -> State {
        State::Terminated(Ending { exit_code, signal: None, started: EARLY, finished: EARLY, pid: 7 })
    }

    fn status(pod: &Pod, slots: &[Slot], all_ended: bool, previous: &[PodCondition]) -> PodStatus {
        let view = View {
            pod,
            slots,
            pod_ip: Some("10.20.1.130".into()),
            host_ip: "10.20.1.10".into(),
            since: EARLY,
            ended: all_ended,
            obstacle: None,
            previous,
        };
        build(&view, Timestamp::from_second(100).unwrap())
    }

    fn verdict(status: &PodStatus, kind: &str) -> (String, String) {
        let conditions = status.conditions.as_deref().unwrap();
        let condition = conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        (condition.status.clone(), condition.reason.clone().unwrap_or_default())
    }

    fn says(status: &str, reason: &str) -> (String, String) {
        (status.to_owned(), reason.to_owned())
    }

    #[test]
    fn ready_needs_every_gate() {
        let slots = [slot(false, running(), true)];
        let waiting = status(&pod(&json!([])), &slots, false, &[]);
        assert_eq!(verdict(&waiting, "ContainersReady"), says("True", ""));
        assert_eq!(verdict(&waiting, "Ready"), says("False", "ReadinessGatesNotReady"));
        let open = status(&pod(&json!([{"type": "landfall/target-health", "status": "True"}])), &slots, false, &[]);
        assert_eq!(verdict(&open, "Ready"), says("True", ""));
    }

    #[test]
    fn phases_follow_the_containers() {
        let pod = pod(&json!([]));
        let phase = |slots: &[Slot], ended| status(&pod, slots, ended, &[]).phase.unwrap();
        let new = || Observation::default().state;
        assert_eq!(phase(&[slot(false, new(), false)], false), "Pending");
        assert_eq!(phase(&[slot(true, running(), false), slot(false, new(), false)], false), "Pending");
        assert_eq!(phase(&[slot(true, ended(0), false), slot(false, running(), false)], false), "Running");
        assert_eq!(phase(&[slot(false, ended(0), false), slot(false, ended(0), false)], true), "Succeeded");
        assert_eq!(phase(&[slot(false, ended(0), false), slot(false, ended(1), false)], true), "Failed");
        assert_eq!(phase(&[slot(true, ended(1), false), slot(false, new(), false)], true), "Failed");
    }

    #[test]
    fn a_transition_time_stays_while_the_status_does() {
        let (pod, slots) = (pod(&json!([])), [slot(false, running(), false)]);
        let previous = PodCondition {
            type_: "ContainersReady".into(),
            status: "False".into(),
            last_transition_time: Some(Time(EARLY)),
            ..PodCondition::default()
        };
        let time = |status: PodStatus| status.conditions.unwrap()[1].last_transition_time.clone();
        assert_eq!(time(status(&pod, &slots, false, std::slice::from_ref(&previous))), Some(Time(EARLY)));
        let ready = [slot(false, running(), true)];
        assert_ne!(time(status(&pod, &ready, false, &[previous])), Some(Time(EARLY)));
    }
}
