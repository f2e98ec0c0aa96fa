//! Tags of certificates. Imports `certificates`, `query`.

use super::certificates::named;
use crate::error::ApiError;
use crate::model::Tags;
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

/// Tags that a certificate may have.
const MAX_TAGS: usize = 50;

/// The tags of a call, each of them sound.
pub(super) fn read(params: &Params) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in params.items("Tags") {
        let (key, value) = (tag.required("Key"), tag.text("Value").unwrap_or_default());
        if key.is_empty() || key.chars().count() > 128 || key.to_ascii_lowercase().starts_with("aws:") {
            let message = format!("The tag key '{key}' is not valid: it has 1 to 128 characters and does not begin with 'aws:'");
            return Err(ApiError::new("InvalidTagException", message));
        }
        if value.chars().count() > 256 {
            return Err(ApiError::new("InvalidTagException", format!("The value of tag '{key}' has more than 256 characters")));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::new("InvalidTagException", format!("The tag key '{key}' appears twice")));
        }
    }
    Ok(tags)
}

pub(super) fn check_count(count: usize) -> Result<(), ApiError> {
    if count > MAX_TAGS {
        return Err(ApiError::new(
            "TooManyTagsException",
            format!("A certificate can have at most {MAX_TAGS} tags, not {count}"),
        ));
    }
    Ok(())
}

pub(super) fn add(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("CertificateArn");
    let added = read(call.params)?;
    let mut tags = named(call.state, arn)?.tags.clone();
    tags.extend(added);
    check_count(tags.len())?;
    if let Some(certificate) = call.state.certificates.get_mut(arn) {
        certificate.tags = tags;
    }
    Ok(())
}

pub(super) fn list(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let certificate = named(call.state, call.params.required("CertificateArn"))?;
    out.list("Tags", &certificate.tags, |out, (key, value)| {
        out.text("Key", key);
        out.text("Value", value);
    });
    Ok(())
}

pub(super) fn remove(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("CertificateArn");
    named(call.state, arn)?;
    let Some(certificate) = call.state.certificates.get_mut(arn) else { return Ok(()) };
    for tag in call.params.items("Tags") {
        // With a value given, a tag with another value stays (API reference).
        let key = tag.required("Key");
        if tag.text("Value").is_none_or(|value| certificate.tags.get(key).is_some_and(|own| own == value)) {
            certificate.tags.remove(key);
        }
    }
    Ok(())
}
