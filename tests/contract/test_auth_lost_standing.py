"""What a caller may do whose credential ends at the same moment, or by what it does: kept in memory and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from services.auth.errors import StandingLost
from services.auth.model.accounts import AccountChanges, Role
from services.auth.model.audit import Deed, Origin, Standing
from services.auth.model.sessions import NewSession
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.auth_stores import DAY, Stores, account, deed, digest


@dataclass
class Office:
    """An administrator who is logged in, another one, and Ana with a login of hers."""

    stores: Stores
    admin: str
    session: str
    ana: str
    login: str

    def deed(self, action: str, user_id: str = "") -> Deed:
        """What the administrator does."""
        origin = Origin(self.admin, "192.0.2.1", {}, Standing(self.session, administers=True))
        return Deed(action, user_id or self.ana, origin)

    async def update(self, user_id: str, by: Deed | None = None, **changes: Any) -> object:
        by = by or deed("user.update", user_id)
        return await self.stores.accounts.update(user_id, AccountChanges(**changes), by)


@pytest.fixture
async def office(stores: Stores) -> Office:
    await stores.add("root@example.com", role=Role.ADMIN)
    admin = (await stores.add("admin@example.com", role=Role.ADMIN)).user_id
    session = NewSession(new_id(), admin, digest("admin"), "", DAY)
    assert await stores.sessions.open(session, "hash-1", deed("user.login", admin)) is not None
    login = await stores.open("ana")
    return Office(stores, admin, session.session_id, login.user_id, login.session_id)


Doing = Callable[[Office], Awaitable[object]]
DEEDS: dict[str, Doing] = {
    "create": lambda office: office.stores.accounts.add(
        account("new@example.com", role=Role.ADMIN), office.deed("user.create")
    ),
    "update": lambda office: office.update(office.ana, office.deed("user.update"), role=Role.ADMIN),
    "rise": lambda office: office.update(
        office.admin, office.deed("user.update", office.admin), role=Role.ADMIN, disabled=False, username="me"
    ),
    "delete": lambda office: office.stores.accounts.delete(office.ana, office.deed("user.delete")),
    "end": lambda office: office.stores.sessions.end(office.ana, office.login, office.deed("session.revoke")),
    "password": lambda office: office.stores.sessions.change_password(
        office.admin, "hash-1", "hash-2", office.session, office.deed("user.change_password", office.admin)
    ),
}
LOSSES: dict[str, Doing] = {
    "disabled": lambda office: office.update(office.admin, disabled=True),
    "demoted": lambda office: office.update(office.admin, role=Role.USER),
    "deleted": lambda office: office.stores.accounts.delete(office.admin, deed("user.delete", office.admin)),
    "logged out": lambda office: office.stores.sessions.revoke(
        digest("admin"), Origin(office.admin, "192.0.2.1")
    ),
}


@pytest.mark.parametrize("doing", DEEDS)
@pytest.mark.parametrize("loss", LOSSES)
async def test_who_has_lost_the_right_to_it_changes_nothing(office: Office, doing: str, loss: str) -> None:
    await LOSSES[loss](office)
    stores = office.stores

    async def everything() -> object:
        people = await stores.accounts.list("", None, PageRequest(100))
        logins = await stores.sessions.list(office.ana, PageRequest(100))
        hashes = [await stores.accounts.with_id(user.user_id) for user in people.items]
        return people, logins, hashes, await stores.trail(), await stores.revoked()

    before = await everything()
    gone = loss == "deleted" and doing in ("rise", "password")
    if gone:
        assert not await DEEDS[doing](office)
    else:
        with pytest.raises(StandingLost):
            await DEEDS[doing](office)
    assert await everything() == before


@pytest.mark.parametrize("doing", DEEDS)
async def test_who_has_the_right_to_it_does_it(office: Office, doing: str) -> None:
    before = len(await office.stores.trail())
    assert await DEEDS[doing](office)
    assert len(await office.stores.trail()) == before + 1


async def test_people_may_end_what_they_call_with(office: Office) -> None:
    stores, admin = office.stores, office.admin
    assert await stores.sessions.end(admin, office.session, office.deed("session.revoke", admin))
    for last in ("demote", "disable", "delete"):
        await office.update(admin, role=Role.ADMIN, disabled=False)
        again = NewSession(new_id(), admin, digest(last), "", DAY)
        assert await stores.sessions.open(again, "hash-1", deed("user.login", admin)) is not None
        office.session = again.session_id
        by = office.deed("user.update", admin)
        if last == "delete":
            assert await stores.accounts.delete(admin, by)
        else:
            changes: dict[str, Any] = {"role": Role.USER} if last == "demote" else {"disabled": True}
            assert await office.update(admin, by, **changes)
    assert await stores.accounts.get(admin) is None
