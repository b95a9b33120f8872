"""What went wrong, in the words of whoever sits at the command line, and what to do about it."""

from __future__ import annotations

import os

from antiphon_client.errors import AntiphonError, Unreachable

_ENDED = frozenset(
    {"TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_REVOKED", "REFRESH_TOKEN_REUSED", "API_KEY_INVALID"}
)
_ADVICE = {
    "CREDENTIAL_MISSING": "Log in first: antiphon login EMAIL",
    "EMAIL_TAKEN": "Log in with it: antiphon login EMAIL",
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
    if error.reason in _ENDED and not os.environ.get("ANTIPHON_TOKEN"):
        lines.append("Log in again: antiphon login EMAIL (or go on without an account: antiphon logout)")
    elif error.reason == "MODEL_NOT_READY" and error.metadata.get("detail"):
        lines.append(error.metadata["detail"])
    elif error.reason in _ADVICE:
        lines.append(_ADVICE[error.reason])
    if error.retry_after:
        lines.append(f"Try again in {error.retry_after:.0f} s." if error.retry_after >= 1 else "Try again.")
    if error.code.name in ("INTERNAL", "UNKNOWN") and error.request_id:
        lines.append(f"The server's log has the details under the request id {error.request_id}.")
    return "\n".join(lines)


def _cause_of(error: AntiphonError) -> str:
    # A refused connection explains itself; a certificate that is not trusted does not.
    for sign in ("CERTIFICATE", "certificate", "SSL", "handshake", "DNS"):
        if sign in error.message:
            return f"\n{error.message}"
    return ""
