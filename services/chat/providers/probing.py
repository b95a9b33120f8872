"""Asks a provider for the list of its models, to learn whether it can be asked at all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import aiohttp
import msgspec

from services.chat.providers.catalog import Endpoint

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


async def listed(endpoint: Endpoint, seconds: float) -> Listed:
    """What `GET …/models` answers within `seconds` (OpenAI's API). Never raises but when it is cancelled."""
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(
                endpoint.base_url.rstrip("/") + "/models", headers=headers, allow_redirects=False
            ) as response,
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
        return Listed(Answer.NONE, f"no answer within {seconds:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Listed(Answer.NONE, getattr(error, "strerror", None) or type(error).__name__)
    try:
        return Listed(
            Answer.LISTED, models=frozenset(model.id for model in msgspec.json.decode(body, type=_List).data)
        )
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Listed(Answer.UNLISTED, "what it says is no list of models")
