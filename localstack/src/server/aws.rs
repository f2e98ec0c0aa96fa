//! One AWS call: who asks whom, faults, the answer, the journal.
//!
//! Imports the services, `faults`, `journal`, `shared`. Signatures are not checked: the credential scope tells service, region and account.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use jiff::Timestamp;
use tokio::time::Instant;

use super::protocol::Protocol;
use super::{Answer, Closed, whole};
use crate::clock::after;
use crate::error::ApiError;
use crate::faults::{Asked, Edit, Picked, Subject, inject};
use crate::journal::{Entry, Journal, Outcome, is_write};
use crate::model::{Place, State};
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
    let (protocol, form, readable) = Protocol::read(head, body);
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
    let call = OneCall { arrival: Arrival::new(shared, caller, service, form, request_id), protocol, readable, shared };
    let Arrival { caller, form, .. } = &call.arrival;
    let action = form.get("Action").map(String::as_str).unwrap_or_default();
    let picked = shared.faults.pick(&Subject {
        account: &caller.account,
        region: &caller.region,
        user_agent: &caller.user_agent,
        service: service.name,
        action,
        form,
        now: call.arrival.time,
    });
    let asked = Asked { account: &caller.account, service: service.name, action };
    match inject::before(&picked, asked, |error| call.refuse(error)).await {
        Some((outcome, reply)) => {
            call.record(outcome, inject::describe(&picked));
            reply
        }
        None => call.take_place(&picked),
    }
}

/// A call whose service is known, until it is in the journal.
struct Arrival {
    caller: Caller,
    service: &'static Service,
    form: Form,
    time: Timestamp,
    at: Instant,
    request_id: String,
}

impl Arrival {
    fn new(shared: &Shared, caller: Caller, service: &'static Service, form: Form, request_id: String) -> Self {
        Self { caller, service, form, time: shared.clock.now(), at: Instant::now(), request_id }
    }

    /// Leaves its entry. A call that looks at a state does it while it holds that: entries stand in the order of their calls' effects.
    fn record(mut self, journal: &Journal, result: Outcome, fault: Option<String>) {
        let action = self.form.remove("Action").unwrap_or_default();
        self.form.remove("Version");
        journal.record(Entry {
            sequence: 0,
            time: self.time,
            account: self.caller.account,
            region: self.caller.region,
            user_agent: self.caller.user_agent,
            service: self.service.name.to_owned(),
            write: is_write(&action),
            action,
            parameters: self.form,
            result,
            fault,
            duration: self.at.elapsed(),
            request_id: self.request_id,
        });
    }
}

/// A call over HTTP.
struct OneCall<'a> {
    arrival: Arrival,
    protocol: Protocol,
    /// What was wrong with its body.
    readable: Result<(), ApiError>,
    shared: &'a Arc<Shared>,
}

impl OneCall<'_> {
    /// Carries the call out, and then what others do because of it.
    fn take_place(self, picked: &Picked) -> Result<Answer, Closed> {
        let (shared, caller) = (self.shared, &self.arrival.caller);
        let policy = shared.policy.of(&caller.account);
        let state = shared.account(&caller.account, &caller.region);
        let (reply, edits) = shared.with(&state, |state, now, durations| {
            let Arrival { caller, service, form, request_id, .. } = &self.arrival;
            if let Some(error) = policy.and_then(|policy| policy.refusal(service.name, form, state, &caller.user_agent)) {
                let reply = whole(self.refuse(&error));
                self.record(Outcome::of(&error), Some("policy".to_owned()));
                return (Ok(reply), Vec::new());
            }
            let run = |()| consistency::run(service, form, state, now, durations, picked.stale(), request_id);
            let result = self.readable.clone().and_then(run);
            let edits = picked.edits.iter().map(|edit| filled(edit, result.as_deref().unwrap_or_default(), form)).collect();
            let effect = match result {
                Ok(body) => (Outcome::Ok, self.protocol.answer(200, body, request_id)),
                Err(error) => (Outcome::of(&error), self.refuse(&error)),
            };
            let (outcome, reply) = inject::after(picked, effect, |error| self.refuse(error));
            self.record(outcome, inject::describe(picked));
            (reply, edits)
        });
        for edit in edits {
            carry_out(edit, shared, &state);
        }
        reply
    }

    fn refuse(&self, error: &ApiError) -> Response<Bytes> {
        self.protocol.refuse(Some(self.arrival.service), error, &self.arrival.request_id)
    }

    /// Leaves its entry, and counts what it asked for that is not emulated.
    fn record(self, outcome: Outcome, fault: Option<String>) {
        let Arrival { service, form, .. } = &self.arrival;
        if matches!(outcome, Outcome::Error { .. })
            && let Some(what) = service.unsupported(form)
        {
            self.shared.count_unsupported(what);
        }
        self.arrival.record(&self.shared.journal, outcome, fault);
    }
}

/// The edit with what it takes from the call that it follows, and from the answer to that.
fn filled(edit: &Edit, answer: &str, form: &Form) -> Edit {
    let fill = |(name, value): (&String, &String)| (name.clone(), fill(value, answer, form));
    Edit { parameters: edit.parameters.iter().map(fill).collect(), ..edit.clone() }
}

/// Makes the call of somebody else, at once or later.
fn carry_out(edit: Edit, shared: &Arc<Shared>, state: &Arc<Mutex<State>>) {
    let (state, clock, delay) = (Arc::clone(state), shared.clock.clone(), edit.after);
    let work = move |shared: &Shared| {
        let parameters: Vec<(&str, &str)> = edit.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Err(error) = by_hand(shared, &state, &edit.service, &edit.action, &parameters) {
            tracing::warn!(action = edit.action, %error, "an edit on purpose was refused");
        }
    };
    if delay.is_zero() {
        return work(shared);
    }
    // The emulator is not kept alive for it: with the one goes the other.
    let (shared, when) = (Arc::downgrade(shared), after(clock.now(), delay));
    tokio::spawn(async move {
        clock.sleep_until(when).await;
        if let Some(shared) = shared.upgrade() {
            work(&shared);
        }
    });
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
    let mut form: Form = parameters.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    form.insert("Action".to_owned(), action.to_owned());
    let request_id = shared.request_id();
    shared.with(state, |state, now, durations| {
        let Place { account, region } = state.place.clone();
        let caller = Caller { account, region, service: None, user_agent: BY_HAND.to_owned() };
        let arrival = Arrival::new(shared, caller, service, form, request_id);
        let result = service.run(&arrival.form, state, now, durations, &arrival.request_id);
        arrival.record(&shared.journal, result.as_ref().map_or_else(Outcome::of, |_| Outcome::Ok), None);
        result
    })
}
