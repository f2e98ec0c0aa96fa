//! Certificates listed, described and handed out.
//!
//! Imports `certificate` for what they say of themselves. What a certificate says is shown from the day it is issued on.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::certificates::{named, validation};
use crate::certificate::{self, Facts};
use crate::error::ApiError;
use crate::ids;
use crate::model::State;
use crate::model::certificates::{Certificate, Origin, Request};
use crate::page::page;
use crate::service::Call;
use crate::xml::Xml;

/// Names of a certificate that a listing shows.
const MAX_NAMES_LISTED: usize = 100;

fn status(certificate: &Certificate, facts: &Facts, now: Timestamp) -> &'static str {
    if !certificate.issued(now) {
        "PENDING_VALIDATION"
    } else if facts.not_after <= now.as_second() {
        "EXPIRED"
    } else {
        "ISSUED"
    }
}

/// A time as JSON has it, in seconds since 1970.
fn seconds(time: Timestamp) -> f64 {
    (time.as_millisecond() as f64) / 1000.0
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let certificate = named(state, call.params.required("CertificateArn"))?;
    let facts = facts(certificate)?;
    out.within("Certificate", |out| {
        head(out, certificate, &facts, call.now);
        out.texts("SubjectAlternativeNames", names(certificate, &facts));
        out.texts("InUseBy", state.certificate_users(&certificate.arn));
        if let Origin::Requested(request) = &certificate.origin {
            validations(out, certificate, request, call.now);
        }
        out.within("Options", |out| {
            let logged = if certificate.origin == Origin::Imported { "DISABLED" } else { "ENABLED" };
            out.text("CertificateTransparencyLoggingPreference", logged);
        });
        if certificate.issued(call.now) {
            out.text("Serial", &facts.serial);
            out.text("Subject", &facts.subject);
            out.text("Issuer", &facts.issuer);
            out.text("SignatureAlgorithm", &facts.signature_algorithm);
            out.list("KeyUsages", &facts.key_usages, |out, usage| out.text("Name", usage));
            out.list("ExtendedKeyUsages", &facts.extended_key_usages, |out, (name, oid)| {
                out.text("Name", name);
                out.optional("OID", Some(oid).filter(|oid| !oid.is_empty()));
            });
        }
    });
    Ok(())
}

fn facts(certificate: &Certificate) -> Result<Facts, ApiError> {
    certificate::facts(&certificate.chain)
        .ok_or_else(|| ApiError::new("InternalFailure", "A certificate cannot be described").with_status(500))
}

/// What describing and listing have in common.
fn head(out: &mut Xml, certificate: &Certificate, facts: &Facts, now: Timestamp) {
    out.text("CertificateArn", &certificate.arn);
    out.text("DomainName", &certificate.domain);
    out.text("Status", status(certificate, facts, now));
    out.text("KeyAlgorithm", &facts.key_algorithm);
    out.value("CreatedAt", seconds(certificate.created));
    match &certificate.origin {
        Origin::Requested(request) => {
            out.text("Type", "AMAZON_ISSUED");
            if request.issued <= now {
                out.value("IssuedAt", seconds(request.issued));
            }
        }
        Origin::Imported | Origin::Uploaded(_) => {
            out.text("Type", "IMPORTED");
            out.value("ImportedAt", seconds(certificate.created));
        }
    }
    if certificate.issued(now) {
        out.value("NotBefore", facts.not_before);
        out.value("NotAfter", facts.not_after);
    }
    // What is not in use is not renewed, and what was imported never is.
    out.text("RenewalEligibility", "INELIGIBLE");
}

fn names<'a>(certificate: &'a Certificate, facts: &'a Facts) -> &'a [String] {
    match &certificate.origin {
        Origin::Requested(request) => &request.names,
        Origin::Imported | Origin::Uploaded(_) => &facts.names,
    }
}

fn validations(out: &mut Xml, certificate: &Certificate, request: &Request, now: Timestamp) {
    let state = if request.issued <= now { "SUCCESS" } else { "PENDING_VALIDATION" };
    out.list("DomainValidationOptions", &request.names, |out, name| {
        let domain = name.strip_prefix("*.").unwrap_or(name);
        out.text("DomainName", name);
        out.text("ValidationDomain", domain);
        out.text("ValidationStatus", state);
        if request.by_email {
            out.text("ValidationMethod", "EMAIL");
            let boxes = ["administrator", "hostmaster", "postmaster", "webmaster", "admin"];
            out.texts("ValidationEmails", boxes.map(|name| format!("{name}@{domain}")));
            return;
        }
        out.text("ValidationMethod", "DNS");
        let digits = |kind: &str| ids::hex(&format!("{kind}/{}/{domain}", certificate.arn), 32);
        out.within("ResourceRecord", |out| {
            out.text("Name", format!("_{}.{domain}.", digits("name")));
            out.text("Type", "CNAME");
            out.text("Value", format!("_{}.acm-validations.aws.", digits("value")));
        });
    });
}

pub(super) fn list(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (state, params) = (&*call.state, call.params);
    let statuses = params.texts("CertificateStatuses");
    let includes = |kind: &str| params.texts(&format!("Includes.{kind}"));
    let (key_types, usages, extended) = (includes("keyTypes"), includes("keyUsage"), includes("extendedKeyUsage"));
    let mut described = BTreeMap::new();
    for (arn, certificate) in &state.certificates {
        described.insert(arn.clone(), (certificate, facts(certificate)?));
    }
    let wanted = |(certificate, facts): &(&Certificate, Facts)| {
        // "Default filtering returns only RSA_1024 and RSA_2048 certificates" (API reference).
        let by_key = if key_types.is_empty() {
            ["RSA_1024", "RSA_2048"].contains(&facts.key_algorithm.as_str())
        } else {
            key_types.contains(&facts.key_algorithm.as_str())
        };
        let any = |asked: &[&str], own: &[&str]| asked.is_empty() || asked.iter().any(|usage| own.contains(usage));
        let own: Vec<&str> = facts.extended_key_usages.iter().map(|(name, _)| *name).collect();
        by_key
            && (statuses.is_empty() || statuses.contains(&status(certificate, facts, call.now)))
            && any(&usages, &facts.key_usages)
            && any(&extended, &own)
    };
    let size = params.number("MaxItems").and_then(|size| usize::try_from(size).ok()).unwrap_or(1000);
    let page = page(&described, params.text("NextToken"), size, wanted).map_err(|error| validation(error.message))?;
    out.list("CertificateSummaryList", page.items, |out, (certificate, facts)| {
        summary(out, certificate, facts, state, call.now);
    });
    out.optional("NextToken", page.next);
    Ok(())
}

fn summary(out: &mut Xml, certificate: &Certificate, facts: &Facts, state: &State, now: Timestamp) {
    head(out, certificate, facts, now);
    let names = names(certificate, facts);
    out.texts("SubjectAlternativeNameSummaries", names.iter().take(MAX_NAMES_LISTED));
    out.value("HasAdditionalSubjectAlternativeNames", names.len() > MAX_NAMES_LISTED);
    out.value("InUse", !state.certificate_users(&certificate.arn).is_empty());
    out.texts("KeyUsages", &facts.key_usages);
    out.texts("ExtendedKeyUsages", facts.extended_key_usages.iter().map(|(name, _)| name));
}

pub(super) fn get(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let certificate = named(call.state, call.params.required("CertificateArn"))?;
    if !certificate.issued(call.now) {
        let message = format!("The certificate {} is not issued yet", certificate.arn);
        return Err(ApiError::new("RequestInProgressException", message));
    }
    let (own, issuers) = certificate::split(&certificate.chain);
    out.text("Certificate", own);
    out.optional("CertificateChain", Some(issuers).filter(|issuers| !issuers.is_empty()));
    Ok(())
}
