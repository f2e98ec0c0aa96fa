//! One AWS call: who asks whom, faults, the answer, the journal.
//!
//! Imports the services, `faults`, `journal`, `shared`. Signatures are not checked: the credential scope tells service, region and account.

use std::collections::BTreeMap;
use std::future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::protocol::Protocol;
use super::{Answer, Closed, whole};
use crate::clock::after;
use crate::error::ApiError;
use crate::faults::inject::{self, Effect};
use crate::faults::{Asked, Edit, Subject};
use crate::journal::{Entry, Outcome, is_write};
use crate::model::State;
use crate::query::Form;
use crate::region::BY_HAND;
use crate::service::Service;
use crate::shared::Shared;
use crate::{acm, consistency, ec2, elbv2, iam, sts, tagging};

/// The services that there are.
pub(crate) const SERVICES: &[&Service] =
    &[&elbv2::SERVICE, &ec2::SERVICE, &acm::SERVICE, &iam::SERVICE, &tagging::SERVICE, &sts::SERVICE];

/// The account of credentials whose access key id is not an account number.
const DEFAULT_ACCOUNT: &str = "000000000000";
const DEFAULT_REGION: &str = "us-east-1";

/// Who asks for what.
pub(crate) struct Caller {
    pub(crate) account: String,
    pub(crate) region: String,
    /// The service of the credential scope.
    pub(crate) service: Option<String>,
    pub(crate) user_agent: String,
}

impl Caller {
    /// Reads the SigV4 credential scope: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
    pub(crate) fn read(headers: &HeaderMap<HeaderValue>) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let scope =
            text(AUTHORIZATION).split_once("Credential=").map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default());
        let mut parts = scope.unwrap_or_default().split('/');
        let (key, _date, region, service) = (parts.next(), parts.next(), parts.next(), parts.next());
        let is_account = |key: &&str| key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            account: key.filter(is_account).unwrap_or(DEFAULT_ACCOUNT).to_owned(),
            region: region.filter(|region| !region.is_empty()).unwrap_or(DEFAULT_REGION).to_owned(),
            service: service.map(str::to_owned),
            user_agent: text(USER_AGENT).to_owned(),
        }
    }
}

/// Answers one call, or lets its connection be closed.
pub(super) async fn answer(head: &Parts, body: &[u8], shared: &Arc<Shared>) -> Result<Answer, Closed> {
    let caller = Caller::read(&head.headers);
    let (protocol, mut form, readable) = Protocol::read(head, body);
    let version = form.get("Version").cloned().unwrap_or_default();
    let request_id = shared.request_id();
    let named = |service: &&&Service| match &caller.service {
        Some(name) => service.name == name,
        None => service.version == version,
    };
    let Some(service) = SERVICES.iter().find(named) else {
        let asked = caller.service.unwrap_or(version);
        let action = form.get("Action").map(String::as_str).unwrap_or_default();
        shared.count_unsupported(format!("{asked}:{action}"));
        let names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        let error =
            ApiError::new("InvalidAction", format!("The service '{asked}' is not emulated; there are {}", names.join(", ")));
        return Ok(whole(protocol.refuse(None, &error, &request_id)));
    };
    let action = form.get("Action").cloned().unwrap_or_default();
    let arrived = Instant::now();
    let time = shared.clock.now();
    let picked = shared.faults.pick(&Subject {
        account: &caller.account,
        region: &caller.region,
        user_agent: &caller.user_agent,
        service: service.name,
        action: &action,
        form: &form,
        now: time,
    });
    if !picked.delay.is_zero() {
        tokio::time::sleep(picked.delay).await;
    }
    let state = shared.account(&caller.account, &caller.region);
    let call = OneCall { service, protocol, form: &form, readable: &readable, request_id: &request_id, shared, state: &state };
    let (outcome, reply, fault) = match call.denied(&caller) {
        Some(error) => (failed(&error), Ok(whole(call.refuse(&error))), Some("policy".to_owned())),
        None => {
            let asked = Asked { account: &caller.account, service: service.name, action: &action };
            let effect = |stale| future::ready(call.effect(stale, &picked.edits));
            let (outcome, reply) = inject::carry_out(&picked, asked, |error| call.refuse(error), effect).await;
            (outcome, reply, inject::describe(&picked))
        }
    };
    if matches!(outcome, Outcome::Error { .. })
        && let Some(what) = service.unsupported(&form)
    {
        shared.count_unsupported(what);
    }
    form.retain(|key, _| key != "Action" && key != "Version");
    shared.journal.record(Entry {
        sequence: 0,
        time,
        account: caller.account,
        region: caller.region,
        user_agent: caller.user_agent,
        service: service.name.to_owned(),
        write: is_write(&action),
        action,
        parameters: form,
        result: outcome,
        fault,
        duration: arrived.elapsed(),
        request_id,
    });
    reply
}

/// A call whose service is known.
struct OneCall<'a> {
    service: &'a Service,
    protocol: Protocol,
    form: &'a Form,
    /// What was wrong with its body.
    readable: &'a Result<(), ApiError>,
    request_id: &'a str,
    shared: &'a Arc<Shared>,
    state: &'a Arc<Mutex<State>>,
}

impl OneCall<'_> {
    /// What the policy in force has against it.
    fn denied(&self, caller: &Caller) -> Option<ApiError> {
        let policy = self.shared.policy.of(&caller.account)?;
        let agent = &caller.user_agent;
        self.shared.with(self.state, |state, _, _| policy.refusal(self.service.name, self.form, state, agent))
    }

    /// Carries the call out, as a read of so long ago if that is given, and then what others do because of it.
    fn effect(&self, stale: Option<Duration>, edits: &[Edit]) -> Effect {
        let Self { service, protocol, form, readable, request_id, shared, state } = *self;
        let result = readable.clone().and_then(|()| {
            shared.with(state, |state, now, durations| consistency::run(service, form, state, now, durations, stale, request_id))
        });
        let answer = result.as_deref().unwrap_or_default();
        for edit in edits {
            self.edit(edit, answer);
        }
        match result {
            Ok(body) => (Outcome::Ok, Ok(protocol.answer(200, body, request_id))),
            Err(error) => (failed(&error), Ok(self.refuse(&error))),
        }
    }

    fn edit(&self, edit: &Edit, answer: &str) {
        let filled: Vec<(String, String)> =
            edit.parameters.iter().map(|(name, value)| (name.clone(), fill(value, answer, self.form))).collect();
        let (state, edit) = (Arc::clone(self.state), edit.clone());
        let (clock, delay) = (self.shared.clock.clone(), edit.after);
        let work = move |shared: &Shared| {
            let parameters: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            if let Err(error) = by_hand(shared, &state, &edit.service, &edit.action, &parameters) {
                tracing::warn!(action = edit.action, %error, "an edit on purpose was refused");
            }
        };
        if delay.is_zero() {
            return work(self.shared);
        }
        // The emulator is not kept alive for it: with the one goes the other.
        let (shared, when) = (Arc::downgrade(self.shared), after(clock.now(), delay));
        tokio::spawn(async move {
            clock.sleep_until(when).await;
            if let Some(shared) = shared.upgrade() {
                work(&shared);
            }
        });
    }

    fn refuse(&self, error: &ApiError) -> Response<Bytes> {
        self.protocol.refuse(Some(self.service), error, self.request_id)
    }
}

fn failed(error: &ApiError) -> Outcome {
    Outcome::Error { code: error.code.clone(), status: error.status }
}

/// `value` with `{Name}` replaced: by the text of the first such element (in JSON: member) of the answer, or else by the call's own parameter.
fn fill(value: &str, answer: &str, form: &Form) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, name, behind)) =
        rest.split_once('{').and_then(|(before, rest)| rest.split_once('}').map(|(name, behind)| (before, name, behind)))
    {
        let text = |open: &str, close| answer.split_once(open).and_then(|(_, rest)| rest.split(close).next());
        let found = text(&format!("<{name}>"), '<').or_else(|| text(&format!("\"{name}\":\""), '"'));
        out.push_str(before);
        out.push_str(found.or_else(|| form.get(name).map(String::as_str)).unwrap_or_default());
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// A call by hand: no HTTP, no faults, but in the journal.
pub(crate) fn by_hand(
    shared: &Shared,
    state: &Mutex<State>,
    service: &str,
    action: &str,
    parameters: &[(&str, &str)],
) -> Result<String, ApiError> {
    let service = SERVICES
        .iter()
        .find(|known| known.name == service)
        .ok_or_else(|| ApiError::new("InvalidAction", format!("The service '{service}' is not emulated")))?;
    let parameters: BTreeMap<String, String> =
        parameters.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut form = parameters.clone();
    form.insert("Action".to_owned(), action.to_owned());
    let (request_id, arrived) = (shared.request_id(), Instant::now());
    let (place, time, result) = shared
        .with(state, |state, now, durations| (state.place.clone(), now, service.run(&form, state, now, durations, &request_id)));
    shared.journal.record(Entry {
        sequence: 0,
        time,
        account: place.account,
        region: place.region,
        user_agent: BY_HAND.to_owned(),
        service: service.name.to_owned(),
        action: action.to_owned(),
        parameters,
        result: match &result {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Error { code: error.code.clone(), status: error.status },
        },
        fault: None,
        duration: arrived.elapsed(),
        write: is_write(action),
        request_id,
    });
    result
}
