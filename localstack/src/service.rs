//! What the services have in common: a table of actions, the call that an action works on, the dispatch by name.
//!
//! Imports `query`, `error`, `xml`, `model`, `durations`. The tables are in `elbv2.rs`, `ec2.rs` and so on; `server/aws.rs` calls [`Service::run`].

use jiff::Timestamp;

use crate::durations::Durations;
use crate::error::ApiError;
use crate::journal;
use crate::model::State;
use crate::query::{self, Dialect, Form, Params};
use crate::xml::Xml;

/// One call being answered: the state it may change, what it asks, when it is.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) params: &'a Params,
    pub(crate) now: Timestamp,
    pub(crate) durations: &'a Durations,
}

/// Answers a call by writing the content of its result element. Checks everything before it changes anything: a refused call has no effect.
pub(crate) type Handler = fn(&mut Call<'_>, &mut Xml) -> Result<(), ApiError>;

/// An action: its name, its parameters (see [`query::check`]), its handler.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [&'static str],
    pub(crate) run: Handler,
}

/// An AWS service as the emulator knows it.
pub(crate) struct Service {
    /// Its name in a credential scope: `elasticloadbalancing`, `ec2`, `tagging`.
    pub(crate) name: &'static str,
    /// The API version, which also names the service when a call is not signed.
    pub(crate) version: &'static str,
    /// The XML namespace of its answers; in the JSON protocols the prefix of the target that a call names.
    pub(crate) namespace: &'static str,
    pub(crate) dialect: Dialect,
    /// The groups of its actions.
    pub(crate) actions: &'static [&'static [Action]],
}

impl Service {
    /// Whether the emulator knows the action.
    pub(crate) fn action(&self, name: &str) -> Option<&'static Action> {
        self.actions.iter().flat_map(|group| group.iter()).find(|action| action.name == name)
    }

    /// What a call asks that is not emulated: `ec2:DescribeUnicorns`, or `ec2:DescribeVpcs Unicorn` for a parameter.
    pub(crate) fn unsupported(&self, form: &Form) -> Option<String> {
        let name = form.get("Action").map(String::as_str).unwrap_or_default();
        match self.action(name) {
            None => Some(format!("{}:{name}", self.name)),
            Some(action) => query::undeclared(form, action.parameters).map(|key| format!("{}:{name} {key}", self.name)),
        }
    }

    /// Answers one call with the XML or JSON of a success, or an error that has changed nothing.
    pub(crate) fn run(
        &self,
        form: &Form,
        state: &mut State,
        now: Timestamp,
        durations: &Durations,
        request_id: &str,
    ) -> Result<String, ApiError> {
        let name = form.get("Action").map(String::as_str).unwrap_or_default();
        let action = self.action(name).ok_or_else(|| {
            let code = if self.dialect == Dialect::Json { "UnknownOperationException" } else { "InvalidAction" };
            ApiError::new(code, format!("The action {name} is not valid for this web service (emulator of {})", self.name))
        })?;
        query::check(form, action.parameters, self.dialect)?;
        if self.dialect == Dialect::Ec2 && form.get("DryRun").is_some_and(|dry| dry == "true") {
            let message = "Request would have succeeded, but DryRun flag is set.";
            return Err(ApiError::new("DryRunOperation", message).with_status(412));
        }
        let params = Params::parse(form);
        let mut body = self.document();
        (action.run)(&mut Call { state: &mut *state, params: &params, now, durations }, &mut body)?;
        state.dirty |= journal::is_write(name);
        Ok(self.success(name, request_id, body))
    }

    fn document(&self) -> Xml {
        match self.dialect {
            Dialect::Query => Xml::new("member"),
            Dialect::Ec2 => Xml::new("item"),
            Dialect::Json => Xml::json(),
        }
    }

    fn success(&self, action: &str, request_id: &str, body: Xml) -> String {
        if self.dialect == Dialect::Json {
            return body.finish();
        }
        let mut xml = self.document();
        let response = format!("{action}Response");
        xml.open(&response, &format!("xmlns=\"{}\"", self.namespace));
        if self.dialect == Dialect::Ec2 {
            xml.text("requestId", request_id);
            xml.append(&body);
        } else {
            xml.within(&format!("{action}Result"), |xml| xml.append(&body));
            xml.within("ResponseMetadata", |xml| xml.text("RequestId", request_id));
        }
        xml.close(&response);
        xml.finish()
    }

    /// An error answer.
    pub(crate) fn failure(&self, error: &ApiError, request_id: &str) -> String {
        let mut xml = self.document();
        match self.dialect {
            Dialect::Query => {
                xml.open("ErrorResponse", &format!("xmlns=\"{}\"", self.namespace));
                xml.within("Error", |xml| {
                    xml.text("Type", if error.status >= 500 { "Receiver" } else { "Sender" });
                    xml.text("Code", &error.code);
                    xml.text("Message", &error.message);
                });
                xml.text("RequestId", request_id);
                xml.close("ErrorResponse");
            }
            Dialect::Ec2 => xml.within("Response", |xml| {
                xml.within("Errors", |xml| {
                    xml.within("Error", |xml| {
                        xml.text("Code", &error.code);
                        xml.text("Message", &error.message);
                    });
                });
                xml.text("RequestID", request_id);
            }),
            Dialect::Json => {
                xml.text("__type", &error.code);
                xml.text("message", &error.message);
            }
        }
        xml.finish()
    }
}
