"""Counts calls by the account that their message names, where the RPC's class has such a limit: logins."""

from __future__ import annotations

from typing import Any

from services.kernel.limits import RateLimited
from services.runtime.call import Call, Method, Proceed
from services.runtime.interceptors.limits import tell


class AccountLimits:
    """Methods without such a limit pass through at no cost."""

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        limit = None if method.limit is None or method.internal else method.limit.account
        if limit is None:
            return proceed
        take, field = limit.take, limit.field

        async def layer(call: Call) -> Any:
            try:
                allowance = await take(call.request.address, getattr(call.message, field))
            except RateLimited as error:
                tell(call, error.allowance)
                raise
            if allowance is not None:
                tell(call, allowance)
            return await proceed(call)

        return layer
