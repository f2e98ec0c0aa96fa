"""Elastic IP addresses (rows EIP-*)."""

from session import refused
from suite import check, same


def tagged(**tags):
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": "elastic-ip", "Tags": pairs}]


@check("EIP-ALLOC", "D", "an address is allocated with its tags and its border group, and released", "EC2 API AllocateAddress")
def allocate(s):
    made = s.ec2.allocate_address(Domain="vpc", TagSpecifications=tagged(team="web"))
    same((made["Domain"], made["NetworkBorderGroup"]), ("vpc", s.region), "answer")
    [shown] = s.ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"]
    same((shown["PublicIp"], shown["Tags"]), (made["PublicIp"], [{"Key": "team", "Value": "web"}]), "address")
    assert "AssociationId" not in shown, shown
    found = s.ec2.describe_addresses(Filters=[{"Name": "tag:team", "Values": ["web"]}])["Addresses"]
    same([address["AllocationId"] for address in found], [made["AllocationId"]], "addresses by tag")
    s.ec2.release_address(AllocationId=made["AllocationId"])
    same(s.ec2.describe_addresses()["Addresses"], [], "addresses")


@check("EIP-404", "D", "an unknown allocation is InvalidAllocationID.NotFound", "EC2 API error codes")
def unknown(s):
    refused("InvalidAllocationID.NotFound", s.ec2.describe_addresses, AllocationIds=["eipalloc-0123456789abcdef0"])
    refused("InvalidAllocationID.NotFound", s.ec2.release_address, AllocationId="eipalloc-0123456789abcdef0")
    refused("InvalidAddress.NotFound", s.ec2.describe_addresses, PublicIps=["192.0.2.1"])


@check("EIP-ASSOC", "D", "an address is associated with an instance's interface, moved, and disassociated; one in use is not released", "EC2 API AssociateAddress")
def associate(s):
    made = s.ec2.allocate_address(Domain="vpc")
    one, two = s.instances()[:2]
    first = s.ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=one["InstanceId"])["AssociationId"]
    [shown] = s.ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"]
    wanted = (first, one["InstanceId"], one["NetworkInterfaces"][0]["NetworkInterfaceId"], one["PrivateIpAddress"], s.account)
    got = tuple(
        shown[key]
        for key in ("AssociationId", "InstanceId", "NetworkInterfaceId", "PrivateIpAddress", "NetworkInterfaceOwnerId")
    )
    same(got, wanted, "association")
    same(s.instances()[0]["PublicIpAddress"], made["PublicIp"], "address of the instance")
    refused("InvalidIPAddress.InUse", s.ec2.release_address, AllocationId=made["AllocationId"])
    again = {"AllocationId": made["AllocationId"], "InstanceId": two["InstanceId"]}
    refused("Resource.AlreadyAssociated", s.ec2.associate_address, AllowReassociation=False, **again)
    second = s.ec2.associate_address(**again)["AssociationId"]
    filters = [{"Name": "association.public-ip", "Values": [made["PublicIp"]]}]
    [interface] = s.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    same(interface["Association"]["AssociationId"], second, "association of the interface")
    s.ec2.disassociate_address(AssociationId=second)
    refused("InvalidAssociationID.NotFound", s.ec2.disassociate_address, AssociationId=second)
    s.ec2.release_address(AllocationId=made["AllocationId"])


@check("EIP-LIMIT", "D", "five addresses per region", "EC2 quotas")
def limit(s):
    for _ in range(5):
        s.ec2.allocate_address(Domain="vpc")
    refused("AddressLimitExceeded", s.ec2.allocate_address, Domain="vpc")
