"""Finds out who calls, and lets in whom the RPC's policy lets in, of a stream for as long as it lasts; after that, an RPC that is not
built yet is refused as such."""

from __future__ import annotations

from typing import Any

from services.kernel.authentication import Authenticator
from services.kernel.errors import PermissionDenied, Unauthenticated, Unimplemented
from services.kernel.policy import Access, Policy
from services.kernel.principal import ANONYMOUS, Kind, Principal
from services.runtime.call import Call, Method, Proceed
from services.runtime.interceptors.standing import RECHECK_SECONDS, while_standing

# An answer that was begun is streamed to its end, and is anybody's; the feeds that services follow are theirs for good.
_WHILE_STANDING = (Access.USER, Access.ADMIN)


class Authentication:
    """Reads policies, and asks the authenticator; while it streams to somebody whom it had to know, every `recheck_seconds` again."""

    def __init__(self, authenticator: Authenticator, *, recheck_seconds: float = RECHECK_SECONDS) -> None:
        self._authenticator = authenticator
        self._recheck_seconds = recheck_seconds

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        if method.behavior is None:
            proceed = _refusal(method)
        policy = method.policy
        if policy.access is Access.PUBLIC:
            return proceed
        if method.response_streaming and policy.access in _WHILE_STANDING:
            proceed = self._lasting(policy, proceed)
        authenticate = self._authenticator.authenticate

        async def layer(call: Call) -> Any:
            principal = await authenticate(call.metadata) or ANONYMOUS
            call.request.principal = principal
            authorize(principal, policy)
            return await proceed(call)

        return layer

    def _lasting(self, policy: Policy, proceed: Proceed) -> Proceed:
        authenticate, seconds = self._authenticator.authenticate, self._recheck_seconds

        async def layer(call: Call) -> Any:
            async def check() -> None:
                authorize(await authenticate(call.metadata) or ANONYMOUS, policy)

            return await while_standing(check, proceed(call), seconds)

        return layer


def authorize(principal: Principal, policy: Policy) -> None:
    """Raises Unauthenticated or PermissionDenied unless the policy lets the caller in."""
    access = policy.access
    if access is Access.PUBLIC:
        return
    kind = principal.kind
    if kind is Kind.ANONYMOUS:
        if access is not Access.OPTIONAL:
            raise Unauthenticated(
                "This call needs a credential. Log in and send `authorization: Bearer …`.",
                reason="CREDENTIAL_MISSING",
            )
        return
    if access is Access.USER and kind is Kind.SERVICE and not principal.user_id:
        raise _role_required("user", "a service that calls for a person says so in `x-on-behalf-of`")
    if access is Access.ADMIN and kind is not Kind.ADMIN:
        raise _role_required("admin", "it is for administrators")
    if access is Access.SERVICE and kind is not Kind.SERVICE:
        raise _role_required("service", "it is for the services of this deployment")
    if policy.scope and principal.scopes is not None and policy.scope not in principal.scopes:
        raise PermissionDenied(
            f"This API key lacks the scope {policy.scope}.",
            reason="SCOPE_REQUIRED",
            metadata={"scope": policy.scope},
        )


def _role_required(role: str, why: str) -> PermissionDenied:
    return PermissionDenied(
        f"This call needs the role {role}: {why}.", reason="ROLE_REQUIRED", metadata={"role": role}
    )


def _refusal(method: Method) -> Proceed:
    async def refuse(call: Call) -> Any:
        raise Unimplemented(
            f"{method.path} is part of the contract and not built yet.", metadata={"method": method.path}
        )

    return refuse
