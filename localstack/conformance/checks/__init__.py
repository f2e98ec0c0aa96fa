"""Importing the package registers every check, in the order in which they run."""

from . import (
    load_balancers,
    placement,
    attributes,
    target_groups,
    targets,
    listeners,
    tls,
    forwarding,
    tags,
    deletion,
    network,
    addresses,
    networking,
    certificates,
    tagging,
    security_groups,
    server,
    life,
    fault_model,
)  # noqa: F401
