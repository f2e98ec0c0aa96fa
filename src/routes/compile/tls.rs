//! Which certificate each host has: of the first Ingress of the host that has a `tls` section, the Secret of the entry that
//! lists the host; else any of its Secrets whose certificate covers it; else the default one. A host of which no Ingress has a
//! section has the certificate of its wildcard, if that is one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::IngressTLS;
use rustls::sign::CertifiedKey;

use super::Settings;
use super::hosts::{ANY, Draft, Drafts};
use crate::clock::Timestamp;
use crate::routes::certificates::{Cache, Certificate};
use crate::routes::findings::{self, Finding, Findings, Kind, ObjectKey, Severity};
use crate::routes::table::Certificates;

/// Finds certificates in Secrets.
pub(super) struct Chooser<'a> {
    secrets: &'a HashMap<ObjectKey, &'a Secret>,
    cache: &'a mut Cache,
    now: Option<Timestamp>,
    /// Those that are sent.
    chosen: BTreeMap<ObjectKey, Arc<Certificate>>,
}

/// How many names of a certificate a message lists.
const LISTED: usize = 10;

impl<'a> Chooser<'a> {
    pub(super) fn new(secrets: &'a HashMap<ObjectKey, &'a Secret>, cache: &'a mut Cache, now: Option<Timestamp>) -> Self {
        Self { secrets, cache, now, chosen: BTreeMap::new() }
    }

    /// `--default-ssl-certificate`, or the fallback.
    pub(super) fn default(&mut self, settings: &Settings, found: &mut Vec<Finding>) -> Arc<CertifiedKey> {
        let fallback = || Arc::clone(&settings.fallback_certificate);
        let Some(key) = &settings.default_ssl_certificate else { return fallback() };
        let mut findings = Findings::of(Kind::Secret, key.clone());
        let certificate = self.certificate(key, "--default-ssl-certificate", "a self-signed one is sent", &mut findings);
        found.extend(findings.into_inner());
        let certificate = certificate.inspect(|certificate| drop(self.chosen.insert(key.clone(), Arc::clone(certificate))));
        certificate.map_or_else(fallback, |certificate| Arc::clone(&certificate.key))
    }

    /// The certificates of all hosts, and the Secrets that hold them; the Ingresses that decided learn what is wrong.
    pub(super) fn choose(
        mut self,
        drafts: &Drafts<'_>,
        ingresses: &mut [Draft<'_>],
        default: &Arc<CertifiedKey>,
    ) -> (Certificates, BTreeMap<ObjectKey, Arc<Certificate>>) {
        let mut by_name: HashMap<Box<str>, Arc<CertifiedKey>> = HashMap::new();
        for (host, draft) in drafts.hosts.iter().filter(|(host, _)| &***host != ANY) {
            let Some(ingress) = draft.tls.and_then(|place| ingresses.get_mut(place)) else { continue };
            let key = match self.of_host(host, ingress) {
                Some((secret, certificate)) => Arc::clone(&self.chosen.entry(secret).or_insert(certificate).key),
                None => Arc::clone(default),
            };
            by_name.insert(host.clone(), key);
        }
        (Certificates { by_name, default: Arc::clone(default) }, self.chosen)
    }

    fn of_host(&mut self, host: &str, ingress: &mut Draft<'_>) -> Option<(ObjectKey, Arc<Certificate>)> {
        let entries = ingress.ingress.spec.as_ref().and_then(|spec| spec.tls.as_deref()).unwrap_or_default();
        let lists = |entry: &&IngressTLS| entry.hosts.iter().flatten().any(|name| name.eq_ignore_ascii_case(host));
        let namespace = ingress.state.key.namespace.clone();
        let secret = |entry: &IngressTLS| {
            let name = entry.secret_name.as_deref().filter(|name| !name.is_empty());
            name.map(|name| ObjectKey::new(&namespace, name))
        };
        let Some(entry) = entries.iter().find(lists) else {
            let covering = entries.iter().filter_map(secret).find_map(|key| {
                let certificate = self.cache.get(&key, self.secrets.get(&key)?).ok()?;
                certificate.covers(host).then_some((key, certificate))
            });
            let Some((key, certificate)) = covering else {
                let message =
                    format!("no `tls` entry lists host {host:?}, and none has a certificate for it: the default one is sent");
                ingress.findings.warning(findings::CERTIFICATE_HOST_MISMATCH, message);
                return None;
            };
            self.check_time(&key, &certificate, &mut ingress.findings);
            return Some((key, certificate));
        };
        // An entry without Secret asks for the default certificate.
        let key = secret(entry)?;
        let certificate = self.certificate(&key, "`tls`", "the default certificate is sent", &mut ingress.findings);
        let certificate = certificate.filter(|certificate| {
            let covers = certificate.covers(host);
            if !covers {
                let message = format!(
                    "the certificate of Secret {key} is for {}, not for host {host:?}: the default certificate is sent",
                    names(certificate)
                );
                ingress.findings.error(findings::CERTIFICATE_HOST_MISMATCH, message);
            }
            covers
        })?;
        Some((key, certificate))
    }

    fn certificate(
        &mut self,
        key: &ObjectKey,
        named_by: &str,
        instead: &str,
        findings: &mut Findings,
    ) -> Option<Arc<Certificate>> {
        let Some(secret) = self.secrets.get(key) else {
            let message = format!("there is no Secret {key}, which {named_by} names: {instead}");
            findings.error(findings::CERTIFICATE_SECRET_MISSING, message);
            return None;
        };
        match self.cache.get(key, secret) {
            Ok(certificate) => {
                self.check_time(key, &certificate, findings);
                Some(certificate)
            }
            Err(why) => {
                findings.error(findings::CERTIFICATE_INVALID, format!("Secret {key}: {why}: {instead}"));
                None
            }
        }
    }

    fn check_time(&self, key: &ObjectKey, certificate: &Certificate, findings: &mut Findings) {
        let Some(now) = self.now else { return };
        let message = if now > certificate.leaf.not_after {
            format!("the certificate of Secret {key} expired at {}", certificate.leaf.not_after)
        } else if now < certificate.leaf.not_before {
            format!("the certificate of Secret {key} is not valid before {}", certificate.leaf.not_before)
        } else {
            return;
        };
        findings.add(findings::CERTIFICATE_EXPIRED, Severity::Notice, format!("{message}; it is sent all the same"));
    }
}

fn names(certificate: &Certificate) -> String {
    let names = &certificate.leaf.names;
    let mut text = names.iter().take(LISTED).map(|name| findings::quote(name)).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => text.push_str("no DNS name"),
        many if many > LISTED => text.push_str(&format!(" and {} more", many - LISTED)),
        _ => {}
    }
    text
}
