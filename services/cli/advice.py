"""What went wrong, in the words of whoever sits at the command line, and what to do about it."""

from __future__ import annotations

import math
import os

from antiphon_client.errors import AntiphonError, Unreachable

_ENDED = frozenset(
    {"TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_REVOKED", "REFRESH_TOKEN_REUSED", "API_KEY_INVALID"}
)
_ADVICE = {
    "CREDENTIAL_MISSING": "Log in first: antiphon login EMAIL",
    "EMAIL_TAKEN": "Log in with it: antiphon login EMAIL",
    "LAST_ADMINISTRATOR": "Make another administrator first: antiphon users set-role EMAIL admin",
    "API_KEY_ENDED": "Make a new one: antiphon keys create NAME --scope SCOPE",
    "MODEL_NOT_FOUND": "`antiphon models` lists the models.",
    "MODEL_NOT_READY": "`antiphon models` shows which models are ready.",
    "GENERATION_INTERRUPTED": "What you see was kept; ask again for another answer.",
    "SESSION_BUSY": "Wait until the other answer is finished, or cancel it.",
    "PROVIDER_CREDENTIAL": "The operator of the server has to look after the provider's key.",
}


def message_of(error: AntiphonError, server: str) -> str:
    """What happened, on one line."""
    if isinstance(error, Unreachable):
        return f"no server answers at {server}" if server else error.message
    if error.reason in _ENDED:
        if os.environ.get("ANTIPHON_TOKEN"):
            return f"ANTIPHON_TOKEN is not accepted by {server}: {error.message}"
        return f"the login session at {server} has ended: {error.message}"
    return error.message


def advice_on(error: AntiphonError, server: str) -> str:
    """What to do about it; may be empty, may have several lines."""
    if isinstance(error, Unreachable):
        return (
            "Is it running? `make run` starts one here; --server or ANTIPHON_SERVER names another."
            + _cause_of(error)
        )
    lines = [
        f"{each.field}: {each.description}" for each in error.violations if each.field not in error.message
    ]
    if error.reason in _ENDED:
        lines.append(_renewal_of_access())
    elif error.reason == "SCOPE_REQUIRED":
        lines.append(_way_to_scope(error.metadata.get("scope", "SCOPE")))
    elif error.reason == "ROLE_REQUIRED":
        lines.append(
            f"It takes the role {error.metadata.get('role', 'admin')}; `antiphon whoami` shows yours."
        )
    elif error.reason == "MODEL_NOT_READY" and error.metadata.get("detail"):
        lines.append(error.metadata["detail"])
    elif error.reason in _ADVICE:
        lines.append(_ADVICE[error.reason])
    if error.retry_after is not None and "try again in" not in error.message:
        # Rounded up: a second too early is too early.
        lines.append(
            f"Try again in {math.ceil(error.retry_after)} s." if error.retry_after >= 1 else "Try again."
        )
    if error.code.name in ("INTERNAL", "UNKNOWN") and error.request_id:
        lines.append(f"The server's log has the details under the request id {error.request_id}.")
    return "\n".join(lines)


def _renewal_of_access() -> str:
    if os.environ.get("ANTIPHON_TOKEN"):
        return "Set ANTIPHON_TOKEN to a good key (antiphon keys create), or unset it and log in."
    return "Log in again: antiphon login EMAIL (or go on without an account: antiphon logout)"


def _way_to_scope(scope: str) -> str:
    if os.environ.get("ANTIPHON_TOKEN"):
        return f"Use a key that has it (antiphon keys create NAME --scope {scope}), or unset ANTIPHON_TOKEN and log in."
    return f"Only administrators can give a key the scope {scope}."


def _cause_of(error: AntiphonError) -> str:
    # A refused connection explains itself; a certificate that is not trusted does not.
    for sign in ("CERTIFICATE", "certificate", "SSL", "handshake", "DNS"):
        if sign in error.message:
            return f"\n{error.message}"
    return ""
