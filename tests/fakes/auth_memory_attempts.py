"""Failed logins in memory; they keep the promises of `services.auth.ports.sessions.LoginAttempts`, as the contract suite shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.auth.model.sessions import DelayRule, counted_address
from tests.fakes.auth_memory import Memory


@dataclass
class Failures:
    """A row of `login_failures`."""

    count: int
    failed_at: datetime
    delayed_until: datetime


class MemoryLoginAttempts:
    """Time is the memory's. Without numbers nothing is ever delayed."""

    def __init__(self, memory: Memory, free: int = 0, longest: float = 60.0) -> None:
        self._memory = memory
        self._rule = DelayRule(free, longest)
        self.failures: dict[str, Failures] = {}

    async def delay(self, account: str, address: str) -> float:
        return max((self._remaining(subject) for subject in self._subjects(account, address)), default=0.0)

    async def failed(self, account: str, address: str) -> float:
        if not self._rule.free:
            return 0.0
        held_up = await self.delay(account, address)
        now = self._memory.now()
        for subject in self._subjects(account, address):
            known = self.failures.get(subject)
            if known is not None and self._remaining(subject) > 0:
                continue
            forgotten = known is None or known.failed_at < now - timedelta(seconds=self._rule.memory)
            count = 1 if known is None or forgotten else known.count + 1
            delayed_until = now + timedelta(seconds=self._rule.delay(count))
            self.failures[subject] = Failures(count, now, delayed_until)
        return held_up

    async def succeeded(self, account: str, address: str) -> float:
        held_up = await self.delay(account, address)
        if held_up == 0:
            self.failures.pop(self._subjects(account, "")[0], None)
        return held_up

    async def forget(self, account: str) -> None:
        self.failures.pop(self._subjects(account, "")[0], None)

    def _subjects(self, account: str, address: str) -> list[str]:
        return [f"account:{account}"] + ([f"address:{counted_address(address)}"] if address else [])

    def _remaining(self, subject: str) -> float:
        known = self.failures.get(subject)
        return 0.0 if known is None else max(0.0, (known.delayed_until - self._memory.now()).total_seconds())
