"""Checks every raw answer of a service against AWS's own model of it, which botocore carries.

botocore's parsers are lenient: they skip what they do not know and invent what is not there, so a client that got its answer
through them proves little about the wire. The referee sees the same bytes before the parser does. It wants each element to be a
member of the modelled output, no member twice, every required member there, scalars of their type and enums of their values,
list items under their modelled tag, and each error code to be one that the model (or the documentation) gives the operation.
"""

import json
import re
import threading
import xml.etree.ElementTree as ElementTree
from collections import defaultdict

import botocore.parsers

# Errors that any ELBv2 or STS operation may give (API reference, "Common Errors"; the wire has older spellings beside them).
QUERY_COMMON = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InternalFailure",
    "InvalidAction",
    "InvalidClientTokenId",
    "MalformedQueryString",
    "MissingAction",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "ValidationError",
}
# EC2's model names no errors; these are the codes of "Error codes for the Amazon EC2 API" that this surface can give.
EC2_CODES = {
    "AuthFailure",
    "Blocked",
    "DryRunOperation",
    "InvalidAction",
    "InvalidParameter",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "InvalidPaginationToken",
    "InvalidNextToken",
    "InvalidMaxResults",
    "MalformedQueryString",
    "MissingAction",
    "MissingParameter",
    "OptInRequired",
    "RequestExpired",
    "RequestLimitExceeded",
    "UnauthorizedOperation",
    "UnknownParameter",
    "InternalError",
    "ServiceUnavailable",
    "Unavailable",
    "AddressLimitExceeded",
    "CannotDelete",
    "CidrLimitExceeded",
    "DependencyViolation",
    "FilterLimitExceeded",
    "Gateway.NotAttached",
    "IdempotentParameterMismatch",
    "IncorrectInstanceState",
    "IncorrectState",
    "InvalidAddress.NotFound",
    "InvalidAllocationID.NotFound",
    "InvalidAssociationID.NotFound",
    "InsufficientFreeAddressesInSubnet",
    "InvalidAMIID.Malformed",
    "InvalidCidr.InUse",
    "InvalidCidrBlock.InUse",
    "InvalidCidrBlockAssociationID.NotFound",
    "InvalidFilter",
    "InvalidGatewayID.NotFound",
    "InvalidGroup.Duplicate",
    "InvalidGroup.InUse",
    "InvalidGroup.NotFound",
    "InvalidGroup.Reserved",
    "InvalidGroupId.Malformed",
    "InvalidID",
    "InvalidIPAddress.InUse",
    "InvalidInput",
    "InvalidInstanceID",
    "InvalidInstanceID.Malformed",
    "InvalidInstanceID.NotFound",
    "InvalidInternetGatewayID.NotFound",
    "InvalidInternetGatewayId.Malformed",
    "InvalidNetworkInterfaceID.NotFound",
    "InvalidNetworkInterfaceId.Malformed",
    "InvalidPermission.Duplicate",
    "InvalidPermission.Malformed",
    "InvalidPermission.NotFound",
    "InvalidPrefixListID.NotFound",
    "InvalidRoute.NotFound",
    "InvalidRouteTableID.NotFound",
    "InvalidRouteTableId.Malformed",
    "InvalidSecurityGroupID.NotFound",
    "InvalidSecurityGroupId.Malformed",
    "InvalidSecurityGroupRuleId.Malformed",
    "InvalidSecurityGroupRuleId.NotFound",
    "InvalidSubnet.Conflict",
    "InvalidSubnet.Range",
    "InvalidSubnetID.NotFound",
    "InvalidSubnetID.Malformed",
    "InvalidTagKey.Malformed",
    "InvalidVpc.Range",
    "InvalidVpcID.NotFound",
    "OperationNotPermitted",
    "PrefixListMaxEntriesExceeded",
    "Resource.AlreadyAssociated",
    "RouteAlreadyExists",
    "InvalidVpcID.Malformed",
    "RulesPerSecurityGroupLimitExceeded",
    "SecurityGroupLimitExceeded",
    "SubnetLimitExceeded",
    "TagLimitExceeded",
    "VPCIdNotSpecified",
    "VpcLimitExceeded",
}
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Where AWS's answers and its model differ, the API reference describes the answers.
BEYOND_MODEL = {
    # "Response Elements" of these: `return` is true if the request succeeds. The model has no output.
    "DeleteSubnet: element return",
    "DeleteVpc: element return",
    "CreateTags: element return",
    "DeleteTags: element return",
    # The same of other actions that the model gives no output, or one without it.
    "AssociateAddress: element return",
    "AttachInternetGateway: element return",
    "DeleteInternetGateway: element return",
    "DeleteRoute: element return",
    "DeleteRouteTable: element return",
    "DetachInternetGateway: element return",
    "DisassociateAddress: element return",
    "DisassociateRouteTable: element return",
    "ModifySubnetAttribute: element return",
    "ModifyVpcAttribute: element return",
    "ReleaseAddress: element return",
    # As for DescribeInternetGateways.
    "CreateInternetGateway.internetGateway.attachmentSet[].state: 'available'",
    # InternetGatewayAttachment: "For an internet gateway, the state is available when attached to a VPC". The enum lacks it.
    "DescribeInternetGateways.internetGatewaySet[].attachmentSet[].state: 'available'",
}
SCALARS = {
    "integer": re.compile(r"-?\d+"),
    "long": re.compile(r"-?\d+"),
    "double": re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?"),
    "float": re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?"),
    "boolean": re.compile(r"true|false"),
    "timestamp": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"),
}


class Referee:
    """Sees the answers of any number of clients; holds what was wrong with them, by `service:Operation`."""

    def __init__(self):
        self.violations = defaultdict(set)
        self.answered = defaultdict(int)
        self.succeeded = set()
        self._lock = threading.Lock()

    def watch(self, client):
        """Shows the referee every answer that `client` gets."""
        client.meta.events.register("before-parse", self._saw)

    def _saw(self, operation_model, response_dict, **_):
        action = f"{operation_model.service_model.endpoint_prefix}:{operation_model.name}"
        objections = [text for text in judge(operation_model, response_dict) if not text.startswith(tuple(BEYOND_MODEL))]
        # Some checks call from several threads.
        with self._lock:
            self.answered[action] += 1
            self.violations[action].update(objections)
            if response_dict["status_code"] < 300:
                self.succeeded.add(action)


def judge(operation, response):
    """Yields what is wrong with one answer."""
    if operation.service_model.resolved_protocol in JSON:
        yield from judge_json(operation, response)
        return
    try:
        root = ElementTree.fromstring(response["body"])
    except ElementTree.ParseError as error:
        yield f"HTTP {response['status_code']} is not XML: {error}"
        return
    headers = {name.lower(): value for name, value in response["headers"].items()}
    if not headers.get("content-type", "").startswith("text/xml"):
        yield f"content type is {headers.get('content-type')!r}, not text/xml"
    identifier = next((element.text for element in root.iter() if local(element).lower() == "requestid"), None)
    if not REQUEST_ID.fullmatch(identifier or ""):
        yield f"request id {identifier!r} is not shaped like a UUID"
    if headers.get("x-amzn-requestid") != identifier:
        yield f"header x-amzn-requestid {headers.get('x-amzn-requestid')!r} is not the request id of the body"
    is_ec2 = operation.service_model.protocol == "ec2"
    if response["status_code"] >= 300:
        yield from judge_error(operation, root, response["status_code"], is_ec2)
        return
    wanted_namespace = operation.metadata.get("xmlNamespace") or ""
    if is_ec2:
        wanted_namespace = f"http://ec2.amazonaws.com/doc/{operation.metadata['apiVersion']}/"
    if wanted_namespace and namespace(root) != wanted_namespace:
        yield f"namespace is {namespace(root)!r}, not {wanted_namespace!r}"
    if local(root) != f"{operation.name}Response":
        yield f"root element is {local(root)}, not {operation.name}Response"
    if is_ec2:
        members = [element for element in root if local(element) != "requestId"]
        yield from judge_members(members, operation.output_shape, operation.name)
        return
    if [local(element) for element in root] != [f"{operation.name}Result", "ResponseMetadata"]:
        yield f"root's children are {[local(element) for element in root]}"
        return
    yield from judge_members(list(root[0]), operation.output_shape, operation.name)


def judge_json(operation, response):
    """An answer in JSON, or in CBOR, which says the same."""
    headers = {name.lower(): value for name, value in response["headers"].items()}
    content_type, read = JSON[operation.service_model.resolved_protocol]
    if headers.get("content-type", "") != content_type:
        yield f"content type is {headers.get('content-type')!r}, not {content_type}"
    if not REQUEST_ID.fullmatch(headers.get("x-amzn-requestid", "")):
        yield f"header x-amzn-requestid {headers.get('x-amzn-requestid')!r} is not shaped like a UUID"
    try:
        answer = read(response["body"])
    except ValueError as error:
        yield f"HTTP {response['status_code']} cannot be read: {error}"
        return
    if response["status_code"] >= 300:
        code = answer.get("__type")
        modelled = {error.name for error in operation.error_shapes}
        if set(answer) != {"__type", "message"}:
            yield f"error members are {sorted(answer)}"
        if code not in modelled | JSON_COMMON:
            yield f"error code {code!r} is neither modelled for the operation ({', '.join(sorted(modelled))}) nor a common one"
        return
    yield from judge_json_value(answer, operation.output_shape, operation.name)


def judge_json_value(value, shape, path):
    kind = "structure" if shape is None else shape.type_name
    if kind == "structure":
        members = {} if shape is None else shape.members
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is not a structure"
            return
        for name, inner in value.items():
            if name not in members:
                yield f"{path}: {name} is not a member of {shape.name if shape else 'an empty output'}"
            else:
                yield from judge_json_value(inner, members[name], f"{path}.{name}")
        for required in [] if shape is None else shape.required_members:
            if required not in value:
                yield f"{path}: required member {required} is absent"
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{path}: {value!r} is not a list"
            return
        for inner in value:
            yield from judge_json_value(inner, shape.member, f"{path}[]")
    else:
        types = {"boolean": bool, "integer": int, "long": int, "timestamp": (int, float), "double": (int, float)}
        wanted = types.get(kind, str)
        if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
            yield f"{path}: {value!r} is not a {kind}"
        enum = shape.metadata.get("enum")
        if enum and value not in enum:
            yield f"{path}: {value!r} is not one of {', '.join(enum)}"


def read_cbor(body):
    parser = botocore.parsers.RpcV2CBORParser()
    return parser.parse_data_item(parser.get_peekable_stream_from_bytes(body))


JSON = {"json": ("application/x-amz-json-1.1", json.loads), "smithy-rpc-v2-cbor": ("application/cbor", read_cbor)}
# Errors that any operation of a JSON service may give (API reference, "Common Errors").
JSON_COMMON = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "InternalFailure",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "ValidationException",
}


def judge_error(operation, root, status, is_ec2):
    names = [local(element) for element in root.iter()]
    if is_ec2:
        shape = ["Response", "Errors", "Error", "Code", "Message", "RequestID"]
        code = root.findtext("./Errors/Error/Code")
        if names != shape:
            yield f"error elements are {names}, not {shape}"
        if code not in EC2_CODES:
            yield f"error code {code!r} is not an EC2 error code that can be expected here"
        return
    shape = ["ErrorResponse", "Error", "Type", "Code", "Message", "RequestId"]
    if names != shape:
        yield f"error elements are {names}, not {shape}"
    code = next((element.text for element in root.iter() if local(element) == "Code"), None)
    modelled = {error.metadata.get("error", {}).get("code", error.name): error for error in operation.error_shapes}
    if code in modelled:
        wanted = modelled[code].metadata.get("error", {}).get("httpStatusCode", 400)
        if status != wanted:
            yield f"error {code} has HTTP status {status}, the model says {wanted}"
    elif code not in QUERY_COMMON:
        yield f"error code {code!r} is neither modelled for the operation ({', '.join(sorted(modelled))}) nor a common one"


def judge_members(elements, shape, path):
    """The children of a structure."""
    members = {} if shape is None else {wire_name(name, member): (name, member) for name, member in shape.members.items()}
    seen = set()
    for element in elements:
        name = local(element)
        if name not in members:
            yield f"{path}: element {name} is not a member of {shape.name if shape else 'an empty output'}"
            continue
        if name in seen and not members[name][1].serialization.get("flattened"):
            yield f"{path}: element {name} twice"
        seen.add(name)
        yield from judge_value(element, members[name][1], f"{path}.{name}")
    for required in [] if shape is None else shape.required_members:
        if wire_name(required, shape.members[required]) not in seen:
            yield f"{path}: required member {required} is absent"


def judge_value(element, shape, path):
    kind = shape.type_name
    if kind == "structure":
        if (element.text or "").strip():
            yield f"{path}: text in a structure"
        yield from judge_members(list(element), shape, path)
    elif kind == "list":
        tag = shape.member.serialization.get("name", "member")
        for item in element:
            if local(item) != tag:
                yield f"{path}: list item is called {local(item)}, not {tag}"
            yield from judge_value(item, shape.member, f"{path}[]")
    elif kind == "map":
        yield f"{path}: maps are not known to the referee"
    else:
        yield from judge_scalar(element, shape, path)


def judge_scalar(element, shape, path):
    text = element.text or ""
    if len(element):
        yield f"{path}: elements in a {shape.type_name}"
        return
    pattern = SCALARS.get(shape.type_name)
    if pattern and not pattern.fullmatch(text):
        yield f"{path}: {text!r} is not a {shape.type_name}"
    enum = shape.metadata.get("enum")
    if enum and text not in enum:
        yield f"{path}: {text!r} is not one of {', '.join(enum)}"
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name in ("integer", "long") and not pattern.fullmatch(text) is None:
        if (low is not None and int(text) < low) or (high is not None and int(text) > high):
            yield f"{path}: {text} is outside of {low} to {high}"


def wire_name(name, shape):
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        return shape.member.serialization.get("name", shape.serialization.get("name", name))
    return shape.serialization.get("name", name)


def local(element):
    return element.tag.rpartition("}")[2]


def namespace(element):
    return element.tag[1:].partition("}")[0] if element.tag.startswith("{") else ""
