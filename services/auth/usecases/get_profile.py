"""GetProfile."""

from __future__ import annotations

from services.auth.errors import AccountDisabled
from services.auth.model.accounts import User
from services.auth.ports.accounts import Accounts
from services.kernel.errors import NotFound
from services.kernel.principal import Principal


class GetProfile:
    """Tells callers who they are."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def __call__(self, caller: Principal) -> User:
        """The caller's account as it is now. Raises NotFound for people of a foreign issuer and deleted accounts, AccountDisabled."""
        user = await self._accounts.get(caller.user_id) if caller.user_id else None
        if user is None:
            raise NotFound.of("auth.user", caller.user_id)
        if user.disabled:
            raise AccountDisabled
        return user
