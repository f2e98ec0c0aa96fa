//! What TLS listeners have beside others: certificates, security policy, ALPN policy.
//!
//! Imports `names`, `quotas`, `model`. Certificates themselves are made by other services (ACM, IAM).

use std::collections::{BTreeMap, BTreeSet};

use super::names;
use super::placement::configuration;
use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{Alpn, Protocol, Tls};
use crate::model::security_policies::{self, SecurityPolicy};
use crate::page::page;
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

/// The TLS settings that a call gives a listener; `present` is the listener's own when it is being modified. What the call does not say
/// stays; what only TLS has goes with a change to another protocol.
pub(super) fn read(call: &Call<'_>, protocol: Protocol, present: Option<&Tls>) -> Result<Option<Tls>, ApiError> {
    let params = call.params;
    let certificates = certificates(params)?;
    let policy = params.text("SslPolicy");
    let alpn = read_alpn(params)?;
    if protocol != Protocol::Tls {
        for (name, given) in
            [("Certificates", !certificates.is_empty()), ("SslPolicy", policy.is_some()), ("AlpnPolicy", alpn.is_some())]
        {
            if given {
                let protocol = protocol.name();
                return Err(configuration(&format!("{name} can be specified for TLS listeners only, not for {protocol}")));
            }
        }
        return Ok(None);
    }
    if let Some(unknown) = policy.filter(|name| security_policies::find(name).is_none()) {
        return Err(no_policy(unknown));
    }
    let default_certificate = match (certificates.as_slice(), present) {
        ([], None) => return Err(ApiError::validation("A certificate must be specified for TLS listeners (Certificates)")),
        ([], Some(present)) => present.default_certificate.clone(),
        ([arn], _) => existing(call, arn)?.to_owned(),
        _ => return Err(ApiError::validation("Exactly one certificate can be specified, the default one (Certificates)")),
    };
    Ok(Some(Tls {
        policy: policy.or(present.map(|tls| tls.policy.as_str())).unwrap_or(security_policies::DEFAULT).to_owned(),
        default_certificate,
        certificates: present.map(|tls| tls.certificates.clone()).unwrap_or_default(),
        alpn: alpn.or(present.and_then(|tls| tls.alpn)),
    }))
}

fn certificates(params: &Params) -> Result<Vec<&str>, ApiError> {
    let arns = params.items("Certificates").into_iter().map(|certificate| {
        if certificate.has("IsDefault") {
            return Err(ApiError::validation("IsDefault cannot be set in a request (Certificates)"));
        }
        certificate.text("CertificateArn").ok_or_else(|| ApiError::validation("A certificate needs an ARN (CertificateArn)"))
    });
    arns.collect()
}

fn existing<'a>(call: &Call<'_>, arn: &'a str) -> Result<&'a str, ApiError> {
    if call.state.certificate(arn, call.now).is_some() {
        return Ok(arn);
    }
    Err(ApiError::new("CertificateNotFound", format!("Certificate '{arn}' not found")))
}

fn read_alpn(params: &Params) -> Result<Option<Alpn>, ApiError> {
    match params.texts("AlpnPolicy").as_slice() {
        [] => Ok(None),
        [name] => Alpn::parse(name).map(Some).ok_or_else(|| {
            let message =
                format!("ALPN policy '{name}' is not supported: use HTTP1Only, HTTP2Only, HTTP2Optional, HTTP2Preferred or None");
            ApiError::new("ALPNPolicyNotFound", message)
        }),
        _ => Err(ApiError::validation("A listener has at most one ALPN policy (AlpnPolicy)")),
    }
}

/// The one certificate that a call about a listener's certificate list names.
fn only_certificate(params: &Params) -> Result<&str, ApiError> {
    match certificates(params)?.as_slice() {
        [arn] => Ok(arn),
        _ => Err(ApiError::validation("Exactly one certificate can be specified per call (Certificates)")),
    }
}

fn settings<'a>(state: &'a State, arn: &str) -> Result<(&'a str, &'a Tls), ApiError> {
    let listener = names::listener(&state.balancing, arn)?;
    let tls = listener.tls.as_ref().ok_or_else(|| {
        ApiError::validation(format!("Listener '{arn}' has no certificates: its protocol is {}", listener.protocol.name()))
    })?;
    Ok((&listener.load_balancer, tls))
}

/// Adds to the certificate list. The default certificate may be in it too.
pub(super) fn add(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("ListenerArn");
    let (balancer, tls) = settings(call.state, arn)?;
    let certificate = existing(call, only_certificate(call.params)?)?;
    if !tls.certificates.contains(certificate) {
        let listeners = call.state.balancing.listeners_of(balancer).filter_map(|listener| listener.tls.as_ref());
        let mut counted: BTreeSet<&str> = listeners.flat_map(|tls| &tls.certificates).map(String::as_str).collect();
        counted.insert(certificate);
        let quota = call.state.quotas.certificates_per_load_balancer;
        if counted.len() > quota {
            let message = format!("Load balancer '{balancer}' can have at most {quota} certificates beside the default ones");
            return Err(ApiError::new("TooManyCertificates", message));
        }
    }
    if let Some(tls) = call.state.balancing.listeners.get_mut(arn).and_then(|listener| listener.tls.as_mut()) {
        tls.certificates.insert(certificate.to_owned());
    }
    out.list("Certificates", [certificate], |xml, arn| {
        xml.text("CertificateArn", arn);
        xml.text("IsDefault", false);
    });
    Ok(())
}

/// Removes from the certificate list; a certificate that is not in it is ignored.
pub(super) fn remove(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("ListenerArn");
    let (_, tls) = settings(call.state, arn)?;
    let certificate = only_certificate(call.params)?;
    if tls.default_certificate == certificate && !tls.certificates.contains(certificate) {
        let message =
            format!("Certificate '{certificate}' is the default one of the listener and cannot be removed: modify the listener");
        return Err(ApiError::new("OperationNotPermitted", message));
    }
    if let Some(tls) = call.state.balancing.listeners.get_mut(arn).and_then(|listener| listener.tls.as_mut()) {
        tls.certificates.remove(certificate);
    }
    Ok(())
}

/// The default certificate first, then the list, in which it may stand again.
pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (_, tls) = settings(call.state, call.params.required("ListenerArn"))?;
    let default = (format!("0 {}", tls.default_certificate), (&tls.default_certificate, true));
    let others = tls.certificates.iter().map(|arn| (format!("1 {arn}"), (arn, false)));
    let all: BTreeMap<String, (&String, bool)> = std::iter::once(default).chain(others).collect();
    let page = page(&all, call.params.text("Marker"), names::page_size(call.params), |_| true)?;
    out.list("Certificates", page.items, |xml, (arn, default)| {
        xml.text("CertificateArn", arn);
        xml.text("IsDefault", default);
    });
    out.optional("NextMarker", page.next);
    Ok(())
}

/// `DescribeSSLPolicies`.
pub(super) fn describe_policies(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let names = call.params.texts("Names");
    // Gateway load balancers have no TLS. The policies of the two other types are the same.
    let none = call.params.text("LoadBalancerType") == Some("gateway");
    let mut next = None;
    let shown: Vec<&SecurityPolicy> = if names.is_empty() {
        let all: BTreeMap<String, &SecurityPolicy> =
            security_policies::ALL.iter().enumerate().map(|(at, policy)| (format!("{at:03}"), policy)).collect();
        let page = page(&all, call.params.text("Marker"), names::page_size(call.params), |_| !none)?;
        next = page.next;
        page.items.into_iter().copied().collect()
    } else {
        let find = |name: &str| security_policies::find(name).filter(|_| !none).ok_or_else(|| no_policy(name));
        names.into_iter().map(find).collect::<Result<_, _>>()?
    };
    out.list("SslPolicies", shown, |xml, policy| {
        xml.text("Name", policy.name);
        xml.texts("SslProtocols", policy.protocols);
        xml.list("Ciphers", policy.ciphers().enumerate(), |xml, (at, name)| {
            xml.text("Name", name);
            xml.text("Priority", at + 1);
        });
        xml.texts("SupportedLoadBalancerTypes", ["application", "network"]);
    });
    out.optional("NextMarker", next);
    Ok(())
}

fn no_policy(name: &str) -> ApiError {
    ApiError::new("SSLPolicyNotFound", format!("SSL policy '{name}' not found"))
}
