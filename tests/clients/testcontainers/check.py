"""testcontainers for Python starts the image as if it were LocalStack's, and makes a load balancer in it.

Its reaper, another image, is off: nothing here may need a registry. The port is on loopback only, which is not the library's default;
where it believes to be inside of a container it would look for the port at the bridge's address.
"""

import os

os.environ |= {
    "TESTCONTAINERS_RYUK_DISABLED": "true",
    "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
    "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1",
}

from testcontainers.community.localstack import LocalStackContainer  # noqa: E402  reads the environment when it is imported

IMAGE = "landfall-localstack:latest"


def main():
    container = LocalStackContainer(image=IMAGE, region_name="us-east-1")
    container.ports["4566"] = ("127.0.0.1",)
    with container as aws:
        ec2, elb = aws.get_client("ec2"), aws.get_client("elbv2")
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
        created = elb.create_load_balancer(Name="web", Type="network", Scheme="internal", Subnets=[subnet])["LoadBalancers"][0]
        found = elb.describe_load_balancers(Names=["web"])["LoadBalancers"]
        assert [one["LoadBalancerArn"] for one in found] == [created["LoadBalancerArn"]], found
        assert found[0]["State"]["Code"] == "active", found
    print("testcontainers for Python: LocalStackContainer with the emulator's image passed")


if __name__ == "__main__":
    main()
