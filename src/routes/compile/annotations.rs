//! Annotations of an Ingress → options of its routes. What asks for protection that is not there yet closes the Ingress;
//! everything else that is not supported is told in one finding, and the Ingress served without it.

use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;

use crate::routes::findings::{self, Findings, quote};
use crate::routes::options::RouteOptions;
use crate::routes::options::keys::{ROUTE, admits_all, is_off};

/// Keys that restrict who gets through, how much, or what is done with a request on the way: without them an Ingress would be
/// more open than its owner said. Those that end in `-` are beginnings.
const PROTECTING: &[&str] =
    &["auth-", "whitelist-source-range", "allowlist-source-range", "denylist-source-range", "modsecurity-", "satisfy", "limit-"];

/// The same, unless their value is false.
const PROTECTING_IF_TRUE: &[&str] = &["enable-modsecurity", "enable-owasp-core-rules"];

/// What the annotations of an Ingress come to.
pub(super) struct Annotated {
    pub(super) options: Arc<RouteOptions>,
    /// Keys that set something.
    pub(super) set: Vec<&'static str>,
    pub(super) verdict: Verdict,
}

/// What is done with an Ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is served.
    Serve,
    /// It keeps its paths, and they answer 503: to leave them to a shorter path of another Ingress could open what it closes.
    Deny,
    /// It takes no part at all.
    Drop,
}

/// Reads the annotations that begin with `prefix`.
pub(super) fn read(ingress: &Ingress, prefix: &str, defaults: &Arc<RouteOptions>, findings: &mut Findings) -> Annotated {
    let mut options = RouteOptions::clone(defaults);
    let (mut set, mut unsupported, mut refusing) = (Vec::new(), Vec::new(), Vec::new());
    let mut verdict = Verdict::Serve;
    let all = ingress.metadata.annotations.iter().flatten();
    let all = all.filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value.trim())));
    for (key, value) in all.filter(|(key, value)| !is_default(key, value)) {
        if let Some(known) = ROUTE.iter().find(|known| known.name == key) {
            match (known.set)(&mut options, value) {
                Ok(()) => set.push(known.name),
                Err(fix) => findings.warning(
                    findings::ANNOTATION_VALUE_IGNORED,
                    format!("{prefix}{key}: {} is not allowed, and the default is used; {fix}", quote(value)),
                ),
            }
        } else if key == "canary" && !is_off(value) {
            verdict = Verdict::Drop;
        } else if is_protecting(key, value) {
            refusing.push(key);
        } else {
            unsupported.push(key);
        }
    }
    if verdict == Verdict::Drop {
        // Served like any other, it could take all of the traffic of the Ingress beside it.
        findings.error(findings::ANNOTATION_REFUSED, "a canary, which this version does not support: it is left out".to_owned());
    } else if !refusing.is_empty() {
        verdict = Verdict::Deny;
        findings.error(
            findings::ANNOTATION_REFUSED,
            format!(
                "its paths answer 503, for this version does not support {}, and without it more would get through than is meant \
                 to; remove it if that is right",
                listing(&refusing)
            ),
        );
    }
    if !unsupported.is_empty() && verdict == Verdict::Serve {
        let message = format!("served without {}, which this version does not support (prefix {prefix})", listing(&unsupported));
        findings.warning(findings::ANNOTATIONS_NOT_SUPPORTED, message);
    }
    let options = if options == **defaults { Arc::clone(defaults) } else { Arc::new(options) };
    Annotated { options, set, verdict }
}

fn is_protecting(key: &str, value: &str) -> bool {
    let listed = PROTECTING.iter().any(|known| if known.ends_with('-') { key.starts_with(known) } else { key == *known });
    listed || key.ends_with("-snippet") || (PROTECTING_IF_TRUE.contains(&key) && !is_off(value))
}

/// Whether a key says nothing but the default. cert-manager gives its Ingress for an ACME challenge a list of sources that
/// admits everybody.
fn is_default(key: &str, value: &str) -> bool {
    match key {
        "backend-protocol" => value.eq_ignore_ascii_case("HTTP"),
        "whitelist-source-range" | "allowlist-source-range" => admits_all(value),
        _ => false,
    }
}

/// How many keys a message lists.
const LISTED: usize = 20;

fn listing(keys: &[&str]) -> String {
    let mut text = keys.iter().take(LISTED).map(|key| quote(key).replace('"', "`")).collect::<Vec<_>>().join(", ");
    if keys.len() > LISTED {
        text.push_str(&format!(" and {} more", keys.len() - LISTED));
    }
    text
}
