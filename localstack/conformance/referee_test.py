"""The referee's own tests: it accepts what AWS sends and objects to each kind of mistake. Run: python -m unittest referee_test"""

import unittest

import botocore.session

from referee import judge

ID = "6e0c7f4e-0b1a-4c52-9d3e-0123456789ab"
ELB = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"


def objections(service, operation, body, status=200, **headers):
    model = botocore.session.Session().get_service_model(service).operation_model(operation)
    headers = {
        "Content-Type": "text/xml",
        "x-amzn-RequestId": ID,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return "\n".join(judge(model, {"status_code": status, "headers": headers, "body": body.encode()}))


def elb(result, operation="DescribeListeners", namespace=ELB):
    return (
        f'<{operation}Response xmlns="{namespace}"><{operation}Result>{result}</{operation}Result>'
        f"<ResponseMetadata><RequestId>{ID}</RequestId></ResponseMetadata></{operation}Response>"
    )


def listeners(result, **options):
    return objections("elbv2", "DescribeListeners", elb(result, **options))


def error(code, status=400):
    body = (
        f'<ErrorResponse xmlns="{ELB}"><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error>'
        f"<RequestId>{ID}</RequestId></ErrorResponse>"
    )
    return objections("elbv2", "DescribeListeners", body, status)


def ec2(members, namespace="http://ec2.amazonaws.com/doc/2016-11-15/"):
    body = f'<DescribeSubnetsResponse xmlns="{namespace}"><requestId>{ID}</requestId>{members}</DescribeSubnetsResponse>'
    return objections("ec2", "DescribeSubnets", body)


GOOD = "<Listeners><member><Port>80</Port><Protocol>TCP</Protocol></member></Listeners>"


class RefereeTest(unittest.TestCase):
    def test_accepts_good_answers(self):
        self.assertEqual(listeners(GOOD), "")
        self.assertEqual(listeners(""), "")
        self.assertEqual(error("ListenerNotFound"), "")
        self.assertEqual(error("Throttling"), "")
        self.assertEqual(ec2("<subnetSet><item><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch></item></subnetSet>"), "")

    def test_objects_to_members(self):
        self.assertIn("Color is not a member", listeners("<Listeners><member><Color>red</Color></member></Listeners>"))
        self.assertIn("called item, not member", listeners(GOOD.replace("member>", "item>")))
        self.assertIn("Port twice", listeners("<Listeners><member><Port>80</Port><Port>81</Port></member></Listeners>"))
        self.assertIn("elements in a string", listeners("<NextMarker><a/></NextMarker>"))
        self.assertIn("text in a structure", listeners("<Listeners><member>80</member></Listeners>"))
        self.assertIn("called member, not item", ec2("<subnetSet><member/></subnetSet>"))
        self.assertIn("not a member", ec2("<Subnets/>"))

    def test_objects_to_values(self):
        self.assertIn("'HTTP2' is not one of", listeners(GOOD.replace("TCP", "HTTP2")))
        self.assertIn("'http' is not a integer", listeners(GOOD.replace("80", "http")))
        self.assertIn("70000 is outside of 1 to 65535", listeners(GOOD.replace("80", "70000")))
        self.assertIn(
            "'True' is not a boolean", ec2("<subnetSet><item><mapPublicIpOnLaunch>True</mapPublicIpOnLaunch></item></subnetSet>")
        )

    def test_objects_to_envelopes(self):
        self.assertIn("namespace", listeners(GOOD, namespace="http://example.com/"))
        self.assertIn("root element", listeners(GOOD, operation="DescribeRules"))
        self.assertIn("namespace", ec2("", namespace="http://ec2.amazonaws.com/doc/2016-11-15"))
        self.assertIn("not XML", objections("elbv2", "DescribeListeners", "<html><p>Internal Server Error", 500))
        self.assertIn("content type", objections("elbv2", "DescribeListeners", elb(GOOD), Content_Type="application/json"))
        self.assertIn("not shaped like a UUID", objections("elbv2", "DescribeListeners", elb(GOOD).replace(ID, "1")))
        self.assertIn("x-amzn-requestid", objections("elbv2", "DescribeListeners", elb(GOOD), x_amzn_RequestId="other"))

    def test_objects_to_errors(self):
        self.assertIn("neither modelled", error("ListenerNotFoundException"))
        self.assertIn("neither modelled", error("InvalidSubnet"))
        self.assertIn("HTTP status 404", error("ListenerNotFound", 404))
        self.assertIn("error elements", objections("ec2", "DescribeSubnets", elb(""), 400))

    def test_objects_to_missing_required_members(self):
        tags = "<TagDescriptions><member><Tags><member><Value>v</Value></member></Tags></member></TagDescriptions>"
        self.assertIn("required member Key is absent", objections("elbv2", "DescribeTags", elb(tags, operation="DescribeTags")))


if __name__ == "__main__":
    unittest.main()
