//! IAM's server certificates, the older way to give a TLS listener one. All regions of an account have them in common.
//!
//! Imports `certificate` for what is in them; the rest of IAM is not here.

use jiff::Timestamp;

use crate::certificate;
use crate::error::ApiError;
use crate::model::certificates::{Certificate, Origin, PrivateKey, Upload};
use crate::model::{Place, Tags};
use crate::page::page;
use crate::query::{Dialect, Params};
use crate::service::{Action, Call, Service};
use crate::xml::Xml;

/// Identity and Access Management.
pub(crate) const SERVICE: Service = Service {
    name: "iam",
    version: "2010-05-08",
    namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
    dialect: Dialect::Query,
    actions: &[ACTIONS],
};

const ACTIONS: &[Action] = &[
    Action {
        name: "UploadServerCertificate",
        parameters: &[
            "ServerCertificateName!",
            "Path",
            "CertificateBody!",
            "PrivateKey!",
            "CertificateChain",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: upload,
    },
    Action { name: "GetServerCertificate", parameters: &["ServerCertificateName!"], run: get },
    Action { name: "ListServerCertificates", parameters: &["PathPrefix", "Marker", "MaxItems:1-1000"], run: list },
    Action { name: "DeleteServerCertificate", parameters: &["ServerCertificateName!"], run: delete },
];

/// Server certificates that an account may have (IAM quotas).
const MAX_CERTIFICATES: usize = 20;

/// Tags that a server certificate may have.
const MAX_TAGS: usize = 50;

fn no_entity(name: &str) -> ApiError {
    let message = format!("The Server Certificate with name {name} cannot be found.");
    ApiError::new("NoSuchEntity", message).with_status(404)
}

/// What IAM knows of a certificate besides; every one of this account's has it.
fn uploaded(certificate: &Certificate) -> Option<&Upload> {
    match &certificate.origin {
        Origin::Uploaded(upload) => Some(upload),
        Origin::Imported | Origin::Requested(_) => None,
    }
}

fn has_name(certificate: &Certificate, name: &str) -> bool {
    uploaded(certificate).is_some_and(|upload| upload.name == name)
}

fn upload(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let (name, path) = (params.required("ServerCertificateName"), params.text("Path").unwrap_or("/"));
    let word = |text: &str| text.chars().all(|character| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character));
    if name.is_empty() || name.len() > 128 || !word(name) {
        let message = format!("The name '{name}' is not valid: letters, digits and _+=,.@- are, 1 to 128 of them");
        return Err(ApiError::validation(message));
    }
    if !path.starts_with('/') || !path.ends_with('/') || path.len() > 512 {
        return Err(ApiError::validation(format!("The path '{path}' is not valid: it has to begin and end with /")));
    }
    let tags = read_tags(params)?;
    let chain = params.text("CertificateChain").unwrap_or_default();
    let bundle =
        certificate::read(params.required("CertificateBody"), chain, params.required("PrivateKey")).map_err(|error| {
            let code = if error == certificate::Unusable::Mismatch { "KeyPairMismatch" } else { "MalformedCertificate" };
            ApiError::new(code, error.to_string())
        })?;
    let arn = arn(&call.state.place, path, name);
    let id = format!("ASCA{}", call.state.ids.next("server-certificate", 17).to_ascii_uppercase());
    let mut uploads = call.state.server_certificates.lock();
    // "Names are not distinguished by case" (API reference).
    let taken = |known: &Certificate| uploaded(known).is_some_and(|upload| upload.name.eq_ignore_ascii_case(name));
    if uploads.certificates.values().any(taken) {
        let message = format!("The Server Certificate with name {name} already exists.");
        return Err(ApiError::new("EntityAlreadyExists", message).with_status(409));
    }
    if uploads.certificates.len() >= MAX_CERTIFICATES {
        let message = format!("Cannot exceed quota for ServerCertificatesPerAccount: {MAX_CERTIFICATES}");
        return Err(ApiError::new("LimitExceeded", message).with_status(409));
    }
    let upload = Upload { id, name: name.to_owned(), path: path.to_owned() };
    let certificate = Certificate {
        arn: arn.clone(),
        domain: bundle.facts.domain,
        chain: bundle.chain,
        key: PrivateKey::new(bundle.key),
        origin: Origin::Uploaded(upload),
        created: call.now,
        tags,
    };
    out.within("ServerCertificateMetadata", |out| metadata(out, &certificate));
    show_tags(out, &certificate.tags);
    uploads.certificates.insert(arn, certificate);
    Ok(())
}

/// IAM's ARNs have no region.
fn arn(place: &Place, path: &str, name: &str) -> String {
    let regional = place.arn("iam", &format!("server-certificate{path}{name}"));
    regional.replacen(&format!(":{}:", place.region), "::", 1)
}

fn read_tags(params: &Params) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in params.items("Tags") {
        let (key, value) = (tag.required("Key"), tag.text("Value").unwrap_or_default());
        if key.is_empty() || key.chars().count() > 128 || key.to_ascii_lowercase().starts_with("aws:") {
            let message = format!("The tag key '{key}' is not valid: it has 1 to 128 characters and does not begin with 'aws:'");
            return Err(ApiError::new("InvalidInput", message));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::new("InvalidInput", format!("Duplicate tag keys found: {key}")));
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(ApiError::new("LimitExceeded", format!("Cannot exceed quota for tags: {MAX_TAGS}")).with_status(409));
    }
    Ok(tags)
}

fn metadata(out: &mut Xml, certificate: &Certificate) {
    let Some(upload) = uploaded(certificate) else { return };
    out.text("Path", &upload.path);
    out.text("ServerCertificateName", &upload.name);
    out.text("ServerCertificateId", &upload.id);
    out.text("Arn", &certificate.arn);
    out.text("UploadDate", time(certificate.created));
    let expires = certificate::facts(&certificate.chain).and_then(|facts| Timestamp::from_second(facts.not_after).ok());
    out.optional("Expiration", expires.map(time));
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn show_tags(out: &mut Xml, tags: &Tags) {
    if !tags.is_empty() {
        out.list("Tags", tags, |out, (key, value)| {
            out.text("Key", key);
            out.text("Value", value);
        });
    }
}

fn get(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let name = call.params.required("ServerCertificateName");
    let uploads = call.state.server_certificates.lock();
    let found = uploads.certificates.values().find(|known| has_name(known, name));
    let certificate = found.ok_or_else(|| no_entity(name))?;
    out.within("ServerCertificate", |out| {
        out.within("ServerCertificateMetadata", |out| metadata(out, certificate));
        let (own, issuers) = certificate::split(&certificate.chain);
        out.text("CertificateBody", own);
        out.optional("CertificateChain", Some(issuers).filter(|issuers| !issuers.is_empty()));
        show_tags(out, &certificate.tags);
    });
    Ok(())
}

fn list(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let prefix = params.text("PathPrefix").unwrap_or("/");
    let size = params.number("MaxItems").and_then(|size| usize::try_from(size).ok()).unwrap_or(100);
    let uploads = call.state.server_certificates.lock();
    let below = |certificate: &Certificate| uploaded(certificate).is_some_and(|upload| upload.path.starts_with(prefix));
    let page = page(&uploads.certificates, params.text("Marker"), size, below)?;
    out.list("ServerCertificateMetadataList", page.items, metadata);
    out.value("IsTruncated", page.next.is_some());
    out.optional("Marker", page.next);
    Ok(())
}

fn delete(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let name = call.params.required("ServerCertificateName");
    // What this region knows is newer than what it has told the others.
    call.state.share_certificate_uses();
    let mut uploads = call.state.server_certificates.lock();
    let found = uploads.certificates.values().find(|known| has_name(known, name));
    let (arn, id) = match found {
        Some(found) => (found.arn.clone(), uploaded(found).map(|upload| upload.id.clone()).unwrap_or_default()),
        None => return Err(no_entity(name)),
    };
    let user = uploads.users.values().filter_map(|users| users.get(&arn)?.first()).next();
    if let Some(user) = user {
        let message =
            format!("Certificate: {id} is currently in use by {user}. Please remove it first before deleting it from IAM.");
        return Err(ApiError::new("DeleteConflict", message).with_status(409));
    }
    uploads.certificates.remove(&arn);
    Ok(())
}
