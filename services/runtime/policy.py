"""Reads the policies of RPCs from their descriptors."""

from __future__ import annotations

from typing import Any, cast

from antiphon.options.v1 import policy_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.kernel.policy import Access, Policy
from services.kernel.startup import StartupError
from services.runtime.contract import contract

OPEN = Policy(Access.PUBLIC, scope="", limit="", idempotent=True)
"""The policy of health and reflection, whose contracts are not ours to annotate."""


def policy_of(method: MethodDescriptor) -> Policy | None:
    """The RPC's policy, None when its contract states none."""
    return _stated(method.GetOptions())


def _stated(options: MethodOptions) -> Policy | None:
    # The generated types know an extension as a plain field.
    extension = cast("Any", policy_pb2.policy)
    if not options.HasExtension(extension):
        return None
    stated: policy_pb2.Policy = options.Extensions[extension]
    if stated.access == policy_pb2.ACCESS_UNSPECIFIED:
        return None
    return Policy(Access(stated.access), stated.scope, stated.limit, stated.idempotent, stated.meter)


def policies_of(services: list[ServiceDescriptor]) -> dict[str, Policy]:
    """The policies of all RPCs of some services, by path. Raises StartupError when an RPC has none."""
    found = {
        f"/{service.full_name}/{method.name}": policy_of(method)
        for service in services
        for method in service.methods
    }
    missing = sorted(path for path, policy in found.items() if policy is None)
    if missing:
        raise StartupError(
            "These RPCs have no policy: " + ", ".join(missing),
            "State one in the contract (antiphon/options/v1/policy.proto), then run `make proto`.",
        )
    return {path: policy for path, policy in found.items() if policy is not None}


def scopes_of_contract() -> tuple[frozenset[str], frozenset[str]]:
    """The scopes of all RPCs of the contract, in whichever process they are served: those of use to everybody, and those that only
    administrators can use, for no other RPC asks for them."""
    policies = [
        _stated(method.options)
        for file in contract().file
        for service in file.service
        for method in service.method
    ]
    scoped = [policy for policy in policies if policy is not None and policy.scope]
    everybody = frozenset(policy.scope for policy in scoped if policy.access is not Access.ADMIN)
    return everybody, frozenset(policy.scope for policy in scoped) - everybody
