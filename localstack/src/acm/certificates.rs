//! Importing, requesting and deleting certificates.
//!
//! Imports `certificate` for what is in them, `tags`. A requested certificate is made at once and issued later: nobody has to prove anything.

use jiff::{SignedDuration, Timestamp};

use super::tags;
use crate::certificate::{self, Bundle, Unusable};
use crate::clock::{after, later};
use crate::error::ApiError;
use crate::model::State;
use crate::model::certificates::{Certificate, Origin, PrivateKey, Request};
use crate::service::Call;
use crate::xml::Xml;

/// Certificates that a region may have (ACM quotas).
const MAX_CERTIFICATES: usize = 2500;

/// Names that a requested certificate may have (ACM quotas).
const MAX_NAMES: usize = 10;

/// How long a token means the same request (API reference).
const TOKEN_VALID: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// The certificate that a call names.
pub(super) fn named<'a>(state: &'a State, arn: &str) -> Result<&'a Certificate, ApiError> {
    let place = &state.place;
    if !arn.starts_with("arn:") || !arn.contains(":acm:") {
        return Err(ApiError::new("InvalidArnException", format!("The ARN '{arn}' is not that of a certificate of ACM")));
    }
    let missing = || format!("Could not find certificate {arn} in account {} and region {}.", place.account, place.region);
    state.certificates.get(arn).ok_or_else(|| ApiError::new("ResourceNotFoundException", missing()))
}

pub(super) fn import(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let tags = tags::read(params)?;
    let chain = params.text("CertificateChain").unwrap_or_default();
    let bundle = certificate::read(params.required("Certificate"), chain, params.required("PrivateKey"))
        .map_err(|error: Unusable| validation(error.to_string()))?;
    let now = call.now.as_second();
    if now < bundle.facts.not_before {
        return Err(validation(
            "The certificate is not valid yet. Certificates cannot be imported before their validity begins.",
        ));
    }
    if now >= bundle.facts.not_after {
        return Err(validation("The certificate has expired. Expired certificates cannot be imported."));
    }
    let arn = match params.text("CertificateArn") {
        None => {
            check_room(call.state)?;
            tags::check_count(tags.len())?;
            new_arn(call.state)
        }
        Some(arn) => {
            let present = named(call.state, arn)?;
            if present.origin != Origin::Imported {
                return Err(validation(format!("The certificate {arn} was not imported, so it cannot be imported again.")));
            }
            if !tags.is_empty() {
                return Err(validation("Tags cannot be given when a certificate is imported again: use AddTagsToCertificate."));
            }
            arn.to_owned()
        }
    };
    let present = call.state.certificates.get(&arn);
    let tags = present.map_or(tags, |present| present.tags.clone());
    let created = present.map_or(call.now, |present| present.created);
    put(call.state, arn.clone(), bundle, Origin::Imported, created, tags);
    out.text("CertificateArn", arn);
    Ok(())
}

fn check_room(state: &State) -> Result<(), ApiError> {
    if state.certificates.len() >= MAX_CERTIFICATES {
        let message = format!("Cannot have more than {MAX_CERTIFICATES} certificates");
        return Err(ApiError::new("LimitExceededException", message));
    }
    Ok(())
}

fn new_arn(state: &mut State) -> String {
    let id = state.ids.uuid();
    state.place.arn("acm", &format!("certificate/{id}"))
}

fn put(state: &mut State, arn: String, bundle: Bundle, origin: Origin, created: Timestamp, tags: crate::model::Tags) {
    let Bundle { chain, key, facts } = bundle;
    let key = PrivateKey::new(key);
    let certificate = Certificate { arn: arn.clone(), domain: facts.domain, chain, key, origin, created, tags };
    state.certificates.insert(arn, certificate);
}

pub(super) fn request(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let domain = params.required("DomainName");
    let mut names = vec![domain.to_owned()];
    for name in params.texts("SubjectAlternativeNames") {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    for name in &names {
        check_name(name)?;
    }
    if names.len() > MAX_NAMES {
        return Err(ApiError::new("LimitExceededException", format!("A certificate can have at most {MAX_NAMES} names")));
    }
    let tags = tags::read(params)?;
    tags::check_count(tags.len())?;
    let token = params.text("IdempotencyToken");
    let recent = later(call.now, -TOKEN_VALID);
    let same = |certificate: &&Certificate| match &certificate.origin {
        Origin::Requested(request) => {
            token.is_some() && request.token.as_deref() == token && certificate.created > recent && request.names == names
        }
        _ => false,
    };
    if let Some(present) = call.state.certificates.values().find(same) {
        out.text("CertificateArn", &present.arn);
        return Ok(());
    }
    check_room(call.state)?;
    let bundle = certificate::issue(&names, params.text("KeyAlgorithm").unwrap_or("RSA_2048"), call.now)
        .map_err(|error| ApiError::new("InvalidParameterException", format!("No certificate can be made: {error}")))?;
    let arn = new_arn(call.state);
    let issued = after(call.now, call.durations.certificate_issuance);
    let by_email = params.text("ValidationMethod") != Some("DNS");
    let request = Request { names, by_email, token: token.map(str::to_owned), issued };
    put(call.state, arn.clone(), bundle, Origin::Requested(request), call.now, tags);
    out.text("CertificateArn", arn);
    Ok(())
}

/// A name as ACM issues certificates for: at least two labels, a wildcard only as the first one.
fn check_name(name: &str) -> Result<(), ApiError> {
    let labels: Vec<&str> = name.strip_prefix("*.").unwrap_or(name).split('.').collect();
    let sound = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.len() > 253 || labels.len() < 2 || !labels.iter().all(sound) {
        let message = format!("The domain name '{name}' is not valid: it needs a form like www.example.com or *.example.com");
        return Err(ApiError::new("InvalidParameterException", message));
    }
    Ok(())
}

pub(super) fn delete(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("CertificateArn");
    named(call.state, arn)?;
    let users = call.state.certificate_users(arn);
    if !users.is_empty() {
        let place = &call.state.place;
        let users: Vec<&str> = users.into_iter().collect();
        let message = format!("Certificate {arn} in account {} is in use by {}.", place.account, users.join(", "));
        return Err(ApiError::new("ResourceInUseException", message));
    }
    call.state.certificates.remove(arn);
    Ok(())
}
