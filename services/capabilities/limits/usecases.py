"""Whether a call is within its caller's limit."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping

from services.capabilities.limits.model import CLASSES, By, LimitClass, Networks, Numbers, known_caller
from services.capabilities.limits.ports import Counters, Tally
from services.kernel.errors import QuotaViolation, Unavailable
from services.kernel.limits import Allowance, Limit, RateLimited
from services.kernel.names import folded
from services.kernel.principal import Kind, Principal
from services.kernel.startup import StartupError

# An e-mail is shorter. A longer text breaks the request's rules later on, and is not to cost much before that.
_ACCOUNT_CHARACTERS = 320
_ACCOUNT_BYTES = 16


class ClassLimits:
    """The kernel's RateLimits for one service, over one place that counts."""

    def __init__(self, counters: Counters, numbers: Mapping[str, Numbers], key: bytes, tally: Tally) -> None:
        """`numbers` by class. Accounts are stored as their HMAC under `key`, which all replicas share: who reads the counts learns no
        e-mail, and can't test whether one is among them."""
        self._counters = counters
        self._numbers = numbers
        self._key = key
        self._tally = tally
        self._networks = Networks()

    def of(self, name: str) -> Limit | None:
        """See `services.kernel.limits.RateLimits`."""
        limit_class, numbers = CLASSES.get(name), self._numbers.get(name)
        if limit_class is None or numbers is None:
            raise StartupError(
                f"The contract names a class of rate limits that is not known: {name!r}.",
                f"The classes are {', '.join(CLASSES)}; a new one is declared in services/capabilities/limits/model.py.",
            )
        if not numbers.known and not numbers.anonymous:
            return None
        return _ClassLimit(limit_class, numbers, self._counters, self._networks, self._key, self._tally)


class _ClassLimit:
    def __init__(
        self,
        limit_class: LimitClass,
        numbers: Numbers,
        counters: Counters,
        networks: Networks,
        key: bytes,
        tally: Tally,
    ) -> None:
        self.account_field = limit_class.account_field
        self._class = limit_class
        self._name = limit_class.name
        self._numbers = numbers
        self._count = counters.take
        self._networks = networks
        self._key = key
        self._tally = tally

    async def take(self, principal: Principal, address: str, account: str = "") -> Allowance | None:
        """See `services.kernel.limits.Limit`."""
        caller = subject = ""
        if self._class.by is By.CALLER:
            caller, subject = known_caller(principal)
            if not caller and principal.kind is Kind.SERVICE:
                return None
        number = self._numbers.known if caller else self._numbers.anonymous
        if not number:
            return None
        if not caller:
            caller, subject = self._unknown_caller(address, account)
        try:
            count = await self._count(self._name, caller, number)
        except Unavailable as error:
            self._uncounted(error)
            return None
        allowance = Allowance(number, count.remaining, count.reset_after)
        if not count.allowed:
            self._tally.refused(self._name)
            raise self._refusal(subject, allowance)
        return allowance

    def _unknown_caller(self, address: str, account: str) -> tuple[str, str]:
        network = self._networks.of(address)
        if self._class.by is not By.ADDRESS_AND_ACCOUNT:
            return f"address:{network}", "address"
        name = folded(account[:_ACCOUNT_CHARACTERS]).encode(errors="replace")
        digest = hmac.digest(self._key, name, hashlib.sha256)[:_ACCOUNT_BYTES]
        return f"address:{network} account:{digest.hex()}", "address and account"

    def _uncounted(self, error: Unavailable) -> None:
        passed = self._class.fails_open
        self._tally.uncounted(self._name, passed=passed)
        if not passed:
            raise Unavailable(
                "Calls of this kind can't be counted now, and may not pass uncounted; try again.",
                retry_after=error.retry_after or 1.0,
            ) from error

    def _refusal(self, subject: str, allowance: Allowance) -> RateLimited:
        calls = "1 call" if allowance.limit == 1 else f"{allowance.limit} calls"
        seconds = math.ceil(allowance.reset_after * 10) / 10
        return RateLimited(
            f"This {subject} may make {calls} of the class {self._name} per minute, and has; try again in {seconds:.1f} s.",
            name=self._name,
            quota=QuotaViolation(subject, f"{self._name}: {calls} per minute"),
            allowance=allowance,
        )
