"""Importing the package registers every check, in the order in which they run."""

from . import (
    load_balancers,
    attributes,
    target_groups,
    targets,
    listeners,
    tags,
    deletion,
    network,
    security_groups,
    server,
)  # noqa: F401
