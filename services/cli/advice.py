"""What went wrong, in the words of whoever sits at the command line, and what to do about it."""

from __future__ import annotations

import math
import os

from antiphon_client.errors import AntiphonError, NotFound, Unimplemented, Unreachable
from services.cli.called import called
from services.cli.tls import failure_of, perhaps_tls

_ENDED = frozenset(
    {"TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_REVOKED", "REFRESH_TOKEN_REUSED", "API_KEY_INVALID"}
)
_PROVIDER_IS_AWAY = (
    "PROVIDER_UNAVAILABLE",
    "PROVIDER_TIMEOUT",
    "PROVIDER_PROTOCOL",
    "PROVIDER_RATE_LIMITED",
)
_ADVICE = {
    "CREDENTIAL_MISSING": "Log in first: antiphon login EMAIL",
    "EMAIL_TAKEN": "Log in with it: antiphon login EMAIL",
    "LAST_ADMINISTRATOR": "Make another administrator first: antiphon users set-role EMAIL admin",
    "TOO_MANY_API_KEYS": "See which of them nobody uses: antiphon keys list; and end it: antiphon keys revoke KEY_ID",
    "API_KEY_ENDED": "Make a new one: antiphon keys create NAME --scope SCOPE",
    "MODEL_NOT_FOUND": "`antiphon models` lists the models.",
    "MODEL_NOT_READY": "`antiphon models` shows which models are ready.",
    "GENERATION_INTERRUPTED": "What you see was kept; ask again for another answer.",
    "CONTEXT_TOO_LONG": "Ask with a shorter text, or a model with a larger window: antiphon models",
    "EVENTS_PRUNED": "The chat session still has what was answered: antiphon chats show SESSION",
    "SESSION_BUSY": "Wait until the other answer is finished, or cancel it.",
    "RECONCILE_RUNNING": "Try again when it is done.",
    "SERVICE_UNKNOWN": "The operator of the server has to set its address: ANTIPHON_PEERS__…",
    "PROVIDER_CREDENTIAL": "The operator of the server has to look after the provider's key.",
    **dict.fromkeys(_PROVIDER_IS_AWAY, "Another model may answer: antiphon models"),
}
# What differs where images are made.
_ADVICE_ON_IMAGES = {
    "MODEL_NOT_FOUND": "`antiphon image models` lists the models.",
    "MODEL_NOT_READY": "`antiphon image models` shows which models are ready.",
    "UNSUPPORTED_INPUT": "`antiphon image models` shows what each model takes.",
    "GENERATION_INTERRUPTED": "Nothing was kept; generate it again.",
    "IMAGE_UNUSABLE": "Generate it again, or have another model make it: antiphon image models",
    "IMAGES_NOT_STORED": "The operator of the server has to look after its object store.",
    **dict.fromkeys(_PROVIDER_IS_AWAY, "Another model may make it: antiphon image models"),
}
# What differs where texts are spoken.
_ADVICE_ON_SPEECH = {
    "MODEL_NOT_FOUND": "`antiphon speech models` lists the models.",
    "MODEL_NOT_READY": "`antiphon speech models` shows which models are ready.",
    "VOICE_NOT_FOUND": "`antiphon speech voices` lists the voices; -l TAG those of a language.",
    "UNSUPPORTED_INPUT": "`antiphon speech models` shows what each model takes.",
    "GENERATION_INTERRUPTED": "Nothing was kept; say it again.",
    "ENGINE_STOPPED": "Nothing was kept; say it again, or have another model speak it: antiphon speech models",
    "AUDIO_UNUSABLE": "Say it again, or have another model speak it: antiphon speech models",
    "AUDIO_NOT_STORED": "The operator of the server has to look after its object store.",
    "TOO_LONG": "Nothing was kept. Send it in parts, such as chapters, or have it spoken faster: --rate 1.5",
    **dict.fromkeys(_PROVIDER_IS_AWAY, "Another model may speak it: antiphon speech models"),
}
_ADVICE_IN = {"image": _ADVICE_ON_IMAGES, "speech": _ADVICE_ON_SPEECH}
# The provider would name such an address again.
_ON_ADDRESSES = (
    "The operator of the server lists the provider's own origin in `image_origins` (docs/image-models.md)."
)
# What gRPC says of a name without an address.
_NO_SUCH_HOST = ("DNS resolution failed", "Name resolution", "Domain name not found", "name resolution")

# What a resource is called at the command line, and where its ids are.
_THINGS = {
    "auth.user": ("account", "`antiphon users list` shows them all."),
    "auth.api_key": (
        "API key",
        "`antiphon keys list` shows yours; another person's need --user EMAIL_OR_ID.",
    ),
    "auth.session": (
        "login session",
        "`antiphon logins list` shows yours; another person's need --user EMAIL_OR_ID.",
    ),
    "chat.session": ("chat session", "`antiphon chats list` shows yours."),
    "chat.message": ("message", "`antiphon chats show SESSION --ids` shows those of a chat session."),
    "image.image": (
        "image",
        "`antiphon image list` shows yours.",
    ),
    "speech.conversion": (
        "conversion",
        "`antiphon speech list` shows yours.",
    ),
}
_TAKES_NO_OWNER_TOKEN = ("image delete", "speech delete")
_ALSO_WITHOUT_A_LOGIN = ("image.image", "speech.conversion")
# Who serves a command; those that are not named here Auth does.
_SERVED_BY = {
    "chat": "CHAT",
    "chats": "CHAT",
    "models": "CHAT",
    "image": "IMAGE",
    "speech": "SPEECH",
    "usage": "ANALYTICS",
    "prices": "ANALYTICS",
}
# Fields of requests, as whoever types commands knows them.
_ARGUMENTS = {
    "api_key_id": "KEY_ID",
    "bucket": "--bucket",
    "conversion_id": "the id of the conversion",
    "display_name": "the name",
    "effective_time": "--from",
    "email": "the e-mail",
    "end_time": "--until",
    "expire_time": "--expires",
    "format": "--format",
    "count": "--count",
    "grace": "--grace",
    "image_id": "the id of the image",
    "language": "--language",
    "message": "the text",
    "message_id": "the id of the message",
    "model": "the model",
    "nano_usd": "USD",
    "negative_prompt": "--negative",
    "owner_token": "--owner-token",
    "uri": "--image-url",
    "pitch": "--pitch",
    "project": "the project",
    "prompt": "the prompt",
    "query": "the words",
    "scopes": "--scope",
    "seed": "--seed",
    "session_id": "the id of the session",
    "size": "--size",
    "speaking_rate": "--rate",
    "ssml": "the SSML",
    "start_time": "--since",
    "style": "--style",
    "system_prompt": "the instructions",
    "text": "the text",
    "time_zone": "--zone",
    "title": "the title",
    "user_id": "the id of the account",
    "username": "--username",
    "variant": "--variant",
    "voice": "--voice",
}


def message_of(error: AntiphonError, server: str) -> str:
    """What happened, on one line."""
    if isinstance(error, Unreachable):
        return _without_answer(error, server)
    if error.reason == "MODEL_NOT_FOUND" and "model" in error.metadata:
        return f"there is no model {error.metadata['model']}"
    if error.reason == "VOICE_NOT_FOUND":
        # What follows names an RPC; the advice names the command.
        return error.message.partition("; ListVoices")[0]
    if error.reason in _PROVIDER_IS_AWAY and (model := error.metadata.get("model", "")) not in error.message:
        return f"{model}: {error.message}"
    if error.reason in _ENDED:
        if os.environ.get("ANTIPHON_TOKEN"):
            return f"ANTIPHON_TOKEN is not accepted by {server}: {error.message}"
        return f"the login session at {server} has ended: {error.message}"
    if isinstance(error, Unimplemented):
        return f"the server at {server} does not serve this"
    if isinstance(error, NotFound) and error.resource is not None and error.resource.type in _THINGS:
        return f"there is no {_THINGS[error.resource.type][0]} {error.resource.name}"
    for each in error.violations:
        if error.message.startswith(f"{each.field}: "):
            return f"{_argument(each.field)}: {error.message.removeprefix(f'{each.field}: ')}"
    return error.message


def _without_answer(error: Unreachable, server: str) -> str:
    if not server:
        return error.message
    if any(sign in error.message for sign in _NO_SUCH_HOST):
        return f"no address is known for the name in {server}"
    over_tls = failure_of(error.message, server)
    return f"no server answers at {server}" if over_tls is None else over_tls[0]


def advice_on(error: AntiphonError, server: str) -> str:
    """What to do about it; may be empty, may have several lines."""
    if isinstance(error, Unreachable):
        return _way_to_a_server(error, server)
    lines = [
        f"{_argument(each.field)}: {each.description}"
        for each in error.violations
        if each.field not in error.message
    ]
    lines += _by_kind(error, server)
    if error.earlier is not None and error.reason == "RATE_LIMITED":
        lines.append(f"That was told to a repetition; the first try failed so: {error.earlier.message}")
    if error.retry_after is not None and "try again in" not in error.message and not _names_an_address(error):
        # Rounded up: a second too early is too early.
        lines.append(f"Try again in {max(1, math.ceil(error.retry_after))} s.")
    if error.code.name in ("INTERNAL", "UNKNOWN") and error.request_id:
        lines.append(f"The server's log has the details under the request id {error.request_id}.")
    return "\n".join(lines)


def _by_kind(error: AntiphonError, server: str) -> list[str]:
    """What its kind of failure advises."""
    if error.reason in _ENDED:
        return [_renewal_of_access()]
    if isinstance(error, Unimplemented):
        return [_where_it_is_served()]
    if error.reason == "CREDENTIAL_MISSING":
        return [_ADVICE[error.reason], *_logins_elsewhere(server)]
    if isinstance(error, NotFound) and error.resource is not None and error.resource.type in _THINGS:
        return [_way_to_thing(error.resource.type, server)]
    if error.reason == "SCOPE_REQUIRED":
        return [_way_to_scope(error.metadata.get("scope", "SCOPE"))]
    if error.reason == "ROLE_REQUIRED":
        return [f"It takes the role {error.metadata.get('role', 'admin')}; `antiphon whoami` shows yours."]
    if error.reason == "MODEL_NOT_READY" and error.metadata.get("detail", "") not in error.message:
        return [error.metadata["detail"]]
    if _names_an_address(error):
        return [_ON_ADDRESSES]
    return [advice] if (advice := _by_reason(error.reason)) else []


def _names_an_address(error: AntiphonError) -> bool:
    return error.reason == "IMAGE_UNUSABLE" and error.metadata.get("detail") == "address"


def _way_to_thing(kind: str, server: str) -> str:
    way = _THINGS[kind][1]
    if kind not in _ALSO_WITHOUT_A_LOGIN or called.get() in _TAKES_NO_OWNER_TOKEN:
        return way
    if not _has_a_login(server):
        # There is no list for who is nobody.
        return "One that was made without a login needs --owner-token; your own ones need a login: antiphon login EMAIL"
    return f"{way} One that was made without a login needs --owner-token."


def _has_a_login(server: str) -> bool:
    from services.cli.credentials import servers_with_a_login

    return bool(os.environ.get("ANTIPHON_TOKEN")) or server in servers_with_a_login()


def _by_reason(reason: str) -> str:
    advice = _ADVICE | _ADVICE_IN.get(called.get().partition(" ")[0], {})
    return advice.get(reason, "")


def _way_to_a_server(error: Unreachable, server: str) -> str:
    another = "--server or ANTIPHON_SERVER names another."
    if any(sign in error.message for sign in _NO_SUCH_HOST):
        return another
    if over_tls := failure_of(error.message, server):
        return over_tls[1]
    lines = [f"Is it running? `make run` starts one here; {another}", perhaps_tls(error.message, server)]
    return "\n".join(filter(None, lines)) + _cause_of(error)


def _argument(field: str) -> str:
    return _ARGUMENTS.get(field.rpartition(".")[2], field)


def _where_it_is_served() -> str:
    words = called.get()
    service = _SERVED_BY.get(words.partition(" ")[0], "AUTH")
    command = f"antiphon {words or 'COMMAND'} --server {service}"
    if service == "AUTH":
        return f"Auth may be at another address, which --server names: {command}"
    return (
        f"{service.capitalize()} may be at another address, which --server names. A login is kept for its address alone;\n"
        f"at the others it is: ANTIPHON_TOKEN=$(antiphon token --server AUTH) {command}"
    )


def _logins_elsewhere(server: str) -> list[str]:
    from services.cli.credentials import servers_with_a_login

    others = [each for each in servers_with_a_login() if each != server]
    if not others:
        return []
    known = others[0] if len(others) == 1 else "AUTH"
    return [
        f"You are logged in at {', '.join(others)}. If that is the same deployment, put",
        f"ANTIPHON_TOKEN=$(antiphon token --server {known}) in front of the command.",
    ]


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
