//! One AWS call: who asks whom, faults, the answer, the journal.
//!
//! Imports the services, `faults`, `journal`, `shared`. Signatures are not checked: the credential scope tells service, region and account.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, Uri};
use tokio::time::Instant;

use super::{Answer, Closed, respond};
use crate::error::ApiError;
use crate::faults::{Fault, Subject};
use crate::journal::{Entry, Outcome, is_write};
use crate::model::State;
use crate::query::Form;
use crate::region::BY_HAND;
use crate::service::Service;
use crate::shared::Shared;
use crate::{ec2, elbv2, sts};

/// The services that there are.
pub(crate) const SERVICES: &[&Service] = &[&elbv2::SERVICE, &ec2::SERVICE, &sts::SERVICE];

/// The account of credentials whose access key id is not an account number.
const DEFAULT_ACCOUNT: &str = "000000000000";
const DEFAULT_REGION: &str = "us-east-1";

const XML: &str = "text/xml;charset=utf-8";

/// Who asks for what.
struct Caller {
    account: String,
    region: String,
    /// The service of the credential scope.
    service: Option<String>,
    user_agent: String,
}

impl Caller {
    /// Reads the SigV4 credential scope: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
    fn read(headers: &HeaderMap<HeaderValue>) -> Self {
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
    let mut form = read_form(&head.method, &head.uri, body);
    let version = form.get("Version").cloned().unwrap_or_default();
    let request_id = shared.request_id();
    let named = |service: &&&Service| match &caller.service {
        Some(name) => service.name == name,
        None => service.version == version,
    };
    let Some(service) = SERVICES.iter().find(named) else {
        let asked = caller.service.unwrap_or(version);
        let names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        let error =
            ApiError::new("InvalidAction", format!("The service '{asked}' is not emulated; there are {}", names.join(", ")));
        return Ok(xml(error.status, elbv2::SERVICE.failure(&error, &request_id), &request_id));
    };
    let action = form.get("Action").cloned().unwrap_or_default();
    let arrived = Instant::now();
    let time = shared.clock.now();
    let (delay, fault) = shared.faults.pick(&Subject {
        account: &caller.account,
        region: &caller.region,
        service: service.name,
        action: &action,
        form: &form,
    });
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let state = shared.account(&caller.account, &caller.region);
    let (outcome, reply) = carry_out(service, &form, shared, &state, fault.as_ref(), &request_id).await;
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
        fault: describe(delay, fault.as_ref()),
        duration: arrived.elapsed(),
        request_id,
    });
    reply
}

/// The query string of a GET, or the form in the body.
fn read_form(method: &Method, uri: &Uri, body: &[u8]) -> Form {
    let text = if method == Method::GET { uri.query().unwrap_or_default().as_bytes() } else { body };
    form_urlencoded::parse(text).into_owned().collect()
}

async fn carry_out(
    service: &Service,
    form: &Form,
    shared: &Arc<Shared>,
    state: &Mutex<State>,
    fault: Option<&Fault>,
    request_id: &str,
) -> (Outcome, Result<Answer, Closed>) {
    let action = form.get("Action").map(String::as_str).unwrap_or_default();
    let failure = |error: &ApiError| {
        let outcome = Outcome::Error { code: error.code.clone(), status: error.status };
        (outcome, Ok(xml(error.status, service.failure(error, request_id), request_id)))
    };
    let run = || shared.with(state, |state, now, durations| service.run(form, state, now, durations, request_id));
    match fault {
        None | Some(Fault::Delay(_)) => match run() {
            Ok(body) => (Outcome::Ok, Ok(xml(200, body, request_id))),
            Err(error) => failure(&error),
        },
        Some(Fault::ErrorAfter { code, status, message }) => match run() {
            Ok(_) => failure(&ApiError::new(code, message).with_status(*status)),
            Err(error) => failure(&error),
        },
        Some(Fault::DropAfter) => {
            // What the call did stands in the state; its caller learns nothing, not even a failure.
            let _ = run();
            (Outcome::Dropped, Err(Closed))
        }
        Some(Fault::DropBefore) => (Outcome::Dropped, Err(Closed)),
        Some(Fault::Hang(duration)) => {
            tokio::time::sleep(*duration).await;
            (Outcome::Dropped, Err(Closed))
        }
        Some(Fault::Html500) => {
            let page = "<html><body><h1>500 Internal Server Error</h1></body></html>\n".to_owned();
            (Outcome::Error { code: String::new(), status: 500 }, Ok(respond(500, "text/html", page)))
        }
        Some(fault) => match fault.refusal(service.name, action) {
            Some(error) => failure(&error),
            None => (Outcome::Dropped, Err(Closed)),
        },
    }
}

fn xml(status: u16, body: String, request_id: &str) -> Answer {
    let mut answer = respond(status, XML, body);
    if let Ok(value) = HeaderValue::from_str(request_id) {
        answer.headers_mut().insert("x-amzn-requestid", value);
    }
    answer
}

fn describe(delay: Duration, fault: Option<&Fault>) -> Option<String> {
    let delay = (!delay.is_zero()).then(|| format!("delay {} ms", delay.as_millis()));
    let fault = fault.map(|fault| match fault {
        Fault::Delay(_) => "delay".to_owned(),
        Fault::Error { code, .. } => format!("error {code}"),
        Fault::Throttle => "throttle".to_owned(),
        Fault::Denied => "denied".to_owned(),
        Fault::ErrorAfter { code, .. } => format!("error_after {code}"),
        Fault::DropBefore => "drop_before".to_owned(),
        Fault::DropAfter => "drop_after".to_owned(),
        Fault::Hang(duration) => format!("hang {} ms", duration.as_millis()),
        Fault::Html500 => "html500".to_owned(),
    });
    [delay, fault].into_iter().flatten().reduce(|delay, fault| format!("{delay}, {fault}"))
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
