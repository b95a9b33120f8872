"""What an operator does to Auth from the command line of the server, past the RPCs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta

from services.auth.model.signing_keys import KeyRecord, Rotation
from services.auth.providers.keys import SEALING_PURPOSE, SealedKeys
from services.auth.providers.password_rules import AnyPassword, CommonPasswords
from services.auth.providers.passwords import Argon2Passwords
from services.auth.stores.accounts import SqlAccounts
from services.auth.stores.login_attempts import SqlLoginAttempts
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.sessions import SqlSessions
from services.auth.stores.signing_keys import SqlSigningKeys
from services.auth.usecases.reset_password import NewPassword, ResetPassword
from services.auth.usecases.rotate_signing_keys import RotateSigningKeys
from services.capabilities.identity.propagation import LEARNT_SECONDS
from services.infra.postgres.database import Database
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.settings import AuthSettings


async def reset_password(
    database: Database,
    secret: DeploymentSecret,
    settings: AuthSettings,
    who: str,
    password: str | None = None,
) -> NewPassword:
    """Set the password of an account, named by e-mail or id, end its login sessions in every process, and give the password: the
    given one, or a random one to be shown once. Needs an open database that has its schema, and the deployment's own secret.

    Raises NotFound for an unknown account, InvalidArgument for a password that is not allowed, and Unavailable.
    """
    revocations = SqlRevocations(database, timedelta(seconds=settings.access_token_ttl))
    attempts = SqlLoginAttempts(
        database,
        secret.derive("auth.login-attempts"),
        settings.login_failures,
        settings.login_delay,
    )
    with closing(Argon2Passwords(workers=1, queue=1)) as passwords:
        reset = ResetPassword(
            SqlAccounts(database, revocations),
            SqlSessions(database, revocations),
            passwords,
            CommonPasswords() if settings.refuse_common_passwords else AnyPassword(),
            attempts,
        )
        return await reset(who, password)


async def signing_keys(database: Database, settings: AuthSettings) -> Sequence[KeyRecord]:
    """Every signing key in the database, the next one first. Raises StartupError when the keys are the operator's, and Unavailable."""
    _require_stored_keys(settings)
    return await SqlSigningKeys(database).records()


async def rotate_signing_keys(
    database: Database,
    secret: DeploymentSecret,
    settings: AuthSettings,
    *,
    leaked: bool,
    waits: Callable[[float], None],
) -> Rotation:
    """See `RotateSigningKeys`. Raises StartupError when the keys are the operator's, too."""
    _require_stored_keys(settings)
    rotate = RotateSigningKeys(
        SqlSigningKeys(database),
        SealedKeys(secret.derive(SEALING_PURPOSE)),
        minimum_age=timedelta(seconds=LEARNT_SECONDS),
    )
    return await rotate(leaked=leaked, waits=waits)


def _require_stored_keys(settings: AuthSettings) -> None:
    if settings.private_key_path is not None:
        raise StartupError(
            f"Access tokens are signed with your own key, {settings.private_key_path}; the database keeps none for it.",
            "To rotate it: add the next key's public half to the file of JWT_PUBLIC_KEY_PATH and restart every replica;\n"
            "then have JWT_PRIVATE_KEY_PATH name the next key, keep both public halves there, and restart again.",
        )
