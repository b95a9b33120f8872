"""The classes of limits, and whom a call counts to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import AddressValueError, IPv6Address

from services.kernel.principal import Principal

WINDOW_SECONDS = 60.0
"""A window begins with a caller's first call."""

CALLS_PER_ADDRESS = 20
"""How many times an account's number of calls all accounts together may have from one address."""

_NETWORK_BITS = 64


class By(Enum):
    """What calls of a class are counted by. Callers without a credential are told apart by their address."""

    CALLER = "caller"
    ADDRESS = "address"
    ADDRESS_AND_ACCOUNT = "address and account"


@dataclass(frozen=True, slots=True)
class LimitClass:
    """A class of RPCs. `fails_open` says whether calls pass when they can't be counted; `account_field` is the field of requests that
    names the account, where that counts too."""

    name: str
    by: By
    fails_open: bool
    account_field: str = ""

    def __post_init__(self) -> None:
        if (self.by is By.ADDRESS_AND_ACCOUNT) is not bool(self.account_field):
            raise ValueError("exactly what counts by account has a field for it")


CLASSES = {
    limit_class.name: limit_class
    for limit_class in (
        # Guessing passwords and making accounts in bulk are not to become possible by the database being away.
        LimitClass("register", By.ADDRESS, fails_open=False),
        LimitClass("login", By.ADDRESS_AND_ACCOUNT, fails_open=False, account_field="email"),
        LimitClass("refresh", By.ADDRESS, fails_open=True),
        LimitClass("default", By.CALLER, fails_open=True),
        LimitClass("admin", By.CALLER, fails_open=True),
        LimitClass("chat", By.CALLER, fails_open=True),
        LimitClass("image", By.CALLER, fails_open=True),
        LimitClass("speech", By.CALLER, fails_open=True),
    )
}
"""All that the contract may name."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Calls that a window allows, to those who are known and to those who are not; 0: any number."""

    known: int
    anonymous: int


@dataclass(frozen=True, slots=True)
class Count:
    """What became of a call: whether it was let in, how many more the window takes, and seconds until a new one may begin."""

    allowed: bool
    remaining: int
    reset_after: float


def known_caller(principal: Principal) -> tuple[str, str]:
    """What the calls of somebody known are counted under, and as what; both empty for the anonymous, and for services that act for
    nobody."""
    if principal.api_key_id:
        return f"key:{principal.api_key_id}", "API key"
    if principal.user_id:
        return f"user:{principal.user_id}", "user"
    return "", ""


class Networks:
    """From addresses to what is counted: IPv6 by the /64, of which one subscriber has all; remembers the last ones."""

    _REMEMBERED = 1000

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, address: str) -> str:
        """The network, or the address itself where it is no IPv6."""
        if ":" not in address:
            return address
        found = self._known.get(address)
        if found is None:
            if len(self._known) >= self._REMEMBERED:
                self._known.clear()
            found = self._known[address] = _network(address)
        return found


def _network(address: str) -> str:
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    host_bits = 128 - _NETWORK_BITS
    return f"{IPv6Address(int(parsed) >> host_bits << host_bits)}/{_NETWORK_BITS}"
