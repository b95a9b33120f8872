"""Whether a call is within its caller's limit."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping

from services.capabilities.limits.model import (
    CALLS_PER_ADDRESS,
    CLASSES,
    By,
    LimitClass,
    Networks,
    Numbers,
    known_caller,
)
from services.capabilities.limits.ports import Counters, Tally
from services.kernel.errors import QuotaViolation, Unavailable
from services.kernel.limits import AccountLimit, Allowance, Limit, RateLimited
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
        counting = _Counting(limit_class, self._counters, self._tally)
        if limit_class.by is By.ADDRESS_AND_ACCOUNT:
            return _AddressLimit(counting, numbers.anonymous, self._networks, self._key)
        return _CallerLimit(counting, numbers, self._networks)


class _CallerLimit:
    """What counts by caller, or by address whoever calls."""

    account: AccountLimit | None = None

    def __init__(self, counting: _Counting, numbers: Numbers, networks: Networks) -> None:
        self._count = counting.count
        self._by_caller = counting.limit_class.by is By.CALLER
        self._name = counting.limit_class.name
        self._numbers = numbers
        self._networks = networks

    async def take(self, principal: Principal, address: str) -> Allowance | None:
        """See `services.kernel.limits.Limit`."""
        caller = subject = ""
        if self._by_caller:
            caller, subject = known_caller(principal)
            if not caller and principal.kind is Kind.SERVICE:
                return None
        number = self._numbers.known if caller else self._numbers.anonymous
        if not number:
            return None
        if not caller:
            caller, subject = f"address:{self._networks.of(address)}", "address"
        return await self._count(self._name, caller, subject, number)


class _AddressLimit:
    """All accounts of an address together, in front of what counts by account: else whoever makes up accounts would have as many
    windows as it likes."""

    def __init__(self, counting: _Counting, number: int, networks: Networks, key: bytes) -> None:
        self.account: AccountLimit | None = _AccountLimit(counting, number, networks, key)
        self._count = counting.count
        # A class of its own among the counts, so that the windows of accounts never push out this one.
        self._name = f"{counting.limit_class.name} address"
        self._number = CALLS_PER_ADDRESS * number
        self._networks = networks

    async def take(self, principal: Principal, address: str) -> Allowance | None:
        """See `services.kernel.limits.Limit`."""
        await self._count(self._name, f"address:{self._networks.of(address)}", "address", self._number)
        return None


class _AccountLimit:
    def __init__(self, counting: _Counting, number: int, networks: Networks, key: bytes) -> None:
        self.field = counting.limit_class.account_field
        self._count = counting.count
        self._name = counting.limit_class.name
        self._number = number
        self._networks = networks
        self._key = key

    async def take(self, address: str, account: str) -> Allowance | None:
        """See `services.kernel.limits.AccountLimit`."""
        name = folded(account[:_ACCOUNT_CHARACTERS]).encode(errors="replace")
        digest = hmac.digest(self._key, name, hashlib.sha256)[:_ACCOUNT_BYTES]
        caller = f"address:{self._networks.of(address)} account:{digest.hex()}"
        return await self._count(self._name, caller, "address and account", self._number)


class _Counting:
    """What becomes of a call of one class."""

    def __init__(self, limit_class: LimitClass, counters: Counters, tally: Tally) -> None:
        self.limit_class = limit_class
        self._name = limit_class.name
        self._take = counters.take
        self._tally = tally

    async def count(self, name: str, caller: str, subject: str, number: int) -> Allowance | None:
        """Count a call of `caller`, a `subject`, under `name`; None when that can't be done now and the call passes.

        Raises RateLimited, and Unavailable when it must not pass.
        """
        try:
            count = await self._take(name, caller, number)
        except Unavailable as error:
            self._uncounted(error)
            return None
        allowance = Allowance(number, count.remaining, count.reset_after)
        if not count.allowed:
            self._tally.refused(self._name)
            raise self._refusal(subject, allowance)
        return allowance

    def _uncounted(self, error: Unavailable) -> None:
        passed = self.limit_class.fails_open
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
