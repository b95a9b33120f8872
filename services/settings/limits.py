"""Rate limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.settings.kinds import setting, whole


def _calls(default: int, of_what: str) -> Any:
    return setting(whole(0, 1_000_000_000), default, f"{of_what}; 0: no limit.")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How many calls a caller may make in a minute, by class of RPC."""

    register: int = _calls(3, "Registrations a minute, per address")
    login: int = _calls(5, "Logins a minute, per address and account, and 20 times as many per address")
    refresh: int = _calls(60, "Refreshes and logouts a minute, per address")
    default: int = _calls(600, "Calls a minute of RPCs without a class of their own, per caller")
    admin: int = _calls(100, "Calls a minute of administrators' RPCs, per caller")
    chat: int = _calls(60, "Answers of Chat a minute, per caller")
    chat_anonymous: int = _calls(10, "The same without a credential, per address")
    image: int = _calls(10, "Calls a minute that make images, however many each, per caller")
    image_anonymous: int = _calls(2, "The same without a credential, per address")
    speech: int = _calls(20, "Conversions to speech a minute, per caller")
    speech_anonymous: int = _calls(4, "The same without a credential, per address")
