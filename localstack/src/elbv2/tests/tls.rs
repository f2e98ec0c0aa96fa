//! TLS listeners: certificates, policies, ALPN (LS-TLS-*, LS-CERT-*).

use crate::model::Tags;
use crate::model::certificates::{Certificate, Origin, PrivateKey};
use crate::testing::{ACCOUNT, Kit, REGION, all, first, listener};

/// Puts a certificate into the account; its ARN.
fn certificate(kit: &Kit, number: usize) -> String {
    let arn = certificate_arn(number);
    let state = kit.shared.account(ACCOUNT, REGION);
    kit.shared.with(&state, |state, created, _| {
        let (domain, chain, key) = (format!("{number}.example"), String::new(), PrivateKey::new(String::new()));
        let (origin, tags) = (Origin::Imported, Tags::new());
        let certificate = Certificate { arn: arn.clone(), domain, chain, key, origin, created, tags };
        state.certificates.insert(arn.clone(), certificate);
    });
    arn
}

fn tls<'a>(balancer: &'a str, group: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut parameters = listener(balancer, "443", group);
    parameters[1] = ("Protocol", "TLS");
    parameters.extend(more);
    parameters
}

#[test]
fn a_listener_has_one_default_certificate_a_policy_and_perhaps_alpn() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let (one, two) = (certificate(&kit, 1), certificate(&kit, 2));
    let first_is_one = ("Certificates.member.1.CertificateArn", one.as_str());
    let refused = |more: &[(&str, &str)]| kit.elb_error("CreateListener", &tls(&balancer, &group, more));
    assert_eq!(refused(&[]), "ValidationError");
    assert_eq!(refused(&[first_is_one, ("Certificates.member.2.CertificateArn", &two)]), "ValidationError");
    assert_eq!(refused(&[first_is_one, ("Certificates.member.1.IsDefault", "true")]), "ValidationError");
    assert_eq!(refused(&[("Certificates.member.1.CertificateArn", "arn:no")]), "CertificateNotFound");
    assert_eq!(refused(&[first_is_one, ("SslPolicy", "ELBSecurityPolicy-2016-09")]), "SSLPolicyNotFound");
    assert_eq!(refused(&[first_is_one, ("AlpnPolicy.member.1", "HTTP3Only")]), "ALPNPolicyNotFound");
    let xml = kit.elb("CreateListener", &tls(&balancer, &group, &[first_is_one])).unwrap();
    assert_eq!((first(&xml, "CertificateArn"), first(&xml, "SslPolicy")), (one.clone(), "ELBSecurityPolicy-2016-08".to_owned()));
    assert!(!xml.contains("AlpnPolicy"));
    let again = kit.elb("CreateListener", &tls(&balancer, &group, &[first_is_one])).unwrap();
    assert_eq!(first(&again, "ListenerArn"), first(&xml, "ListenerArn"));
    let other = tls(&balancer, &group, &[("Certificates.member.1.CertificateArn", &two)]);
    assert_eq!(kit.elb_error("CreateListener", &other), "DuplicateListener");

    let arn = first(&xml, "ListenerArn");
    let modify = |more: &[(&str, &str)]| {
        let mut parameters = vec![("ListenerArn", arn.as_str())];
        parameters.extend(more);
        kit.elb("ModifyListener", &parameters)
    };
    let xml = modify(&[("AlpnPolicy.member.1", "HTTP2Preferred"), ("SslPolicy", "ELBSecurityPolicy-TLS13-1-2-2021-06")]).unwrap();
    assert!(xml.contains("<AlpnPolicy><member>HTTP2Preferred</member></AlpnPolicy>"), "{xml}");
    assert_eq!(first(&modify(&[("Certificates.member.1.CertificateArn", &two)]).unwrap(), "CertificateArn"), two);
    let xml = modify(&[("Protocol", "TCP")]).unwrap();
    assert!(!xml.contains("SslPolicy") && !xml.contains("Certificates") && !xml.contains("AlpnPolicy"), "{xml}");
    assert_eq!(modify(&[("Protocol", "TLS")]).unwrap_err().code, "ValidationError", "the certificate did not come back");
}

#[test]
fn the_certificate_list_takes_twenty_five_and_keeps_the_default_one() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let default = certificate(&kit, 0);
    let more = [("Certificates.member.1.CertificateArn", default.as_str())];
    let listener = first(&kit.elb("CreateListener", &tls(&balancer, &group, &more)).unwrap(), "ListenerArn");
    let call = |action: &str, arn: &str| {
        let parameters = [("ListenerArn", listener.as_str()), ("Certificates.member.1.CertificateArn", arn)];
        kit.elb(action, &parameters).map_err(|error| error.code)
    };
    assert_eq!(call("AddListenerCertificates", "arn:no").unwrap_err(), "CertificateNotFound");
    assert_eq!(call("RemoveListenerCertificates", &default).unwrap_err(), "OperationNotPermitted");
    for number in 1..=25 {
        let arn = certificate(&kit, number);
        assert_eq!(first(&call("AddListenerCertificates", &arn).unwrap(), "IsDefault"), "false");
        call("AddListenerCertificates", &arn).expect("adding again");
    }
    assert_eq!(call("AddListenerCertificates", &certificate(&kit, 26)).unwrap_err(), "TooManyCertificates");
    let page = kit.elb("DescribeListenerCertificates", &[("ListenerArn", &listener), ("PageSize", "20")]).unwrap();
    assert_eq!((first(&page, "CertificateArn"), first(&page, "IsDefault")), (default.clone(), "true".to_owned()));
    let marker = first(&page, "NextMarker");
    let rest = [("ListenerArn", listener.as_str()), ("PageSize", "20"), ("Marker", &marker)];
    assert_eq!(all(&kit.elb("DescribeListenerCertificates", &rest).unwrap(), "CertificateArn").len(), 6);
    call("RemoveListenerCertificates", &certificate(&kit, 7)).unwrap();
    call("AddListenerCertificates", &default).expect("the default one may stand in the list");
    call("RemoveListenerCertificates", &default).expect("and be removed from it");
    let users = kit.shared.with(&kit.shared.account(ACCOUNT, REGION), |state, _, _| {
        [&default, &certificate_arn(7), &certificate_arn(8)].map(|arn| state.certificate_users(arn).len())
    });
    assert_eq!(users, [1, 0, 1]);
}

fn certificate_arn(number: usize) -> String {
    format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/00000000-0000-4000-8000-{number:012}")
}

#[test]
fn policies_are_listed_with_protocols_and_ciphers() {
    let kit = Kit::instant();
    let asked = [("Names.member.1", "ELBSecurityPolicy-TLS13-1-3-2021-06")];
    let xml = kit.elb("DescribeSSLPolicies", &asked).unwrap();
    assert!(xml.contains("<SslProtocols><member>TLSv1.3</member></SslProtocols>"), "{xml}");
    assert_eq!(all(&xml, "Priority"), ["1", "2", "3"]);
    assert_eq!(kit.elb_error("DescribeSSLPolicies", &[("Names.member.1", "no")]), "SSLPolicyNotFound");
    let page = kit.elb("DescribeSSLPolicies", &[("PageSize", "5"), ("LoadBalancerType", "network")]).unwrap();
    assert_eq!(all(&page, "SupportedLoadBalancerTypes").len(), 5);
    assert!(page.contains("NextMarker"));
}
