"""What callers get wrong in requests, each mistake with the answer that it deserves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from tests.fakes.served_suite import ADMIN_EMAIL

CHAT, AUTH = "antiphon.chat.v1.ChatService", "antiphon.auth.v1.AuthService"
LIMIT = 4 * 1024**2
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
USER, ASSISTANT, TOOL = (
    chat_pb2.MESSAGE_ROLE_USER,
    chat_pb2.MESSAGE_ROLE_ASSISTANT,
    chat_pb2.MESSAGE_ROLE_TOOL,
)
DEEP = "[" * 16_000 + "]" * 16_000


@dataclass(frozen=True)
class Mistake:
    """A request to an RPC, and the answer to it. `fields` are the paths that are named as wrong."""

    rpc: str
    request: Message | bytes
    fields: tuple[str, ...] = ()
    code: str = "INVALID_ARGUMENT"
    reason: str = "INVALID_ARGUMENT"

    @property
    def data(self) -> bytes:
        return self.request if isinstance(self.request, bytes) else self.request.SerializeToString()


def stream(*fields: str, reason: str = "INVALID_ARGUMENT", **request: Any) -> Mistake:
    if "conversation" not in request:
        request.setdefault("message", "Hola")
    return Mistake(f"{CHAT}/StreamChat", chat_pb2.StreamChatRequest(**request), fields, reason=reason)


def parameters(field: str, **values: Any) -> Mistake:
    return stream(f"parameters.{field}", parameters=chat_pb2.Parameters(**values))


def conversation(*fields: str, messages: list[chat_pb2.Message], **more: Any) -> Mistake:
    return stream(
        *(f"conversation.messages{field}" for field in fields),
        conversation=chat_pb2.Conversation(messages=messages),
        **more,
    )


def turn(*parts: chat_pb2.Part, role: Any = USER, **more: Any) -> chat_pb2.Message:
    return chat_pb2.Message(role=role, parts=parts or [chat_pb2.Part(text="Hola")], **more)


def session(*fields: str, **request: Any) -> Mistake:
    return Mistake(f"{CHAT}/CreateSession", chat_pb2.CreateSessionRequest(**request), fields)


def listed(*fields: str, **request: Any) -> Mistake:
    return Mistake(f"{CHAT}/ListSessions", chat_pb2.ListSessionsRequest(**request), fields)


def grace(seconds: int, nanos: int = 0) -> Mistake:
    return stream("disconnect_grace", disconnect_grace=Duration(seconds=seconds, nanos=nanos))


def image(**source: str) -> chat_pb2.Part:
    return chat_pb2.Part(image=chat_pb2.Image(**source))


def register(*fields: str, **request: Any) -> Mistake:
    request = {"email": "new@example.com", "password": "correct horse", **request}
    return Mistake(f"{AUTH}/Register", auth_pb2.RegisterRequest(**request), fields)


def undecodable(data: bytes) -> Mistake:
    return Mistake(f"{CHAT}/StreamChat", data)


UNSUPPORTED = {"reason": "UNSUPPORTED_INPUT"}
UUID_FIELDS = {
    f"{CHAT}/StreamChat": (chat_pb2.StreamChatRequest, ("request_id", "session_id"), {"message": "Hola"}),
    f"{CHAT}/Chat": (chat_pb2.ChatRequest, ("request_id", "session_id"), {"message": "Hola"}),
    f"{CHAT}/ResumeStream": (chat_pb2.ResumeStreamRequest, ("generation_id",), {}),
    f"{CHAT}/GetGeneration": (chat_pb2.GetGenerationRequest, ("generation_id",), {}),
    f"{CHAT}/CancelGeneration": (chat_pb2.CancelGenerationRequest, ("generation_id",), {}),
    f"{CHAT}/CreateSession": (chat_pb2.CreateSessionRequest, ("request_id",), {}),
    f"{CHAT}/GetSession": (chat_pb2.GetSessionRequest, ("session_id",), {}),
    f"{CHAT}/ListSessions": (chat_pb2.ListSessionsRequest, ("user_id",), {}),
    f"{CHAT}/ListMessages": (chat_pb2.ListMessagesRequest, ("session_id",), {}),
}
NOT_UUIDS: tuple[str, ...] = (
    "1",
    "x" * 36,
    ID[:-1],
    ID + "0",
    f"{{{ID}}}",
    f"urn:uuid:{ID}",
    ID.replace("-", ""),
    f"{ID}\n",
    f" {ID}",
)
NOT_UUIDS += (ID.replace("0", "٠"), ID[:-1] + "\0", "../../etc/passwd", "' or 1=1 --")

MISTAKES: Mapping[str, Mistake] = {
    # -- what is missing, blank or unknown
    "no input": Mistake(f"{CHAT}/StreamChat", chat_pb2.StreamChatRequest(), ("input",)),
    "no input, whole": Mistake(f"{CHAT}/Chat", chat_pb2.ChatRequest(), ("input",)),
    "an empty message": stream("message", message=""),
    "a blank message": stream("message", message=" \t\n\u2003 "),
    "an empty conversation": conversation("", messages=[]),
    "a part without content": conversation("[0].parts[0].content", messages=[turn(chat_pb2.Part())]),
    "an image without source": conversation(
        "[0].parts[0].image.source", messages=[turn(chat_pb2.Part(image=chat_pb2.Image()))]
    ),
    "a message without parts": conversation("[0].parts", messages=[chat_pb2.Message(role=USER)]),
    "a blank turn": conversation("[0].parts", messages=[turn(chat_pb2.Part(text=" "))]),
    "no role": conversation("[1].role", messages=[turn(), turn(role=0), turn()]),
    "an unknown role": conversation("[0].role", messages=[turn(role=99)]),
    "an unknown finish reason": conversation("[0].finish_reason", messages=[turn(finish_reason=-1)]),
    "an unknown on_disconnect": stream("on_disconnect", on_disconnect=99),
    "an answer to be answered": conversation(
        "[1].role", messages=[turn(), turn(role=ASSISTANT)], **UNSUPPORTED
    ),
    "two contexts": stream(
        "session_id", session_id=ID, conversation=chat_pb2.Conversation(messages=[turn()])
    ),
    "several at once": stream(
        "project",
        "parameters.temperature",
        "on_disconnect",
        "message",
        message="",
        project="p" * 129,
        on_disconnect=7,
        parameters=chat_pb2.Parameters(temperature=9),
    ),
    "an image by address": conversation(
        "[0].parts[1].image",
        messages=[turn(chat_pb2.Part(text="Look"), image(uri="https://example.com/a.png"))],
        **UNSUPPORTED,
    ),
    "an image by id": conversation("[0].parts[0].image", messages=[turn(image(image_id=ID))], **UNSUPPORTED),
    "an image of no address": conversation("[0].parts[0].image.uri", messages=[turn(image(uri="a b"))]),
    # -- what no store can keep
    "NUL in a message": stream("message", message="a\0b"),
    "NUL in a system prompt": stream("system_prompt", system_prompt="\0"),
    "NUL in a project": stream("project", project="\0p"),
    "NUL in all of them": stream(
        "message", "project", "system_prompt", message="\0", project="\0", system_prompt="\0"
    ),
    "NUL in a conversation": conversation(
        "[1].parts[1].text",
        messages=[turn(), turn(chat_pb2.Part(text="a"), chat_pb2.Part(text="\0")), turn()],
        model="echo",
    ),
    "NUL in a whole call": Mistake(f"{CHAT}/Chat", chat_pb2.ChatRequest(message="\0"), ("message",)),
    "NUL in a title": session("title", title="a\0"),
    "NUL in a session's project": session("project", project="a\0"),
    "NUL in a session's prompt": session("system_prompt", system_prompt="a\0"),
    "NUL in a session's model": Mistake(
        f"{CHAT}/CreateSession",
        chat_pb2.CreateSessionRequest(model="a\0"),
        (),
        "NOT_FOUND",
        "MODEL_NOT_FOUND",
    ),
    "NUL in a filter": listed("project", project="a\0"),
    "NUL in an e-mail": register("email", email="a\0@example.com"),
    "NUL in a username": register("username", username="an\0a"),
    "NUL in a display name": register("display_name", display_name="\0"),
    "NUL in a device's name": Mistake(
        f"{AUTH}/Login",
        auth_pb2.LoginRequest(email=ADMIN_EMAIL, password="x", device_name="\0"),
        ("device_name",),
    ),
    "NUL in an e-mail to log in with": Mistake(
        f"{AUTH}/Login",
        auth_pb2.LoginRequest(email="a\0@example.com", password="x"),
        (),
        "UNAUTHENTICATED",
        "INVALID_CREDENTIALS",
    ),
    "NUL in a refresh token": Mistake(
        f"{AUTH}/RefreshToken",
        auth_pb2.RefreshTokenRequest(refresh_token="\0" * 43),
        (),
        "UNAUTHENTICATED",
        "TOKEN_INVALID",
    ),
    # -- sizes and numbers
    "a long message": stream("message", message="x" * 1_000_001),
    "a message of many bytes": stream("message", message="ñ" * 500_001),
    "a long system prompt": stream("system_prompt", system_prompt="x" * 100_001),
    "a long project": stream("project", project="x" * 129),
    "a long name of a model": stream("model", model="x" * 257),
    "a long part": conversation("[0].parts[0].text", messages=[turn(chat_pb2.Part(text="x" * 1_000_001))]),
    "many messages": conversation("", messages=[turn()] * 1025),
    "many parts": conversation("[0].parts", messages=[turn(*[chat_pb2.Part(text="x")] * 65)]),
    "many tools": stream("tools", tools=[chat_pb2.Tool(name="f")] * 129),
    "a tool with a space": stream("tools[0].name", tools=[chat_pb2.Tool(name="a b")]),
    "a long title": session("title", title="x" * 201),
    "a negative grace": grace(-1),
    "a grace just below zero": grace(0, -1),
    "a long grace": grace(600, 1),
    "an endless grace": grace(2**63 - 1, 2**31 - 1),
    "temperature below zero": parameters("temperature", temperature=-0.1),
    "temperature above two": parameters("temperature", temperature=2.1),
    "temperature that is no number": parameters("temperature", temperature=float("nan")),
    "endless temperature": parameters("temperature", temperature=float("inf")),
    "top_p of zero": parameters("top_p", top_p=0),
    "top_p that is no number": parameters("top_p", top_p=float("nan")),
    "no output": parameters("max_output_tokens", max_output_tokens=0),
    "endless output": parameters("max_output_tokens", max_output_tokens=2**31 - 1),
    "many stops": parameters("stop", stop=["x"] * 5),
    "an empty stop": parameters("stop[1]", stop=["x", ""]),
    "a long stop": parameters("stop[0]", stop=["x" * 257]),
    "a large page": listed("page_size", page_size=101),
    "the largest page": listed("page_size", page_size=2**31 - 1),
    "a negative page": listed("page_size", page_size=-1),
    "a negative skip": listed("skip", skip=-1),
    "a large skip": listed("skip", skip=2**31 - 1),
    "a long page token": listed("page_token", page_token="x" * 1025),
    "a negative position": Mistake(
        f"{CHAT}/ResumeStream", chat_pb2.ResumeStreamRequest(generation_id=ID, after_seq=-1), ("after_seq",)
    ),
    # -- JSON within a field
    "a schema that is no JSON": parameters("json_schema", json_schema="{'a': 1}"),
    "an empty schema": parameters("json_schema", json_schema=""),
    "a schema that is a list": parameters("json_schema", json_schema="[]"),
    "a schema that is null": parameters("json_schema", json_schema="null"),
    "a schema with NaN": parameters("json_schema", json_schema='{"maximum": NaN}'),
    "a schema with half a character": parameters("json_schema", json_schema='{"const": "\\ud800"}'),
    "a schema with more behind it": parameters("json_schema", json_schema="{} {}"),
    "a deep schema": parameters("json_schema", json_schema=f'{{"a": {DEEP}}}'),
    "a long schema": parameters("json_schema", json_schema='{"a": "' + "x" * 65_536 + '"}'),
    "a tool's schema that is no JSON": stream(
        "tools[1].parameters_json_schema",
        tools=[chat_pb2.Tool(name="f"), chat_pb2.Tool(name="g", parameters_json_schema="{")],
    ),
    # -- bytes that are no message
    "garbage": undecodable(b"\xff\xfe\xfd"),
    "text": undecodable(b'{"message": "Hola"}'),
    "a message cut short": undecodable(chat_pb2.StreamChatRequest(message="Hola").SerializeToString()[:-1]),
    "text that is no UTF-8": undecodable(b"\x2a\x02\xc3\x28"),
    "a length past the end": undecodable(b"\x2a\xff\xff\xff\xff\x07Hola"),
    "groups without end": undecodable(b"\x9b\x06" * 10_000),
    "a message that is too large": Mistake(
        f"{CHAT}/StreamChat",
        chat_pb2.StreamChatRequest(message="x" * LIMIT),
        (),
        "RESOURCE_EXHAUSTED",
        "MESSAGE_TOO_LARGE",
    ),
    "a large message that is none": Mistake(
        f"{CHAT}/StreamChat", b"\xff" * (LIMIT + 1), (), "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"
    ),
}
MISTAKES = {
    **MISTAKES,
    **{
        f"{rpc.rpartition('/')[2]}.{field} is {text!r}": Mistake(rpc, kind(**{**more, field: text}), (field,))
        for rpc, (kind, fields, more) in UUID_FIELDS.items()
        for field in fields
        for text in (NOT_UUIDS if rpc.endswith(("StreamChat", "GetSession")) else NOT_UUIDS[:2])
    },
    **{
        f"{rpc.rpartition('/')[2]} without {field}": Mistake(rpc, kind(), (field,))
        for rpc, (kind, fields, _) in UUID_FIELDS.items()
        for field in fields
        if field in ("generation_id", "session_id") and not rpc.endswith("Chat")
    },
}
