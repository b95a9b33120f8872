"""Counts calls by their caller, refuses those past the limit, and tells how many are left in `ratelimit-*` trailing metadata."""

from __future__ import annotations

import math
from typing import Any

from services.kernel.limits import Allowance, RateLimited
from services.runtime.call import Call, Method, Proceed

LIMIT = "ratelimit-limit"
REMAINING = "ratelimit-remaining"
RESET = "ratelimit-reset"


class Limits:
    """Methods without a limit pass through at no cost. Others may wait for the answer of whoever counts."""

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        limit = method.limit
        if limit is None or method.internal:
            return proceed
        take = limit.take

        async def layer(call: Call) -> Any:
            request = call.request
            try:
                allowance = await take(request.principal, request.address)
            except RateLimited as error:
                tell(call, error.allowance)
                raise
            if allowance is not None:
                tell(call, allowance)
            return await proceed(call)

        return layer


def tell(call: Call, allowance: Allowance) -> None:
    """Add to the call's trailing metadata where its caller stands; the reset is in whole seconds, none too few."""
    call.trailing = (
        *call.trailing,
        (LIMIT, str(allowance.limit)),
        (REMAINING, str(allowance.remaining)),
        (RESET, str(math.ceil(allowance.reset_after))),
    )
    call.context.set_trailing_metadata(call.trailing)
