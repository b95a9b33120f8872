"""The first start of a deployment, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.auth.errors import EmailTaken
from services.auth.model.accounts import Account, NewAccount, Role, folded
from services.auth.model.audit import COMMAND_LINE, Deed
from tests.fakes.auth_memory import Memory, MemoryAccounts


class MemorySetup:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._busy = False

    async def needs_administrator(self) -> bool:
        return not any(self._settled(account) for account in self._administrators())

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        first, self._busy = not self._busy, True
        try:
            yield first
        finally:
            if first:
                self._busy = False

    async def put_administrator(self, account: NewAccount) -> str | None:
        if not await self.needs_administrator():
            return None
        for earlier in self._administrators():
            user_id = earlier.user.user_id
            for other in self._memory.accounts.values():
                if other.user.user_id != user_id and folded(other.user.email) == folded(account.email):
                    raise EmailTaken
            user = dataclasses.replace(earlier.user, email=account.email)
            self._memory.accounts[user_id] = Account(user, account.password_hash)
            self._memory.deeds.append(Deed("user.reset_password", user_id, COMMAND_LINE))
            return user_id
        deed = Deed("user.create", account.user_id, COMMAND_LINE, {"role": account.role.value})
        await MemoryAccounts(self._memory).add(account, deed)
        self._memory.not_shown.add(account.user_id)
        return account.user_id

    async def password_was_shown(self, user_id: str) -> None:
        self._memory.not_shown.discard(user_id)

    def _administrators(self) -> list[Account]:
        return [account for account in self._memory.accounts.values() if account.user.role is Role.ADMIN]

    def _settled(self, account: Account) -> bool:
        return account.user.user_id not in self._memory.not_shown
