"""Register."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

from services.auth.errors import RegistrationClosed
from services.auth.model.accounts import NewAccount, User, canonical_password, storable
from services.auth.model.audit import Deed, Origin
from services.auth.ports.accounts import Accounts, PasswordRules, Passwords
from services.capabilities.claims.model import Claim, body_digest
from services.kernel.errors import InvalidArgument
from services.kernel.ids import is_random_uuid, new_id

_CALLER = "auth.register"


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody registers with. Empty texts are absent."""

    email: str
    password: str = field(repr=False)
    username: str = ""
    display_name: str = ""
    request_id: str = ""


class Register:
    """Makes an account with the role `user`."""

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        rules: PasswordRules,
        *,
        claim_key: bytes,
        is_open: bool,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._rules = rules
        self._claim_key = claim_key
        self._is_open = is_open

    async def __call__(self, registration: Registration, origin: Origin) -> User:
        """The new account, or the one that the same `request_id` and body made before.

        Raises RegistrationClosed, InvalidArgument, EmailTaken, UsernameTaken, AlreadyExists (REQUEST_ID_REUSED) and
        PasswordsOverloaded.
        """
        if not self._is_open:
            raise RegistrationClosed
        self._rules.check("password", registration.password)
        claim = self._claim(registration)
        display_name = storable("display_name", registration.display_name)
        account = NewAccount(
            user_id=new_id(),
            email=registration.email.strip(),
            password_hash=await self._passwords.hash(canonical_password(registration.password)),
            username=registration.username,
            display_name=display_name,
        )
        # Who registers becomes who did it.
        deed = Deed("user.register", account.user_id, dataclasses.replace(origin, actor_id=account.user_id))
        return await self._accounts.add(account, deed, claim)

    def _claim(self, registration: Registration) -> Claim | None:
        if not registration.request_id:
            return None
        # Nobody has logged in, so all callers share one name, and an id that can be guessed could be another's.
        if not is_random_uuid(registration.request_id):
            raise InvalidArgument.field("request_id", "must be a random UUID (version 4) here")
        body = [registration.email, registration.password, registration.username, registration.display_name]
        digest = body_digest(self._claim_key, json.dumps(body).encode())
        return Claim(_CALLER, registration.request_id, digest)
