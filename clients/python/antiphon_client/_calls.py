"""The RPCs as values: which method, which request. Both faces of the client send them, each in its own way."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypedDict, TypeVar

from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from antiphon.options.v1 import policy_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)

_AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
_CHAT = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]

_REMOVES = frozenset(
    {
        "/antiphon.chat.v1.ChatService/DeleteSession",
        "/antiphon.image.v1.ImageService/DeleteImage",
        "/antiphon.speech.v1.SpeechService/DeleteConversion",
    }
)
_ASKS_A_PROVIDER = frozenset(
    {
        "/antiphon.image.v1.ImageService/GenerateImage",
        "/antiphon.speech.v1.SpeechService/Synthesize",
        "/antiphon.speech.v1.SpeechService/StreamSynthesize",
    }
)
# The provider has been asked, by the server as often as helps, and may want its price for each time.
_PROVIDER_WAS_ASKED = (
    "PROVIDER_",
    "IMAGE_UNUSABLE",
    "IMAGES_NOT_STORED",
    "AUDIO_UNUSABLE",
    "AUDIO_NOT_STORED",
)


@dataclass(frozen=True, slots=True)
class Method(Generic[Req, Res]):
    """An RPC, with what the contract's policy says of it."""

    path: str
    response: type[Res]
    sends_credential: bool
    idempotent: bool
    # Whether the thing's absence, found by a later try, is what an earlier try may have made.
    removes: bool
    # How the reasons of failures begin that no try follows.
    final: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call(Generic[Req, Res]):
    """One call. `request_id` names it in the server's log, the same in all tries."""

    method: Method[Req, Res]
    # Not shown: it may hold a password or a token.
    request: Req = field(repr=False)
    request_id: str
    repeatable: bool


class ChatOptions(TypedDict, total=False):
    """What `stream` and `chat` take beside the input; the fields of StreamChatRequest, where they are explained.

    `disconnect_grace` is in seconds. `request_id`, a UUID, is made when not given; give one to make a call again from another
    process. `timeout` is for the whole answer, in seconds, resuming included.
    """

    session_id: str
    project: str
    model: str
    system_prompt: str
    parameters: chat_pb2.Parameters
    tools: Sequence[chat_pb2.Tool]
    images: Sequence[chat_pb2.Image]
    on_disconnect: chat_pb2.OnDisconnect
    disconnect_grace: float
    request_id: str
    timeout: float | None


class _ChatFields(TypedDict, total=False):
    request_id: str
    session_id: str
    project: str
    model: str
    message: str
    conversation: chat_pb2.Conversation
    system_prompt: str
    parameters: chat_pb2.Parameters
    tools: Sequence[chat_pb2.Tool]
    images: Sequence[chat_pb2.Image]
    on_disconnect: chat_pb2.OnDisconnect
    disconnect_grace: Duration


def method_of(
    service: ServiceDescriptor, name: str, request: type[Req], response: type[Res]
) -> Method[Req, Res]:
    """An RPC of `service` as a value."""
    descriptor = service.methods_by_name[name]
    extension: Any = policy_pb2.policy
    policy: policy_pb2.Policy = descriptor.GetOptions().Extensions[extension]
    path = f"/{service.full_name}/{name}"
    return Method(
        path=path,
        response=response,
        sends_credential=policy.access != policy_pb2.ACCESS_PUBLIC,
        idempotent=policy.idempotent,
        removes=path in _REMOVES,
        final=_PROVIDER_WAS_ASKED if path in _ASKS_A_PROVIDER else (),
    )


LOGIN = method_of(_AUTH, "Login", auth_pb2.LoginRequest, auth_pb2.LoginResponse)
REFRESH = method_of(_AUTH, "RefreshToken", auth_pb2.RefreshTokenRequest, auth_pb2.RefreshTokenResponse)
LOGOUT = method_of(_AUTH, "Logout", auth_pb2.LogoutRequest, auth_pb2.LogoutResponse)
STREAM_CHAT = method_of(_CHAT, "StreamChat", chat_pb2.StreamChatRequest, chat_pb2.StreamChatResponse)
CHAT = method_of(_CHAT, "Chat", chat_pb2.ChatRequest, chat_pb2.ChatResponse)
RESUME = method_of(_CHAT, "ResumeStream", chat_pb2.ResumeStreamRequest, chat_pb2.ResumeStreamResponse)
CANCEL = method_of(
    _CHAT, "CancelGeneration", chat_pb2.CancelGenerationRequest, chat_pb2.CancelGenerationResponse
)
GET_GENERATION = method_of(
    _CHAT, "GetGeneration", chat_pb2.GetGenerationRequest, chat_pb2.GetGenerationResponse
)
LIST_MODELS = method_of(_CHAT, "ListModels", chat_pb2.ListModelsRequest, chat_pb2.ListModelsResponse)
COUNT_TOKENS = method_of(_CHAT, "CountTokens", chat_pb2.CountTokensRequest, chat_pb2.CountTokensResponse)


def call(method: Method[Req, Res], request: Req, request_id: str = "") -> Call[Req, Res]:
    """One call of `method`, repeated where its policy allows that and nothing speaks against it."""
    # Nothing protects a call from being done twice whose request leaves its request_id empty.
    protected = "request_id" not in request.DESCRIPTOR.fields_by_name or bool(request.request_id)  # type: ignore[attr-defined]
    repeatable = method.idempotent and protected
    return Call(method, request, request_id or new_request_id(), repeatable)


def new_request_id() -> str:
    """A random UUID: anonymous callers are told apart by nothing else."""
    return str(uuid.uuid4())


def stream_chat(
    message: str | Sequence[chat_pb2.Message], options: ChatOptions
) -> Call[chat_pb2.StreamChatRequest, chat_pb2.StreamChatResponse]:
    """StreamChat, safe to repeat."""
    fields = _chat_fields(message, options)
    return call(STREAM_CHAT, chat_pb2.StreamChatRequest(**fields), fields["request_id"])


def chat(
    message: str | Sequence[chat_pb2.Message], options: ChatOptions
) -> Call[chat_pb2.ChatRequest, chat_pb2.ChatResponse]:
    """Chat, safe to repeat."""
    fields = _chat_fields(message, options)
    return call(CHAT, chat_pb2.ChatRequest(**fields), fields["request_id"])


def count_tokens(
    message: str | Sequence[chat_pb2.Message], model: str, system_prompt: str
) -> Call[chat_pb2.CountTokensRequest, chat_pb2.CountTokensResponse]:
    """CountTokens; a text counts as a conversation of one message."""
    if isinstance(message, str):
        parts = [chat_pb2.Part(text=message)]
        message = [chat_pb2.Message(role=chat_pb2.MESSAGE_ROLE_USER, parts=parts)]
    conversation = chat_pb2.Conversation(messages=message)
    request = chat_pb2.CountTokensRequest(model=model, conversation=conversation, system_prompt=system_prompt)
    return call(COUNT_TOKENS, request)


def _chat_fields(message: str | Sequence[chat_pb2.Message], options: ChatOptions) -> _ChatFields:
    fields = _ChatFields(request_id=options.get("request_id") or new_request_id())
    if isinstance(message, str):
        fields["message"] = message
    else:
        fields["conversation"] = chat_pb2.Conversation(messages=message)
    for name in (
        "session_id",
        "project",
        "model",
        "system_prompt",
        "parameters",
        "tools",
        "images",
        "on_disconnect",
    ):
        if name in options:
            fields[name] = options[name]
    if "disconnect_grace" in options:
        grace = Duration()
        grace.FromNanoseconds(round(options["disconnect_grace"] * 1e9))
        fields["disconnect_grace"] = grace
    return fields
