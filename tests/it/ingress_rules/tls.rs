//! 1.6: certificates, and redirects to https.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Rule, rule};
use crate::support::serving::Serving;
use crate::support::table::{ingress, merge};

/// Names of the certificate that nobody made.
const DEFAULT: &str = "ingress.local";

/// A Secret with a certificate for these names.
pub(super) fn secret(name: &str, hosts: &[&str]) -> Value {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts).expect("a certificate");
    secret_of(name, &made.cert.pem(), &made.signing_key.serialize_pem())
}

fn secret_of(name: &str, certificate: &str, key: &str) -> Value {
    let bytes = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        // A Secret is read anew when its version changes.
        "metadata": {"name": name, "namespace": "default", "resourceVersion": certificate.len().to_string() + key},
        "data": {"tls.crt": bytes(certificate), "tls.key": bytes(key)},
    })
}

/// An Ingress for these hosts with these entries: hosts (comma between), and the name of a Secret, which may be empty.
fn with_tls(name: &str, hosts: &[&str], entries: &[(&str, &str)]) -> Value {
    let rules: Vec<String> = hosts.iter().map(|host| format!("{host} /x P web")).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let entries = entries.iter().map(|(hosts, secret)| {
        let hosts: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
        json!({"hosts": hosts, "secretName": Some(secret).filter(|secret| !secret.is_empty())})
    });
    merge(ingress(name, &rules), json!({"spec": {"tls": entries.collect::<Vec<_>>()}}))
}

pub(super) fn rules() -> Vec<Rule> {
    [choice(), trouble(), wire()].into_iter().flatten().collect()
}

/// Which certificate a host has.
fn choice() -> Vec<Rule> {
    vec![
        rule("s1_6_the_entry_that_lists_the_host", || {
            let entries = [("other.com", "other"), ("A.com", "a")];
            vec![secret("a", &["a.com"]), secret("other", &["a.com", "other.com"]), with_tls("x", &["a.com"], &entries)]
        })
        .gets(&[("tls a.com", "a.com"), ("https [a.com]/x", "web"), ("[a.com]/x", "308 https://a.com/x")]),
        rule("s1_6_a_host_of_the_section_without_rule_is_none", || {
            vec![secret("b", &["a.com", "b.com"]), with_tls("x", &["a.com"], &[("a.com,b.com", "b")])]
        })
        .gets(&[("tls a.com", "a.com b.com"), ("tls b.com", DEFAULT), ("https [b.com]/x", "404"), ("[b.com]/x", "404")]),
        rule("s1_6_an_entry_without_hosts_counts_for_what_its_certificate_covers", || {
            vec![secret("wild", &["*.a.com"]), with_tls("x", &["x.a.com"], &[("", "wild")])]
        })
        .gets(&[("tls x.a.com", "*.a.com"), ("[x.a.com]/x", "308 https://x.a.com/x")]),
        rule("s1_6_else_any_secret_that_covers_the_host_else_the_default", || {
            let entries = [("b.com", "b"), ("", "missing"), ("", "wild")];
            vec![secret("b", &["b.com"]), secret("wild", &["*.a.com"]), with_tls("x", &["x.a.com", "c.com"], &entries)]
        })
        .told(&["x CertificateHostMismatch"])
        .gets(&[("tls x.a.com", "*.a.com"), ("tls c.com", DEFAULT), ("[c.com]/x", "308 https://c.com/x")]),
        rule("s1_6_the_oldest_ingress_of_the_host_with_a_section_decides", || {
            let (one, two) = (secret("one", &["a.com", "one.com"]), secret("two", &["a.com", "two.com"]));
            let plain = ingress("plain", &["a.com /p P web"]);
            let old = with_tls("old", &["a.com"], &[("a.com", "one")]);
            let young =
                merge(with_tls("young", &["a.com"], &[("a.com", "two")]), json!({"spec": {"rules": [{"host": "a.com"}]}}));
            vec![one, two, plain, old, young]
        })
        .gets(&[("tls a.com", "a.com one.com")]),
        rule("s1_6_a_host_without_section_has_what_its_wildcard_has", || {
            let wild = with_tls("wild", &["*.a.com"], &[("*.a.com", "wild")]);
            let own = with_tls("own", &["own.a.com"], &[("own.a.com", "")]);
            vec![secret("wild", &["*.a.com"]), wild, ingress("plain", &["plain.a.com /x P web"]), own]
        })
        .gets(&[
            ("tls any.a.com", "*.a.com"),
            ("tls plain.a.com", "*.a.com"),
            ("[plain.a.com]/x", "308 https://plain.a.com/x"),
            ("https [plain.a.com]/x", "web"),
            ("tls own.a.com", DEFAULT),
        ]),
        rule("s1_6_an_entry_without_secret_is_the_default_certificate", || vec![with_tls("x", &["a.com"], &[("a.com", "")])])
            .gets(&[("tls a.com", DEFAULT), ("[a.com]/x", "308 https://a.com/x"), ("https [a.com]/x", "web")]),
        rule("s1_6_a_rule_without_host_has_the_default_certificate_and_no_redirect", || {
            vec![secret("a", &["a.com"]), with_tls("x", &["-"], &[("a.com", "a")])]
        })
        .told(&["x TlsWithoutHost"])
        .gets(&[("tls a.com", DEFAULT), ("[a.com]/x", "web"), ("https [a.com]/x", "web")]),
        rule("s1_6_the_default_certificate_is_given", || {
            vec![secret("given", &["given.com"]), with_tls("x", &["a.com"], &[("a.com", "")])]
        })
        .set(|settings| settings.default_ssl_certificate = Some("default/given".parse().expect("a key")))
        .gets(&[("tls a.com", "given.com"), ("tls unknown.com", "given.com"), ("tls -", "given.com")]),
        rule("s1_6_the_default_certificate_is_ingress_nginxs", Vec::new).check(|serving| {
            Box::pin(async move {
                use x509_parser::prelude::{FromDer, X509Certificate};
                let chain = serving.certificates("any.com").await;
                let (_, leaf) = X509Certificate::from_der(&chain[0]).expect("a certificate");
                let subject = leaf.subject().to_string();
                assert!(subject.contains("O=Acme Co"), "{subject}");
                assert!(subject.contains("CN=Kubernetes Ingress Controller Fake Certificate"), "{subject}");
            })
        }),
        rule("s1_6_by_server_name_exact_then_wildcard_then_default", || {
            let exact = with_tls("exact", &["a.foo.com"], &[("a.foo.com", "exact")]);
            let wild = with_tls("wild", &["*.foo.com"], &[("*.foo.com", "wild")]);
            vec![secret("exact", &["a.foo.com"]), secret("wild", &["*.foo.com"]), exact, wild]
        })
        .gets(&[
            ("tls a.foo.com", "a.foo.com"),
            ("tls A.FOO.com", "a.foo.com"),
            ("tls a.foo.com.", "a.foo.com"),
            ("tls b.foo.com", "*.foo.com"),
            ("tls c.b.foo.com", DEFAULT),
            ("tls foo.com", DEFAULT),
            ("tls -", DEFAULT),
        ]),
    ]
}

/// Whatever is wrong with a Secret, its host stays up with the default certificate, and is redirected.
fn trouble() -> Vec<Rule> {
    const STAYS_UP: &[(&str, &str)] = &[("tls a.com", DEFAULT), ("[a.com]/x", "308 https://a.com/x"), ("https [a.com]/x", "web")];
    let broken = |name, told: &'static str, secret: fn() -> Option<Value>| {
        rule(name, move || secret().into_iter().chain([with_tls("x", &["a.com"], &[("a.com", "s")])]).collect())
            .told(&[told])
            .gets(STAYS_UP)
    };
    let pem = || {
        let made = rcgen::generate_simple_self_signed(["a.com".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    vec![
        broken("s1_6_a_secret_that_is_missing", "x CertificateSecretMissing", || None),
        broken("s1_6_a_secret_for_another_host", "x CertificateHostMismatch", || Some(secret("s", &["b.com"]))),
        broken("s1_6_a_secret_without_key", "x CertificateInvalid", || {
            Some(merge(secret("s", &["a.com"]), json!({"data": {"tls.key": null}})))
        }),
        rule("s1_6_a_secret_that_cannot_be_read", move || {
            vec![secret_of("s", "nonsense", &pem().1), with_tls("x", &["a.com"], &[("a.com", "s")])]
        })
        .told(&["x CertificateInvalid"])
        .gets(STAYS_UP),
        rule("s1_6_a_secret_with_the_key_of_another", move || {
            vec![secret_of("s", &pem().0, &pem().1), with_tls("x", &["a.com"], &[("a.com", "s")])]
        })
        .told(&["x CertificateInvalid"])
        .gets(STAYS_UP),
        rule("s1_6_a_secret_of_any_type", || {
            vec![merge(secret("s", &["a.com"]), json!({"type": "Opaque"})), with_tls("x", &["a.com"], &[("a.com", "s")])]
        })
        .gets(&[("tls a.com", "a.com")]),
    ]
}

/// What goes over the wire.
fn wire() -> Vec<Rule> {
    vec![
        rule("s1_6_the_chain_is_sent_as_it_is_in_the_secret", || {
            let (parameters, key) = (rcgen::CertificateParams::default(), rcgen::KeyPair::generate().expect("a key"));
            let authority = rcgen::CertifiedIssuer::self_signed(parameters, key).expect("an authority");
            let leaf = rcgen::KeyPair::generate().expect("a key");
            let parameters = rcgen::CertificateParams::new(["a.com".to_owned()]).expect("parameters");
            let chain = parameters.signed_by(&leaf, &authority).expect("a certificate").pem() + &authority.pem();
            vec![secret_of("s", &chain, &leaf.serialize_pem()), with_tls("x", &["a.com"], &[("a.com", "s")])]
        })
        .gets(&[("tls a.com", "a.com")])
        .check(|serving| Box::pin(async move { assert_eq!(serving.certificates("a.com").await.len(), 2) })),
        rule("s1_6_rsa_and_ecdsa", || {
            let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("an RSA key");
            let certificate = rcgen::CertificateParams::new(["rsa.com".to_owned()]).expect("parameters").self_signed(&rsa);
            let rsa = secret_of("rsa", &certificate.expect("a certificate").pem(), &rsa.serialize_pem());
            let entries = [("rsa.com", "rsa"), ("ecdsa.com", "ecdsa")];
            vec![rsa, secret("ecdsa", &["ecdsa.com"]), with_tls("x", &["rsa.com", "ecdsa.com"], &entries)]
        })
        .gets(&[("tls rsa.com", "rsa.com"), ("tls ecdsa.com", "ecdsa.com"), ("https [rsa.com]/x", "web")]),
        rule("s1_6_a_secret_that_changes_counts_for_new_handshakes", || {
            vec![secret("s", &["a.com"]), with_tls("x", &["a.com"], &[("a.com", "s")])]
        })
        .check(|serving| Box::pin(rotation(serving))),
        rule("s1_6_versions_are_1_2_and_1_3_and_http_2_is_by_alpn", || vec![ingress("x", &["a.com / P web"])])
            .check(|serving| Box::pin(versions(serving))),
    ]
}

/// A connection that is open keeps what it has; new ones get the new certificate.
async fn rotation(serving: &mut Serving) {
    const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: a.com\r\n\r\n";
    let mut open = serving.handshake("a.com").await;
    let before = serving.certificates("a.com").await;
    let mut answer = [0; 12];
    open.write_all(REQUEST).await.expect("sent");
    open.read_exact(&mut answer).await.expect("an answer");
    serving.change(vec![secret("s", &["a.com"]), with_tls("x", &["a.com"], &[("a.com", "s")])]).await;
    let after = serving.certificates("a.com").await;
    assert_ne!(before, after);
    open.write_all(REQUEST).await.expect("the connection is still there");
    let mut rest = vec![0; 4096];
    let count = open.read(&mut rest).await.expect("an answer");
    assert!(count > 0, "it was closed");
}

async fn versions(serving: &Serving) {
    use rustls::version::{TLS12, TLS13};
    for version in [&TLS12, &TLS13] {
        let connected = landfall_test_cluster::tls::connect_by(serving.https(), "a.com", &["h2", "http/1.1"], &[version]).await;
        let connected = connected.expect("a handshake");
        let session = connected.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        let suite = format!("{:?}", session.negotiated_cipher_suite().expect("a suite").suite());
        assert!(suite.starts_with("TLS13_") || suite.contains("_ECDHE_"), "{suite}");
    }
    // A greeting of TLS 1.1, with one suite of that time: the alert `protocol_version` (70), or an end without any.
    let body = [&[3, 2][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x13], &[1, 0]].concat();
    let handshake = [&[1, 0, 0, u8::try_from(body.len()).expect("short")][..], &body].concat();
    let record = [&[22, 3, 1, 0, u8::try_from(handshake.len()).expect("short")][..], &handshake].concat();
    let mut stream = TcpStream::connect(serving.https()).await.expect("a connection");
    stream.write_all(&record).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an end");
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "{answer:?}");
}
