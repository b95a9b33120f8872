"""Asks a provider for the list of its models, to learn whether it can be asked at all; nothing that costs is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import aiohttp
import msgspec
from yarl import URL

from services.infra.http.words import why_unreached

_MOST_BYTES = 4 * 1024**2


class Answer(Enum):
    """What came of it: nobody answered, the key was refused, there is no such list, or the list."""

    NONE = "none"
    REFUSED = "refused"
    UNLISTED = "unlisted"
    LISTED = "listed"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a provider said. `detail` is for people; `models` are its own names."""

    answer: Answer
    detail: str = ""
    models: frozenset[str] = frozenset()


class _Model(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Model]


async def listed(base_url: str, key: str | None, seconds: float) -> Listed:
    """What `GET …/models` answers within `seconds` (OpenAI's API). Never raises but when it is cancelled."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with (
            _session(seconds) as session,
            session.get(base_url.rstrip("/") + "/models", headers=headers, allow_redirects=False) as response,
        ):
            if response.status in (401, 403):
                return Listed(Answer.REFUSED)
            if response.status != 200:
                return Listed(Answer.UNLISTED, f"HTTP {response.status}")
            # A provider may be anybody: what it says is read up to an end.
            body = await response.content.read(_MOST_BYTES)
            while len(body) < _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
                body += more
    except TimeoutError:
        return _silent(seconds)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Listed(Answer.NONE, why_unreached(error))
    try:
        return Listed(
            Answer.LISTED, models=frozenset(model.id for model in msgspec.json.decode(body, type=_List).data)
        )
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Listed(Answer.UNLISTED, "what it says is no list of models")


async def reached(base_url: str, seconds: float) -> Listed:
    """Whether anything answers at the address, within `seconds`; for those who have no list. It is asked for the headers of its first page, and
    gets neither a key nor a prompt. Never raises but when it is cancelled."""
    try:
        async with (
            _session(seconds) as session,
            session.head(URL(base_url).origin(), allow_redirects=False) as response,
        ):
            return Listed(Answer.UNLISTED, f"HTTP {response.status}")
    except TimeoutError:
        return _silent(seconds)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Listed(Answer.NONE, why_unreached(error))


def _session(seconds: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=seconds), cookie_jar=aiohttp.DummyCookieJar()
    )


def _silent(seconds: float) -> Listed:
    return Listed(Answer.NONE, f"no answer within {seconds:g} s")
