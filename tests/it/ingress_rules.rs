//! What is said of Ingresses besides their paths, rule by rule, against a running proxy: hosts (`s1_3`), default backends
//! (`s1_4`), classes (`s1_5`), TLS (`s1_6`), Services and endpoints (`s1_7`), conflicts (`s1_8`). The numbers are those of the notes
//! that the rules come from; `docs/explanation/ingress-semantics.md` has them in words.
//!
//! No cluster takes part: what the API server and several replicas add is in `ingress` and `ingress_status`.

mod classes;
mod conflicts;
mod default_backend;
mod hosts;
mod services;
mod tls;

use std::pin::Pin;

use landfall::routes::compile::Settings;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::fixture::block_on;
use crate::support::serving::Serving;

pub fn trials() -> Vec<Trial> {
    let rules = [classes::rules(), conflicts::rules(), default_backend::rules(), hosts::rules(), services::rules(), tls::rules()];
    rules.into_iter().flatten().map(Rule::trial).collect()
}

type Checking<'s> = Pin<Box<dyn Future<Output = ()> + 's>>;

/// A rule, and what shows that it holds.
struct Rule {
    name: &'static str,
    set: Box<dyn FnOnce(&mut Settings) + Send>,
    objects: Box<dyn FnOnce() -> Vec<Value> + Send>,
    told: Vec<&'static str>,
    requests: Vec<(&'static str, &'static str)>,
    check: Box<dyn FnOnce(&mut Serving) -> Checking<'_> + Send>,
}

/// The rule of this name about these objects, of which the first Ingress is the oldest.
fn rule(name: &'static str, objects: impl FnOnce() -> Vec<Value> + Send + 'static) -> Rule {
    fn nothing_else(_: &mut Serving) -> Checking<'_> {
        Box::pin(async {})
    }
    let (set, check) = (Box::new(|_: &mut Settings| {}), Box::new(nothing_else));
    Rule { name, set, objects: Box::new(objects), told: Vec::new(), requests: Vec::new(), check }
}

impl Rule {
    /// With these flags.
    fn set(self, set: impl FnOnce(&mut Settings) + Send + 'static) -> Self {
        Self { set: Box::new(set), ..self }
    }

    /// All that there is to tell: names and codes. Nothing, unless this is called.
    fn told(self, told: &[&'static str]) -> Self {
        Self { told: told.into(), ..self }
    }

    /// What requests get, in the words of [`Serving::outcome`].
    fn gets(self, requests: &[(&'static str, &'static str)]) -> Self {
        Self { requests: requests.into(), ..self }
    }

    /// What else is looked at.
    fn check(self, check: impl FnOnce(&mut Serving) -> Checking<'_> + Send + 'static) -> Self {
        Self { check: Box::new(check), ..self }
    }

    fn trial(self) -> Trial {
        Trial::test(format!("ingress_rules::{}", self.name), move || {
            block_on(async move {
                let mut serving = Serving::start((self.objects)(), self.set).await;
                assert_eq!(serving.told(), self.told, "{:#?}", serving.compiled.findings);
                for (request, expected) in &self.requests {
                    let outcome = serving.outcome(request).await;
                    assert_eq!(outcome, *expected, "{request}");
                    let told = serving.explained(request);
                    assert!(
                        told.iter().all(|told| Some(&**told) == outcome.split('?').next()),
                        "{request}: explained as {told:?}"
                    );
                }
                (self.check)(&mut serving).await;
            });
            Ok(())
        })
    }
}

/// A patch that gives an Ingress annotations of ingress-nginx.
fn annotations(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs.iter().map(|(key, value)| (format!("nginx.ingress.kubernetes.io/{key}"), json!(value)));
    json!({"metadata": {"annotations": pairs.collect::<serde_json::Map<_, _>>()}})
}
