"""Certificates of ACM and of IAM (rows ACM-*, IAM-*)."""

from session import refused
from suite import check, same

# Made for these checks; the keys protect nothing.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIB2zCCAYCgAwIBAgIUVTI4+roxC6+0c4AJBoQ6NhW8rmgwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPd3d3LmV4YW1wbGUuY29tMCAXDTI2MTEyOTE4MzY0NVoYDzIx
MjYxMTA1MTgzNjQ1WjAaMRgwFgYDVQQDDA93d3cuZXhhbXBsZS5jb20wWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAS3oQ9/E/2SAylivg0fdmq7X32FNM5eKnHbLm1w
plcjQhNmSN04tNzC9NK226dyzbxXt5pO8bwEfX/GKwKBeEbbo4GhMIGeMB0GA1Ud
DgQWBBTNrXf0AY5zSWXN69CYnmKR7LXZLTAfBgNVHSMEGDAWgBTNrXf0AY5zSWXN
69CYnmKR7LXZLTAPBgNVHRMBAf8EBTADAQH/MCkGA1UdEQQiMCCCD3d3dy5leGFt
cGxlLmNvbYINKi5leGFtcGxlLmNvbTATBgNVHSUEDDAKBggrBgEFBQcDATALBgNV
HQ8EBAMCB4AwCgYIKoZIzj0EAwIDSQAwRgIhAM+Px6hJtmt+4PCY78yYzgf4kaxa
E31UIirbFNk/pAZ1AiEA0PCANHuV/oV1scQRDaloyVXc4D1M5uMprsT2cL8l4Zc=
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+10DMsay8wc366Mr
sheXF1cx27j0uRIGOv8HG+G7Xp2hRANCAAS3oQ9/E/2SAylivg0fdmq7X32FNM5e
KnHbLm1wplcjQhNmSN04tNzC9NK226dyzbxXt5pO8bwEfX/GKwKBeEbb
-----END PRIVATE KEY-----
"""
OTHER_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgppBaS04OSdkVxtid
6tvTpWqJyzmpLQPHrxS2lbFJO1mhRANCAASbgHbUnGUPZPkBLJhomI3QjrxgnpPg
KmRAmVuFGUy1yCCcdkgBAQ56U49yvzr4iMegOVOzfWeKhHwxh0763Pof
-----END PRIVATE KEY-----
"""


def imported(s, **settings):
    return s.acm.import_certificate(Certificate=CERTIFICATE, PrivateKey=KEY, **settings)["CertificateArn"]


def tls(s, certificate):
    """A TLS listener with this certificate, on a load balancer of its own."""
    balancer, group = s.nlb(), s.group()
    return s.listener(balancer, group, Protocol="TLS", Port=443, Certificates=[{"CertificateArn": certificate}])


@check("ACM-IMPORT", "D", "an imported certificate is described, handed out without its key, and deleted", "ACM API ImportCertificate")
def imports(s):
    arn = imported(s, Tags=[{"Key": "team", "Value": "web"}])
    assert arn.startswith(f"arn:aws:acm:{s.region}:{s.account}:certificate/"), arn
    shown = s.acm.describe_certificate(CertificateArn=arn)["Certificate"]
    got = {key: shown[key] for key in ("DomainName", "SubjectAlternativeNames", "Status", "Type", "KeyAlgorithm", "InUseBy")}
    names = ["www.example.com", "*.example.com"]
    wanted = ("www.example.com", names, "ISSUED", "IMPORTED", "EC_prime256v1", [])
    same(tuple(got.values()), wanted, "certificate")
    same(s.acm.get_certificate(CertificateArn=arn)["Certificate"].strip(), CERTIFICATE.strip(), "PEM")
    same(s.acm.list_tags_for_certificate(CertificateArn=arn)["Tags"], [{"Key": "team", "Value": "web"}], "tags")
    same(imported(s, CertificateArn=arn), arn, "ARN of the certificate that was imported again")
    s.acm.delete_certificate(CertificateArn=arn)
    refused("ResourceNotFoundException", s.acm.describe_certificate, CertificateArn=arn)


@check("ACM-CHECKED", "D", "what is no certificate, or another one's key, is not imported", "ACM API ImportCertificate, errors")
def checked(s):
    refused("ValidationException", s.acm.import_certificate, Certificate=CERTIFICATE, PrivateKey=OTHER_KEY)
    refused("ValidationException", s.acm.import_certificate, Certificate="none", PrivateKey=KEY)
    refused("ValidationException", s.acm.import_certificate, Certificate=CERTIFICATE * 2, PrivateKey=KEY)
    refused("ValidationException", s.acm.import_certificate, Certificate=CERTIFICATE)
    refused("InvalidArnException|ValidationException", s.acm.describe_certificate, CertificateArn="arn:aws:s3:::bucket")


@check("ACM-IN-USE", "D", "a certificate that a listener has is in use, and not deleted", "ACM API DeleteCertificate, errors")
def in_use(s):
    arn = imported(s)
    listener = tls(s, arn)
    same(s.acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"], [listener["LoadBalancerArn"]], "users")
    refused("ResourceInUseException", s.acm.delete_certificate, CertificateArn=arn)
    s.elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
    s.acm.delete_certificate(CertificateArn=arn)


@check("ACM-REQUEST", "D", "a requested certificate is PENDING_VALIDATION, shows what proves the domain, and is issued", "ACM API RequestCertificate")
def requested(s):
    with s.durations(certificate_issuance=100):
        asked = {"DomainName": "www.example.com", "ValidationMethod": "DNS", "KeyAlgorithm": "EC_prime256v1"}
        arn = s.acm.request_certificate(IdempotencyToken="one", **asked)["CertificateArn"]
        same(s.acm.request_certificate(IdempotencyToken="one", **asked)["CertificateArn"], arn, "ARN of the same request")
    shown = s.acm.describe_certificate(CertificateArn=arn)["Certificate"]
    same((shown["Status"], shown["Type"]), ("PENDING_VALIDATION", "AMAZON_ISSUED"), "certificate")
    [option] = shown["DomainValidationOptions"]
    same((option["ValidationStatus"], option["ResourceRecord"]["Type"]), ("PENDING_VALIDATION", "CNAME"), "validation")
    refused("RequestInProgressException", s.acm.get_certificate, CertificateArn=arn)
    s.advance(100)
    same(s.acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"], "ISSUED", "status")
    assert "CertificateChain" in s.acm.get_certificate(CertificateArn=arn)
    refused("InvalidParameterException|ValidationException", s.acm.request_certificate, DomainName="not a name")


@check("ACM-LIST", "D", "certificates come in pages; without a key type only those with RSA keys of up to 2,048 bits", "ACM API ListCertificates")
def listed(s):
    arns = sorted(imported(s) for _ in range(3))
    same(s.acm.list_certificates()["CertificateSummaryList"], [], "certificates with RSA keys")
    pages = list(
        s.acm.get_paginator("list_certificates").paginate(
            Includes={"keyTypes": ["EC_prime256v1"]}, PaginationConfig={"PageSize": 2}
        )
    )
    seen = [entry["CertificateArn"] for page in pages for entry in page["CertificateSummaryList"]]
    same((len(pages), sorted(seen)), (2, arns), "pages and certificates")


@check("ACM-TAGS", "D", "tags of certificates are added and removed; a value narrows a removal", "ACM API AddTagsToCertificate")
def tags(s):
    arn = imported(s)
    s.acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    s.acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b"}])
    same(s.acm.list_tags_for_certificate(CertificateArn=arn)["Tags"], [{"Key": "a", "Value": "1"}], "tags")
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    refused("TooManyTagsException", s.acm.add_tags_to_certificate, CertificateArn=arn, Tags=many)


@check("SRV-SECRETS", "-", "a private key is not in the journal", "this emulator")
def secrets(s):
    imported(s)
    calls = s.server.admin("GET", "/_landfall/journal", since=0)
    calls = calls if isinstance(calls, list) else calls["entries"]
    [call] = [entry for entry in calls if entry["account"] == s.account and entry["action"] == "ImportCertificate"]
    assert "PRIVATE KEY" not in str(call) and "BEGIN CERTIFICATE" in str(call), call


@check("SRV-JSON", "D", "unknown actions and parameters of JSON services are refused and named", "smithy awsJson1_1")
def json_errors(s):
    for action, body, code in (
        ("DescribeUnicorns", {}, "UnknownOperationException"),
        ("DeleteCertificate", {"CertificateArn": "arn:aws:acm:x", "Unicorn": 1}, "ValidationException"),
        ("ListCertificates", {"MaxItems": "10"}, "SerializationException"),
    ):
        status, answer = s.json("acm", f"CertificateManager.{action}", body)
        same((status, answer["__type"]), (400, code), action)


@check("IAM-CERTIFICATES", "D", "server certificates are uploaded, listed, used by listeners of any region, and deleted when free", "IAM API UploadServerCertificate")
def server_certificates(s):
    made = s.iam.upload_server_certificate(ServerCertificateName="web", CertificateBody=CERTIFICATE, PrivateKey=KEY)
    arn = made["ServerCertificateMetadata"]["Arn"]
    same(arn, f"arn:aws:iam::{s.account}:server-certificate/web", "ARN")
    again = {"ServerCertificateName": "web", "CertificateBody": CERTIFICATE, "PrivateKey": KEY}
    refused("EntityAlreadyExists", s.iam.upload_server_certificate, **again)
    refused("KeyPairMismatch", s.iam.upload_server_certificate, **{**again, "ServerCertificateName": "x", "PrivateKey": OTHER_KEY})
    refused("MalformedCertificate", s.iam.upload_server_certificate, **{**again, "ServerCertificateName": "x", "CertificateBody": "x"})
    [entry] = s.iam.list_server_certificates()["ServerCertificateMetadataList"]
    same(entry["ServerCertificateName"], "web", "name")
    got = s.iam.get_server_certificate(ServerCertificateName="web")["ServerCertificate"]
    same(got["CertificateBody"].strip(), CERTIFICATE.strip(), "PEM")
    listener = tls(s, arn)
    refused("DeleteConflict", s.iam.delete_server_certificate, ServerCertificateName="web")
    s.elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
    s.iam.delete_server_certificate(ServerCertificateName="web")
    refused("NoSuchEntity", s.iam.get_server_certificate, ServerCertificateName="web")
