//! Certificates of ACM and IAM: imported, requested, listed, tagged, deleted.

use std::time::Duration;

use crate::certificate::{self, Bundle};
use crate::durations::Durations;
use crate::testing::{ACCOUNT, Kit, all, first};
use crate::{BY_HAND, Outcome};

fn bundle(kit: &Kit) -> Bundle {
    certificate::issue(&["www.example.com".to_owned()], "EC_prime256v1", kit.shared.clock.now()).unwrap()
}

/// Imports a certificate; its ARN.
fn import(kit: &Kit) -> String {
    let bundle = bundle(kit);
    let (own, issuers) = certificate::split(&bundle.chain);
    let parameters = [("Certificate", own), ("CertificateChain", issuers), ("PrivateKey", &bundle.key)];
    arn(&kit.json("acm", "ImportCertificate", &parameters).unwrap())
}

fn arn(answer: &serde_json::Value) -> String {
    answer["CertificateArn"].as_str().unwrap().to_owned()
}

fn code(kit: &Kit, action: &str, parameters: &[(&str, &str)]) -> String {
    kit.json("acm", action, parameters).unwrap_err().code
}

#[test]
fn an_imported_certificate_is_described_handed_out_and_deleted() {
    let kit = Kit::instant();
    let arn = import(&kit);
    assert!(arn.starts_with(&format!("arn:aws:acm:us-west-2:{ACCOUNT}:certificate/")), "{arn}");
    let shown = &kit.json("acm", "DescribeCertificate", &[("CertificateArn", &arn)]).unwrap()["Certificate"];
    assert_eq!(
        (&shown["Type"], &shown["Status"], &shown["DomainName"]),
        (&"IMPORTED".into(), &"ISSUED".into(), &"www.example.com".into())
    );
    assert_eq!(shown["InUseBy"], serde_json::json!([]));
    let got = kit.json("acm", "GetCertificate", &[("CertificateArn", &arn)]).unwrap();
    assert!(got["Certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(!got.to_string().contains("PRIVATE KEY"));
    kit.json("acm", "DeleteCertificate", &[("CertificateArn", &arn)]).unwrap();
    assert_eq!(code(&kit, "DescribeCertificate", &[("CertificateArn", &arn)]), "ResourceNotFoundException");
    assert_eq!(code(&kit, "DescribeCertificate", &[("CertificateArn", "x")]), "InvalidArnException");
}

#[test]
fn a_private_key_is_neither_in_the_journal_nor_in_what_is_logged() {
    let kit = Kit::instant();
    import(&kit);
    let entry = kit.shared.journal.entries().pop().unwrap();
    assert_eq!((entry.user_agent.as_str(), &entry.result), (BY_HAND, &Outcome::Ok));
    assert!(entry.parameters["Certificate"].contains("BEGIN CERTIFICATE"));
    assert_eq!(entry.parameters["PrivateKey"], "(redacted)");
    let state = kit.shared.account(ACCOUNT, "us-west-2");
    let shown = format!("{:?}", state.lock().unwrap().certificates);
    assert!(shown.contains("www.example.com") && !shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn an_expired_certificate_or_another_ones_key_is_refused() {
    let kit = Kit::instant();
    let (one, other) = (bundle(&kit), bundle(&kit));
    let parameters = |key| [("Certificate", certificate::split(&one.chain).0), ("PrivateKey", key)];
    assert_eq!(code(&kit, "ImportCertificate", &parameters(&other.key)), "ValidationException");
    kit.advance(200 * 86_400);
    assert_eq!(code(&kit, "ImportCertificate", &parameters(&one.key)), "ValidationException");
}

#[test]
fn a_requested_certificate_is_issued_in_its_time() {
    let kit = Kit::new(Durations { certificate_issuance: Duration::from_secs(60), ..Durations::instant() });
    let asked = [
        ("DomainName", "www.example.com"),
        ("SubjectAlternativeNames.1", "*.example.com"),
        ("ValidationMethod", "DNS"),
        ("KeyAlgorithm", "EC_prime256v1"),
        ("IdempotencyToken", "t1"),
    ];
    let arn = arn(&kit.json("acm", "RequestCertificate", &asked).unwrap());
    assert_eq!(self::arn(&kit.json("acm", "RequestCertificate", &asked).unwrap()), arn, "the same token asks for nothing new");
    let named = [("CertificateArn", arn.as_str())];
    let shown = kit.json("acm", "DescribeCertificate", &named).unwrap()["Certificate"].clone();
    assert_eq!((&shown["Status"], &shown["NotAfter"]), (&"PENDING_VALIDATION".into(), &serde_json::Value::Null));
    assert_eq!(shown["DomainValidationOptions"][1]["ResourceRecord"]["Type"], "CNAME");
    assert_eq!(code(&kit, "GetCertificate", &named), "RequestInProgressException");
    let usable =
        || kit.shared.with(&kit.shared.account(ACCOUNT, "us-west-2"), |state, now, _| state.certificate(&arn, now).is_some());
    assert!(!usable());
    kit.advance(60);
    assert_eq!(kit.json("acm", "DescribeCertificate", &named).unwrap()["Certificate"]["Status"], "ISSUED");
    assert!(usable() && kit.json("acm", "GetCertificate", &named).is_ok());
    assert_eq!(code(&kit, "RequestCertificate", &[("DomainName", "localhost")]), "InvalidParameterException");
}

#[test]
fn a_listing_shows_rsa_keys_unless_asked_for_others() {
    let kit = Kit::instant();
    let arns: Vec<String> = (0..3).map(|_| import(&kit)).collect();
    let list = |parameters: &[(&str, &str)]| kit.json("acm", "ListCertificates", parameters).unwrap();
    assert_eq!(list(&[])["CertificateSummaryList"], serde_json::json!([]));
    let ec = ("Includes.keyTypes.1", "EC_prime256v1");
    let page = list(&[ec, ("MaxItems", "2")]);
    let rest = list(&[ec, ("MaxItems", "2"), ("NextToken", page["NextToken"].as_str().unwrap())]);
    let mut seen: Vec<String> =
        [page, rest].iter().flat_map(|page| page["CertificateSummaryList"].as_array().unwrap()).map(arn).collect();
    seen.sort();
    let mut wanted = arns;
    wanted.sort();
    assert_eq!(seen, wanted);
    assert_eq!(list(&[ec, ("CertificateStatuses.1", "EXPIRED")])["CertificateSummaryList"], serde_json::json!([]));
}

#[test]
fn tags_of_a_certificate() {
    let kit = Kit::instant();
    let arn = import(&kit);
    let call =
        |action: &str, more: &[(&str, &str)]| kit.json("acm", action, &[&[("CertificateArn", arn.as_str())][..], more].concat());
    call("AddTagsToCertificate", &[("Tags.1.Key", "a"), ("Tags.1.Value", "1"), ("Tags.2.Key", "b")]).unwrap();
    call("RemoveTagsFromCertificate", &[("Tags.1.Key", "a"), ("Tags.1.Value", "2"), ("Tags.2.Key", "b")]).unwrap();
    let tags = call("ListTagsForCertificate", &[]).unwrap();
    assert_eq!(tags["Tags"], serde_json::json!([{"Key": "a", "Value": "1"}]));
    assert_eq!(call("AddTagsToCertificate", &[("Tags.1.Key", "aws:x")]).unwrap_err().code, "InvalidTagException");
}

#[test]
fn server_certificates_belong_to_all_regions_of_an_account() {
    let kit = Kit::instant();
    let bundle = bundle(&kit);
    let elsewhere = crate::region::Region::new(kit.shared.clone(), kit.shared.account(ACCOUNT, "eu-central-1"));
    let upload = |name: &str, key: &str| {
        let parameters =
            [("ServerCertificateName", name), ("CertificateBody", certificate::split(&bundle.chain).0), ("PrivateKey", key)];
        kit.region.call("iam", "UploadServerCertificate", &parameters)
    };
    let arn = first(&upload("web", &bundle.key).unwrap(), "Arn");
    assert_eq!(arn, format!("arn:aws:iam::{ACCOUNT}:server-certificate/web"));
    assert_eq!(upload("WEB", &bundle.key).unwrap_err().code, "EntityAlreadyExists");
    assert_eq!(upload("other", &self::bundle(&kit).key).unwrap_err().code, "KeyPairMismatch");
    assert_eq!(upload("other", "x").unwrap_err().code, "MalformedCertificate");
    let got = elsewhere.call("iam", "GetServerCertificate", &[("ServerCertificateName", "web")]).unwrap();
    assert_eq!(first(&got, "Arn"), arn);
    assert!(!got.contains("PRIVATE KEY"));
    upload("api", &bundle.key).unwrap();
    let page = elsewhere.call("iam", "ListServerCertificates", &[("MaxItems", "1")]).unwrap();
    let rest = [("MaxItems", "1"), ("Marker", &first(&page, "Marker"))];
    let rest = elsewhere.call("iam", "ListServerCertificates", &rest).unwrap();
    assert_eq!((all(&page, "ServerCertificateName").len(), all(&rest, "ServerCertificateName").len()), (1, 1));
    elsewhere.call("iam", "DeleteServerCertificate", &[("ServerCertificateName", "web")]).unwrap();
    let missing = kit.region.call("iam", "GetServerCertificate", &[("ServerCertificateName", "web")]).unwrap_err();
    assert_eq!((missing.code.as_str(), missing.status), ("NoSuchEntity", 404));
}
