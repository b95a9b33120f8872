"""What administrators do with accounts, and people with their own, over stores in memory."""

from __future__ import annotations

import uuid

import pytest

from services.auth.errors import EmailTaken, LastAdministrator
from services.auth.model.accounts import AccountChanges, NewAccount, Role, User
from services.auth.model.audit import COMMAND_LINE, Deed, Origin
from services.auth.providers.password_rules import CommonPasswords
from services.auth.usecases.accounts import (
    CreateUser,
    DeleteUser,
    GetUser,
    ListUsers,
    NewUser,
    UpdateProfile,
    UpdateUser,
)
from services.auth.usecases.audit import ListAuditEvents
from services.kernel.errors import AlreadyExists, InvalidArgument, NotFound
from services.kernel.ids import new_id
from services.kernel.paging import PageTokens
from services.kernel.principal import Kind, Principal
from tests.fakes.auth_memory import Memory, MemoryAccounts, MemoryAuditTrail, PlainPasswords

PASSWORD = "correct horse"


class Office:
    """An administrator, and what administrators can do."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.accounts = accounts = MemoryAccounts(self.memory)
        self.caller = Principal(Kind.ADMIN, user_id=new_id(), session_id=new_id())
        self.origin = Origin(self.caller.user_id, "192.0.2.1")
        tokens = PageTokens(b"k" * 32)
        self.list = ListUsers(accounts, tokens)
        self.get = GetUser(accounts)
        self._create = CreateUser(accounts, PlainPasswords(), CommonPasswords(), b"c" * 32)
        self.update = UpdateUser(accounts)
        self.update_profile = UpdateProfile(accounts)
        self.delete = DeleteUser(accounts)
        self.audit = ListAuditEvents(MemoryAuditTrail(self.memory), tokens)

    async def open(self) -> None:
        deed = Deed("user.create", self.caller.user_id, COMMAND_LINE)
        account = NewAccount(self.caller.user_id, "admin@example.com", "hash", role=Role.ADMIN)
        await self.accounts.add(account, deed)

    async def create(self, email: str = "ana@example.com", role: Role = Role.USER, **more: str) -> User:
        new = NewUser(email, role, more.get("password", PASSWORD), more.get("request_id", ""))
        return await self._create(self.caller, new, self.origin)

    @property
    def last(self) -> Deed:
        return self.memory.deeds[-1]


@pytest.fixture
async def office() -> Office:
    made = Office()
    await made.open()
    return made


async def test_an_account_is_made_with_its_role(office: Office) -> None:
    made = await office.create(" svc@example.com ", Role.SERVICE)
    assert (made.email, made.role) == ("svc@example.com", Role.SERVICE)
    assert await office.get(made.user_id.upper()) == made
    assert office.last == Deed("user.create", made.user_id, office.origin, {"role": "service"})
    with pytest.raises(EmailTaken):
        await office.create("SVC@example.com")


async def test_making_one_again_with_the_same_request_id_gives_the_same_account(office: Office) -> None:
    request_id = str(uuid.uuid4())
    assert await office.create(request_id=request_id) == await office.create(request_id=request_id)
    with pytest.raises(AlreadyExists) as reused:
        await office.create(role=Role.ADMIN, request_id=request_id)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    assert PASSWORD.encode() not in b"".join(digest for digest, _ in office.memory.claims.values())


async def test_an_administrator_cannot_give_a_common_password_either(office: Office) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await office.create(password="Password1")
    assert [violation.field for violation in refused.value.violations] == ["password"]
    assert len(office.memory.accounts) == 1


async def test_a_page_token_is_good_for_its_list_alone(office: Office) -> None:
    for number in range(3):
        await office.create(f"{number}@example.com")
    page, token = await office.list("example", Role.USER, 2, "", 0)
    assert ([user.email for user in page.items], page.total_size) == (["2@example.com", "1@example.com"], 3)
    rest, end = await office.list("example", Role.USER, 2, token, 0)
    assert ([user.email for user in rest.items], end) == (["0@example.com"], "")
    for query, role in (("exampl", Role.USER), ("example", None), ("example", Role.ADMIN)):
        with pytest.raises(InvalidArgument) as foreign:
            await office.list(query, role, 2, token, 0)
        assert foreign.value.reason == "INVALID_PAGE_TOKEN"
    with pytest.raises(InvalidArgument):
        await office.audit("", 2, token, 0)


async def test_the_trail_tells_what_was_changed_and_names_nobody(office: Office) -> None:
    ana = await office.create()
    changes = AccountChanges(username="ana", display_name="Ana B", role=Role.ADMIN, disabled=True)
    changed = await office.update(ana.user_id.upper(), changes, office.origin)
    assert (changed.username, changed.display_name, changed.role, changed.disabled) == (
        "ana",
        "Ana B",
        Role.ADMIN,
        True,
    )
    told = {"fields": "username, display_name", "role": "admin", "disabled": "true"}
    assert office.last == Deed("user.update", ana.user_id, office.origin, told)


@pytest.mark.parametrize(
    "username", ["ab", "-ana", "a b c", "ana@example", "ñandú", "a" * 33, "ana\n", "a\0na"]
)
async def test_a_username_is_written_as_usernames_are(office: Office, username: str) -> None:
    ana = await office.create()
    with pytest.raises(InvalidArgument, match="beginning with a letter or a digit") as refused:
        await office.update(ana.user_id, AccountChanges(username=username), office.origin)
    assert [violation.field for violation in refused.value.violations] == ["user.username"]


@pytest.mark.parametrize("name", ["x" * 129, "a\0b"])
async def test_a_display_name_is_short_and_storable(office: Office, name: str) -> None:
    ana = await office.create()
    with pytest.raises(InvalidArgument) as refused:
        await office.update(ana.user_id, AccountChanges(display_name=name), office.origin)
    assert [violation.field for violation in refused.value.violations] == ["user.display_name"]
    assert (
        await office.update(ana.user_id, AccountChanges(display_name="x" * 128), office.origin)
    ) is not None


async def test_people_change_their_own_names_and_not_their_role(office: Office) -> None:
    ana = await office.create()
    caller = Principal(Kind.USER, user_id=ana.user_id, session_id=new_id())
    origin = Origin(ana.user_id, "192.0.2.2")
    wished = AccountChanges(username="ana", display_name="Ana", role=Role.ADMIN, disabled=True)
    changed = await office.update_profile(caller, wished, origin)
    assert (changed.username, changed.display_name) == ("ana", "Ana")
    assert (changed.role, changed.disabled) == (Role.USER, False)
    assert office.last == Deed("user.update", ana.user_id, origin, {"fields": "username, display_name"})
    stranger = Principal(Kind.USER, user_id=str(uuid.uuid5(uuid.NAMESPACE_URL, "a foreign person")))
    with pytest.raises(NotFound):
        await office.update_profile(stranger, AccountChanges(display_name="Eve"), origin)


async def test_who_is_gone_is_not_found(office: Office) -> None:
    ana = await office.create()
    await office.delete(ana.user_id.upper(), office.origin)
    assert office.last == Deed("user.delete", ana.user_id, office.origin)
    for call in (
        office.get(ana.user_id),
        office.update(ana.user_id, AccountChanges(disabled=True), office.origin),
        office.delete(ana.user_id, office.origin),
    ):
        with pytest.raises(NotFound) as gone:
            await call
        assert gone.value.resource is not None
        assert (gone.value.resource.type, gone.value.resource.name) == ("auth.user", ana.user_id)


async def test_an_administrator_alone_stays(office: Office) -> None:
    for changes in (AccountChanges(role=Role.USER), AccountChanges(disabled=True)):
        with pytest.raises(LastAdministrator):
            await office.update(office.caller.user_id, changes, office.origin)
    with pytest.raises(LastAdministrator, match="make another one first"):
        await office.delete(office.caller.user_id, office.origin)


async def test_the_trail_of_an_account_is_read_by_pages(office: Office) -> None:
    ana = await office.create()
    for name in ("A", "B"):
        await office.update(ana.user_id, AccountChanges(display_name=name), office.origin)
    page, token = await office.audit(ana.user_id.upper(), 2, "", 0)
    assert [line.action for line in page.items] == ["user.update", "user.update"]
    rest, end = await office.audit(ana.user_id, 2, token, 0)
    assert ([line.action for line in rest.items], end) == (["user.create"], "")
    with pytest.raises(InvalidArgument):
        await office.audit("", 2, token, 0)
