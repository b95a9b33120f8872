"""A fork that a deletion overtakes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pytest

from services.chat.model import Session
from services.chat.ports import SessionStore
from services.chat.usecases.claiming import RequestClaims
from services.chat.usecases.sessions import ForkSession
from services.kernel.errors import NotFound
from services.kernel.ids import new_id
from services.kernel.principal import Kind, Principal


class OvertakenStore:
    """A store in which a session, or the message to fork at, goes before it is copied."""

    def __init__(self, *, session_goes: bool) -> None:
        self._goes = session_goes
        self._there = True

    async def session(self, session_id: str, user_id: str | None) -> Session | None:
        now = datetime.now(UTC)
        return Session(session_id, "u1", "t", "", "", "", False, now, now) if self._there else None

    async def fork_session(
        self, session: Session, message_id: str, claim: tuple[str, str, bytes] | None
    ) -> Session | None:
        self._there = not self._goes
        return None


@pytest.mark.parametrize(("session_goes", "what"), [(True, "chat.session"), (False, "chat.message")])
@pytest.mark.parametrize("request_id", ["", "0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11"])
async def test_what_is_gone_is_named(session_goes: bool, what: str, request_id: str) -> None:
    store = cast("SessionStore", OvertakenStore(session_goes=session_goes))
    fork = ForkSession(store, RequestClaims(b"k"))
    session_id, message_id = new_id(), new_id()
    with pytest.raises(NotFound) as refused:
        await fork(Principal(Kind.USER, "u1"), request_id, session_id, message_id, "")
    assert refused.value.resource is not None
    assert refused.value.resource.type == what
    assert refused.value.resource.name == (session_id if session_goes else message_id)
