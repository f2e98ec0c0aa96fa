//! 1.6: which certificate a host has.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::super::fixtures::{World, fallback, rule, rules, secret, secret_for};
use crate::routes::certificates::Certificate;
use crate::routes::compile::Compiled;
use crate::routes::findings::{ObjectKey, Severity};

fn spec(tls: &str, hosts: &[&str]) -> String {
    let rules: Vec<String> = hosts.iter().map(|host| rule(host, &[("/x", "Prefix", "web")])).collect();
    format!("tls: [{tls}], rules: [{}]", rules.join(", "))
}

/// DNS names of the certificate that is sent; `fallback` for that one.
fn sent(compiled: &Compiled, name: &str) -> String {
    let key = compiled.table.certificates.resolve(Some(name));
    if Arc::ptr_eq(key, &fallback()) { "fallback".to_owned() } else { names(key) }
}

fn names(key: &CertifiedKey) -> String {
    use x509_parser::prelude::FromDer;
    let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&key.cert[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    names
        .value
        .general_names
        .iter()
        .map(|name| format!("{name}").replace("DNSName(", "").replace(')', ""))
        .collect::<Vec<_>>()
        .join(" ")
}

fn valid(name: &str, names: &[&str]) -> k8s_openapi::api::core::v1::Secret {
    secret_for(name, names, (2020, 2100))
}

#[test]
fn tls_1_6_the_entry_that_lists_the_host() {
    let tls = "{hosts: [other.com], secretName: other}, {hosts: [A.com], secretName: a}";
    let compiled = World::new()
        .secret(valid("a", &["a.com"]))
        .secret(valid("other", &["a.com"]))
        .ingress("x", &spec(tls, &["a.com"]))
        .compile();
    assert_eq!(sent(&compiled, "A.com."), "a.com");
    assert_eq!(sent(&compiled, "other.com"), "fallback", "a host without rule is none");
    assert!(compiled.table.host("a.com").options.tls && compiled.findings.is_empty() && compiled.live("x"));
}

#[test]
fn tls_1_6_else_any_secret_that_covers_the_host() {
    let tls = "{hosts: [other.com], secretName: b}, {secretName: missing}, {secretName: wild}";
    let compiled = World::new()
        .secret(valid("b", &["b.com"]))
        .secret(valid("wild", &["*.a.com"]))
        .ingress("x", &spec(tls, &["x.a.com", "c.com"]));
    let compiled = compiled.compile();
    assert_eq!(sent(&compiled, "x.a.com"), "*.a.com");
    assert_eq!(sent(&compiled, "c.com"), "fallback");
    assert!(compiled.table.host("c.com").options.tls, "it is redirected all the same");
    assert_eq!(compiled.codes(), ["x CertificateHostMismatch"]);
}

#[test]
fn tls_1_6_the_first_ingress_of_the_host_that_has_a_section_decides() {
    let compiled = World::new()
        .secret(valid("one", &["a.com", "one.com"]))
        .secret(valid("two", &["a.com", "two.com"]))
        .ingress("z", &rules("a.com", &[("/z", "Prefix", "web")]))
        .ingress("y", &spec("{hosts: [a.com], secretName: one}", &["a.com"]))
        .ingress("x", &spec("{hosts: [a.com], secretName: two}", &["a.com"]))
        .compile();
    assert_eq!(sent(&compiled, "a.com"), "a.com one.com", "names fall: z, y, x");
}

#[test]
fn tls_1_6_what_is_wrong_keeps_the_host_up_with_the_default_and_redirects() {
    let (good, other) = (valid("good", &["a.com"]), valid("other", &["a.com"]));
    let text = |secret: &k8s_openapi::api::core::v1::Secret, key: &str| {
        String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
    };
    let (certificate, key, foreign) = (text(&good, "tls.crt"), text(&good, "tls.key"), text(&other, "tls.key"));
    let mut no_key = secret("s", &certificate, &key);
    no_key.data.as_mut().unwrap().remove("tls.key");
    for (secret, code, words) in [
        (None, "CertificateSecretMissing", "there is no Secret default/s"),
        (Some(valid("s", &["b.com"])), "CertificateHostMismatch", "is for \"b.com\", not for host \"a.com\""),
        (Some(secret("s", "nonsense", &key)), "CertificateInvalid", "holds no certificate"),
        (Some(secret("s", &certificate, "nonsense")), "CertificateInvalid", "no unencrypted private key"),
        (Some(secret("s", &certificate, &foreign)), "CertificateInvalid", "is not the key of"),
        (Some(no_key), "CertificateInvalid", "it has no `tls.key`"),
    ] {
        let mut world = World::new().ingress("x", &spec("{hosts: [a.com], secretName: s}", &["a.com"]));
        world.secrets.extend(secret.map(Arc::new));
        let compiled = world.compile();
        assert_eq!(compiled.codes(), [format!("x {code}")]);
        assert!(compiled.findings[0].message.contains(words), "{}", compiled.findings[0]);
        assert_eq!(compiled.findings[0].severity, Severity::Error);
        assert_eq!(sent(&compiled, "a.com"), "fallback");
        assert!(compiled.table.host("a.com").options.tls && compiled.table.host("a.com").options.redirect_unmatched);
        assert_eq!(compiled.goes("a.com", "/x"), "x>web 10.0.0.1:8080");
        assert!(compiled.live("x"), "who issues the certificate waits for the address");
    }
}

#[test]
fn tls_1_6_an_entry_without_secret_is_the_default_certificate() {
    let compiled = World::new().ingress("x", &spec("{hosts: [a.com]}", &["a.com"])).compile();
    assert_eq!(sent(&compiled, "a.com"), "fallback");
    assert!(compiled.table.host("a.com").options.tls && compiled.findings.is_empty() && compiled.live("x"));
}

#[test]
fn tls_1_6_a_host_without_section_has_its_wildcards_certificate_and_redirect() {
    let compiled = World::new()
        .secret(valid("wild", &["*.a.com"]))
        .ingress("w", &spec("{hosts: ['*.a.com'], secretName: wild}", &["*.a.com"]))
        .ingress("p", &rules("plain.a.com", &[("/", "Prefix", "web")]))
        .compile();
    assert_eq!((sent(&compiled, "x.a.com"), sent(&compiled, "plain.a.com")), ("*.a.com".to_owned(), "*.a.com".to_owned()));
    assert_eq!((sent(&compiled, "a.com"), sent(&compiled, "y.x.a.com")), ("fallback".to_owned(), "fallback".to_owned()));
    assert!(compiled.table.host("plain.a.com").options.tls && compiled.findings.is_empty());
    let compiled = World::new()
        .secret(valid("wild", &["*.a.com"]))
        .ingress("w", &spec("{hosts: ['*.a.com'], secretName: wild}", &["*.a.com"]))
        .ingress("own", &spec("{hosts: [own.a.com]}", &["own.a.com"]))
        .compile();
    assert_eq!(sent(&compiled, "own.a.com"), "fallback", "it has a section of its own");
}

#[test]
fn tls_1_6_without_host_there_is_no_certificate_and_no_redirect() {
    let compiled =
        World::new().secret(valid("a", &["a.com"])).ingress("x", &spec("{hosts: [a.com], secretName: a}", &[""])).compile();
    assert!(!compiled.table.hosts.default.options.tls);
    assert_eq!(sent(&compiled, "a.com"), "fallback");
    assert_eq!(compiled.codes(), ["x TlsWithoutHost"]);
}

#[test]
fn tls_1_6_the_default_certificate() {
    let key = ObjectKey::new("default", "default");
    let world = World::new().with(|settings| settings.default_ssl_certificate = Some(key));
    let compiled = world.compile();
    assert_eq!(
        (sent(&compiled, "any.com"), compiled.codes()),
        ("fallback".to_owned(), vec!["default CertificateSecretMissing".to_owned()])
    );
    let compiled = world.secret(valid("default", &["d.com"])).compile();
    assert_eq!((sent(&compiled, "any.com"), compiled.codes().len()), ("d.com".to_owned(), 0));
    assert_eq!(names(compiled.table.certificates.resolve(None)), "d.com", "no SNI");
}

#[test]
fn tls_1_6_expired_certificates_are_told_when_the_time_is_known() {
    let tls = spec("{hosts: [a.com], secretName: s}", &["a.com"]);
    let mut world = World::new().secret(secret_for("s", &["a.com"], (2024, 2025))).ingress("x", &tls);
    assert!(world.compile().findings.is_empty());
    for (year, words) in [(2026, "expired at 2025-01-01T00:00:00Z"), (2023, "is not valid before 2024-01-01T00:00:00Z")] {
        world.year = Some(year);
        let compiled = world.compile();
        assert_eq!((compiled.codes(), sent(&compiled, "a.com")), (vec!["x CertificateExpired".to_owned()], "a.com".to_owned()));
        assert!(compiled.findings[0].message.contains(words), "{}", compiled.findings[0]);
        assert_eq!(compiled.findings[0].severity, Severity::Notice);
    }
    world.year = Some(2024);
    assert!(world.compile().findings.is_empty());
}

#[test]
fn tls_1_6_a_certificate_without_end_is_served() {
    let mut parameters = rcgen::CertificateParams::new(vec!["a.com".to_owned()]).unwrap();
    let begin = rcgen::date_time_ymd(2020, 1, 1);
    (parameters.not_before, parameters.not_after) =
        (begin, rcgen::date_time_ymd(9999, 12, 31) + std::time::Duration::from_secs(86_399));
    let key = rcgen::KeyPair::generate().unwrap();
    let secret = secret("s", &parameters.self_signed(&key).unwrap().pem(), &key.serialize_pem());
    let mut world = World::new().secret(secret).ingress("x", &spec("{hosts: [a.com], secretName: s}", &["a.com"]));
    world.year = Some(2026);
    let compiled = world.compile();
    assert_eq!((sent(&compiled, "a.com"), compiled.codes().len()), ("a.com".to_owned(), 0));
}

#[test]
fn what_a_certificate_says_of_its_issuer_is_read_and_cut() {
    let read = |common_name: &str, serial: &[u8]| {
        let mut parameters = rcgen::CertificateParams::new(vec!["a.com".to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "Example Ltd");
        parameters.serial_number = Some(serial.to_vec().into());
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Certificate::parse(&secret("s", &certificate.pem(), &key.serialize_pem())).unwrap().leaf
    };
    let leaf = read("Example CA", &[1, 0]);
    assert_eq!((&*leaf.issuer.common_name, &*leaf.issuer.organization, &*leaf.issuer.serial), ("Example CA", "Example Ltd", ""));
    assert_eq!((&*leaf.serial, &*leaf.identifier, leaf.algorithm), ("256", "-256", "ECDSA"));
    assert_eq!(read("x", &[0xff; 20]).serial.len(), 49);
    let leaf = read(&"ä".repeat(1000), &[1; 22]);
    assert_eq!((&*leaf.issuer.common_name, &*leaf.serial), (&*"ä".repeat(64), ""));
}

#[test]
fn keys_are_never_printed() {
    let secret = valid("s", &["a.com"]);
    let key = String::from_utf8(secret.data.as_ref().unwrap()["tls.key"].0.clone()).unwrap();
    let body: String = key.lines().filter(|line| !line.starts_with("--")).collect();
    let certificate = Certificate::parse(&secret).unwrap();
    let compiled = World::new().secret(secret).ingress("x", &spec("{hosts: [a.com], secretName: s}", &["a.com"])).compile();
    let printed = format!("{certificate:?} {:?} {compiled:?}", certificate.key);
    assert!(printed.contains("a.com") && !printed.contains(&body[..24]));
    // A list of numbers would be another way to print it.
    let der = rustls::pki_types::PrivateKeyDer::try_from(rcgen::KeyPair::from_pem(&key).unwrap().serialize_der()).unwrap();
    let numbers = format!("{:?}", &der.secret_der()[der.secret_der().len() - 16..]);
    assert!(!printed.contains(numbers.trim_matches(['[', ']'])), "{numbers}");
}
