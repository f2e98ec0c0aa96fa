//! TLS listeners, TLS targets and HTTPS health checks, with real handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::traffic::{Bench, serve, until};
use crate::testing::first;

impl Bench {
    /// Has ACM issue a certificate for a name; its ARN.
    fn certificate(&self, name: &str) -> String {
        let answer = self.region.call("acm", "RequestCertificate", &[("DomainName", name)]).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["CertificateArn"].as_str().unwrap().to_owned()
    }

    /// A load balancer in zone a with a TLS listener on 8443, its target group, and the listener's ARN.
    fn tls_listener(&self, group_protocol: &str, more: &[(&str, &str)]) -> (String, String) {
        let subnet = self.seeded.subnets["public-us-west-2a"].as_str();
        let create = [("Name", "tls"), ("Type", "network"), ("Subnets.member.1", subnet)];
        let balancer = first(&self.call("CreateLoadBalancer", &create), "LoadBalancerArn");
        let create = [
            ("Name", "tls"),
            ("Protocol", group_protocol),
            ("Port", "9000"),
            ("VpcId", self.seeded.vpc_id.as_str()),
            ("TargetType", "ip"),
            ("HealthCheckProtocol", if group_protocol == "TLS" { "HTTPS" } else { "TCP" }),
        ];
        let group = first(&self.call("CreateTargetGroup", &create), "TargetGroupArn");
        let mut create = crate::testing::listener(&balancer, "8443", &group);
        create[1].1 = "TLS";
        create.extend(more);
        (first(&self.call("CreateListener", &create), "ListenerArn"), group)
    }

    fn tls_address(&self) -> SocketAddr {
        SocketAddr::new(self.address(0).ip(), 8443)
    }
}

/// Connects with a client that takes any certificate.
async fn connect(
    address: SocketAddr,
    name: &str,
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(crate::tls::any_certificate(provider))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

const V1_2: &rustls::SupportedProtocolVersion = &rustls::version::TLS12;
const V1_3: &rustls::SupportedProtocolVersion = &rustls::version::TLS13;

/// The DER of the certificate that a client asking for this name is shown.
async fn shown(bench: &Bench, name: &str) -> Option<Vec<u8>> {
    let stream = connect(bench.tls_address(), name, V1_2, &[]).await.ok()?;
    stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec())
}

fn der(bench: &Bench, arn: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let shared = &bench.emulator.running.shared;
    shared.with(&shared.account("111122223333", "us-west-2"), |state, _, _| {
        CertificateDer::from_pem_slice(state.certificates[arn].chain.as_bytes()).unwrap().to_vec()
    })
}

#[tokio::test]
async fn clients_are_shown_the_certificate_of_the_name_they_ask_for() {
    let bench = Bench::new(54).await;
    let [default, other, wild] = ["one.example.com", "two.example.com", "*.example.org"].map(|name| bench.certificate(name));
    let (listener, group) = bench.tls_listener("TCP", &[("Certificates.member.1.CertificateArn", &default)]);
    for arn in [&other, &wild] {
        bench.call("AddListenerCertificates", &[("ListenerArn", &listener), ("Certificates.member.1.CertificateArn", arn)]);
    }
    let one = bench.node(1, 9000);
    let _one = serve(one, "one").await;
    bench.change("RegisterTargets", &group, one);
    until("it is open", async || shown(&bench, "two.example.com").await.is_some()).await;
    for (name, arn) in [
        ("one.example.com", &default),
        ("two.example.com", &other),
        ("x.example.org", &wild),
        ("x.y.example.org", &default),
        ("unknown.example.net", &default),
    ] {
        assert_eq!(shown(&bench, name).await.unwrap(), der(&bench, arn), "{name}");
    }
    let mut stream = connect(bench.tls_address(), "two.example.com", V1_2, &[]).await.unwrap();
    let mut text = [0; 3];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"one", "what a TCP target says comes through TLS");

    // Another default certificate is shown to new connections; old ones go on.
    bench.call("ModifyListener", &[("ListenerArn", &listener), ("Certificates.member.1.CertificateArn", &other)]);
    let wanted = der(&bench, &other);
    until("the new certificate is shown", async || shown(&bench, "unknown.example.net").await.as_ref() == Some(&wanted)).await;
    let more = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut text)).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn policies_decide_on_versions_and_application_protocols() {
    let bench = Bench::new(55).await;
    let arn = bench.certificate("one.example.com");
    let more = [
        ("Certificates.member.1.CertificateArn", arn.as_str()),
        ("SslPolicy", "ELBSecurityPolicy-TLS13-1-3-2021-06"),
        ("AlpnPolicy.member.1", "HTTP2Preferred"),
    ];
    let (listener, group) = bench.tls_listener("TCP", &more);
    let one = bench.node(1, 9000);
    let _one = serve(one, "one").await;
    bench.change("RegisterTargets", &group, one);
    let connect = async |version, alpn: &[&str]| {
        let stream = connect(bench.tls_address(), "one.example.com", version, alpn).await.ok()?;
        Some(stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()))
    };
    until("TLS 1.3 works", async || connect(V1_3, &[]).await == Some(None)).await;
    assert_eq!(connect(V1_2, &[]).await, None, "the policy has TLS 1.3 only");
    assert_eq!(connect(V1_3, &["http/1.1", "h2"]).await, Some(Some("h2".to_owned())));
    let modify = [
        ("ListenerArn", listener.as_str()),
        ("SslPolicy", "ELBSecurityPolicy-TLS-1-2-2017-01"),
        ("AlpnPolicy.member.1", "HTTP2Optional"),
    ];
    bench.call("ModifyListener", &modify);
    until("TLS 1.2 works", async || connect(V1_2, &["h2", "http/1.1"]).await == Some(Some("http/1.1".to_owned()))).await;
    assert_eq!(connect(V1_3, &[]).await, None);
}

#[tokio::test]
async fn targets_are_checked_and_reached_in_tls_whatever_their_certificate() {
    let bench = Bench::new(56).await;
    let arn = bench.certificate("one.example.com");
    let (_, group) = bench.tls_listener("TLS", &[("Certificates.member.1.CertificateArn", &arn)]);
    let made = rcgen::generate_simple_self_signed(["unrelated.example.com".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let target = bench.node(1, 9000);
    let listener = TcpListener::bind(target).await.unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {}
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    bench.change("RegisterTargets", &group, target);
    until("healthy by HTTPS", async || bench.states(&group) == ["healthy"]).await;
    let mut stream = connect(bench.tls_address(), "one.example.com", V1_2, &[]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nyes"), "{answer}");
}
