//! Keys of the ConfigMap → options of the whole data plane and defaults of routes. A key that protects something and is not
//! supported yet is told as an error: the operator must know that a door is open.

use std::collections::{BTreeMap, BTreeSet};

use crate::routes::findings::{self, Finding, Findings, Kind, ObjectKey, quote};
use crate::routes::options::keys::{Config, admits_all, is_off};

/// Keys of ingress-nginx that restrict who gets through, how, or what an Ingress may ask for, by their beginning.
const PROTECTING: &[&str] = &[
    "add-headers",
    "annotation-value-word-blocklist",
    "annotations-risk-level",
    "block-",
    "denylist-source-range",
    "enable-modsecurity",
    "enable-owasp-",
    "global-auth-",
    "hide-headers",
    "limit-rate",
    "modsecurity-",
    "proxy-set-headers",
    "ssl-ciphers",
    "ssl-ecdh-curve",
    "ssl-protocols",
    "ssl-reject-handshake",
    "whitelist-source-range",
];

/// Keys that forbid, when they are off, what is never done here.
const GRANTED_IF_OFF: &[&str] =
    &["allow-backend-server-header", "allow-cross-namespace-resources", "allow-snippet-annotations", "server-tokens"];

/// What the keys come to, and which of them set something.
pub(super) fn read(
    data: Option<&BTreeMap<String, String>>,
    object: Option<&ObjectKey>,
    found: &mut Vec<Finding>,
) -> (Config, BTreeSet<String>) {
    let object = object.cloned().unwrap_or_else(|| ObjectKey::new("", ""));
    let mut findings = Findings::of(Kind::ConfigMap, object);
    let (mut config, mut configured) = (Config::default(), BTreeSet::new());
    for (key, value) in data.into_iter().flatten().map(|(key, value)| (key, value.trim())) {
        match config.set(key, value) {
            Some(Ok(())) => {
                configured.insert(key.clone());
            }
            Some(Err(fix)) => findings.warning(
                findings::OPTION_IGNORED,
                format!("`{key}`: {} is not allowed, and the default is used; {fix}", quote(value)),
            ),
            None if asks_for_nothing(key, value) => {}
            None if protects(key) => findings.error(
                findings::OPTION_NOT_ENFORCED,
                format!("`{key}` is not supported yet: nothing is protected by it; see to that elsewhere, and remove the key"),
            ),
            None => findings
                .warning(findings::OPTION_IGNORED, format!("`{key}` is not known or not supported yet, and has no effect")),
        }
    }
    found.extend(findings.into_inner());
    (config, configured)
}

/// A snippet can be anything, a rule that denies among others.
fn protects(key: &str) -> bool {
    key.ends_with("-snippet") || PROTECTING.iter().any(|protecting| key.starts_with(protecting))
}

fn asks_for_nothing(key: &str, value: &str) -> bool {
    let off = value.is_empty() || is_off(value);
    (off && (protects(key) || GRANTED_IF_OFF.contains(&key))) || (key == "whitelist-source-range" && admits_all(value))
}
