"""From mounted services to the methods that are served."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor

from services.kernel.limits import Limit, RateLimits
from services.kernel.policy import Policy
from services.kernel.startup import StartupError
from services.runtime.call import Method
from services.runtime.mounted import Mounted
from services.runtime.policy import OPEN, policies_of


def methods_of(mounted: Iterable[Mounted]) -> list[Method]:
    """All methods of all servicers; those that a servicer does not build have no behaviour.

    Raises StartupError when an RPC has no policy, and when its policy names a class of limits that nobody knows.
    """
    servicers = {
        name: (servicer, service) for service in mounted for name, servicer in service.servicers.items()
    }
    pool = descriptor_pool.Default()
    try:
        descriptors: list[ServiceDescriptor] = [pool.FindServiceByName(name) for name in servicers]
    except KeyError as error:
        raise StartupError(f"The contract has no such service: {error.args[0]}") from error
    policies = policies_of(descriptors)
    return [
        _method(descriptor, method, *servicers[descriptor.full_name], policies)
        for descriptor in descriptors
        for method in descriptor.methods
    ]


def internal_method(
    path: str,
    request_class: Any,
    response_class: Any,
    behavior: Callable[[Any, Any], Any],
    *,
    streams: str = "",
) -> Method:
    """A method of the runtime's own services. `streams` says which sides stream: `in`, `out`, `in out`."""
    return Method(
        path=path,
        policy=OPEN,
        request_class=request_class,
        response_class=response_class,
        request_streaming="in" in streams.split(),
        response_streaming="out" in streams.split(),
        behavior=behavior,
        internal=True,
    )


def _method(
    descriptor: ServiceDescriptor,
    method: Any,
    servicer: object,
    service: Mounted,
    policies: Mapping[str, Policy],
) -> Method:
    path = f"/{descriptor.full_name}/{method.name}"
    policy = policies[path]
    return Method(
        path=path,
        policy=policy,
        request_class=message_factory.GetMessageClass(method.input_type),
        response_class=message_factory.GetMessageClass(method.output_type),
        request_streaming=method.client_streaming,
        response_streaming=method.server_streaming,
        behavior=_behavior(servicer, method.name, path),
        limit=_limit(service.limits, policy, method, path),
        meter=service.meter if policy.meter else None,
    )


def _limit(limits: RateLimits | None, policy: Policy, method: Any, path: str) -> Limit | None:
    limit = limits.of(policy.limit) if limits is not None and policy.limit else None
    if limit is not None and limit.account is not None:
        field = method.input_type.fields_by_name.get(limit.account.field)
        if method.client_streaming or field is None or field.type != field.TYPE_STRING or field.is_repeated:
            raise StartupError(
                f"{path} counts calls by {limit.account.field}, which is no text of its request",
                f"Give the request the field, or the RPC another class of limits than {policy.limit}.",
            )
    return limit


def _behavior(servicer: object, name: str, path: str) -> Callable[[Any, Any], Any] | None:
    owner = next((owner for owner in type(servicer).__mro__ if name in vars(owner)), None)
    if owner is None or owner.__module__.endswith("_pb2_grpc"):
        return None
    behavior: Callable[[Any, Any], Any] = getattr(servicer, name)
    # gRPC would lead an ordinary function through a thread of its own.
    if not (inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior)):
        raise StartupError(f"{path} is served by an ordinary function", "Its servicer must say `async def`.")
    return behavior
