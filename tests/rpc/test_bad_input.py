"""What callers get wrong: each mistake has its code, its reason and its field, nothing of it is stored, and the server goes on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from tests.fakes.served_suite import (
    ADMIN_EMAIL,
    Failed,
    Person,
    Served,
    Stage,
    bearer,
    events_of,
    failed,
    failure,
    finished,
    foreign_token,
    somebody,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT, AUTH = "antiphon.chat.v1.ChatService", "antiphon.auth.v1.AuthService"
LIMIT = 4 * 1024**2
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
USER, ASSISTANT, TOOL = (
    chat_pb2.MESSAGE_ROLE_USER,
    chat_pb2.MESSAGE_ROLE_ASSISTANT,
    chat_pb2.MESSAGE_ROLE_TOOL,
)
SHALLOW, DEEP = ("[" * depth + "]" * depth for depth in (30, 100_000))


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
    "a deep schema": parameters("json_schema", json_schema=f'{{"a": {DEEP[:32_000]}}}'),
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


def raw(suite: Served, rpc: str, data: bytes, metadata: Any, **more: Any) -> Any:
    """A call that sends these bytes."""
    streams = rpc.endswith(("StreamChat", "ResumeStream"))
    call: Any = (suite.channel.unary_stream if streams else suite.channel.unary_unary)(
        f"/{rpc}", lambda _: data, lambda answer: answer
    )
    return call(b"", metadata=metadata, timeout=20, **more)


@pytest_asyncio.fixture(loop_scope="module")
async def unharmed(suite: Served, model: Stage) -> AsyncIterator[None]:
    """Afterwards nothing was stored or asked of a model, nothing runs, and the next call is answered."""
    before = await suite.stored()
    yield
    assert await suite.stored() == before
    assert not model.exchanges
    assert not suite.suite.server.calls_in_progress
    response = await suite.chat.Chat(
        chat_pb2.ChatRequest(message="Hola", model="echo"), metadata=somebody().metadata
    )
    assert response.generation.text.endswith("Hola")


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.usefixtures("unharmed")
async def test_a_mistake_is_explained(suite: Served, ana: Person, name: str) -> None:
    mistake = MISTAKES[name]
    found = await failure(raw(suite, mistake.rpc, mistake.data, ana.metadata))
    assert found.what == (mistake.code, mistake.reason), found
    assert set(found.fields) == set(mistake.fields)
    assert len(found.fields) == len(mistake.fields)
    assert found.text
    assert found.request_id
    for field in mistake.fields[:5]:
        assert field.partition("[")[0] in found.text


@pytest.mark.usefixtures("unharmed")
async def test_a_hundred_mistakes_at_once(suite: Served, ana: Person) -> None:
    picked = list(MISTAKES.values())[:100]
    answers = await asyncio.gather(
        *(failure(raw(suite, mistake.rpc, mistake.data, ana.metadata)) for mistake in picked)
    )
    assert [answer.what for answer in answers] == [(mistake.code, mistake.reason) for mistake in picked]


@pytest.mark.usefixtures("unharmed")
async def test_a_thousand_violations_fit_into_an_answer(suite: Served, ana: Person) -> None:
    messages = [chat_pb2.Message(role=99, finish_reason=99, message_id="x" * 65)] * 1000  # type: ignore[arg-type]
    request = chat_pb2.StreamChatRequest(conversation=chat_pb2.Conversation(messages=messages))
    found = await failure(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert 10 <= len(found.fields) <= 1000
    assert found.fields[0].startswith("conversation.messages[0].")


async def test_a_message_past_what_grpc_reads_is_refused_too(suite: Served, ana: Person) -> None:
    found = await failure(raw(suite, f"{CHAT}/StreamChat", b"x" * (3 * LIMIT), ana.metadata))
    assert found.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


@pytest.mark.parametrize(
    "metadata",
    [[("x-big", "a" * 20_000)], [(f"x-{number}", "a" * 100) for number in range(400)]],
    ids=["one large header", "many headers"],
)
async def test_large_metadata_is_refused(suite: Served, ana: Person, metadata: Any) -> None:
    call = suite.chat.ListSessions(
        chat_pb2.ListSessionsRequest(), metadata=(*ana.metadata, *metadata), timeout=10
    )
    assert (await failure(call)).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


@pytest.mark.parametrize(
    "path",
    [
        f"/{CHAT}/Nonesuch",
        f"/{CHAT}/streamchat",
        f"/{CHAT}/",
        "/antiphon.chat.v2.ChatService/StreamChat",
        "/nobody/Nothing",
        "/grpc.health.v1.Health/Nonesuch",
        "/" + "x" * 4000,
    ],
    ids=lambda path: path[:50],
)
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary"])
async def test_an_rpc_that_does_not_exist(suite: Served, path: str, kind: str) -> None:
    callable_: Any = getattr(suite.channel, kind)(path, lambda data: data, lambda data: data)
    call = callable_([] if kind.startswith("stream") else b"\xff", timeout=10)
    found = await failure(call)
    assert found.what == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
    assert found.metadata["method"][:200] == path[:200]
    assert found.request_id


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "bearer x.y.z",
        "Bearer ...",
        "Bearer " + "a" * 9000,
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        "Bearer " + foreign_token("1", iss="antiphon"),
        "Bearer " + foreign_token("1", iss="antiphon-service"),
        "Bearer " + foreign_token("1", exp="soon"),
        "Bearer " + foreign_token("1", exp=None),
        "Bearer " + foreign_token("1", token_type="refresh"),
        "Bearer " + foreign_token(""),
        "Bearer " + foreign_token("a\0b"),
        "Token abc",
        "Negotiate",
    ],
    ids=lambda text: text[:20],
)
async def test_garbage_is_no_credential(suite: Served, authorization: str) -> None:
    metadata = (("authorization", authorization),)
    for call in (
        suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata),
        suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hola"), metadata=metadata),
    ):
        found = await failure(call)
        assert found.what == ("UNAUTHENTICATED", "TOKEN_INVALID")
        assert found.metadata == {}
        assert "Bearer" not in found.text


async def test_a_caller_from_another_version_is_understood(suite: Served, model: Stage, ana: Person) -> None:
    # Fields that this server does not know are for a server that does.
    data = chat_pb2.StreamChatRequest(message="Hola").SerializeToString() + b"\xba\x3e\x03new"
    answers = await finished(raw(suite, f"{CHAT}/StreamChat", data, ana.metadata))
    events = [chat_pb2.StreamChatResponse.FromString(answer).event for answer in answers]
    assert words(events) == "Bien, gracias."


async def test_odd_and_allowed_input_is_answered_as_it_is(suite: Served, ana: Person) -> None:
    odd = "\u202e 👩‍👩‍👧 \u0301 ' \" \\ %s %(x)s {} $1 \x01\x7f\ufeff\ufffe\U0010ffff '; drop table chat.sessions; --"
    request = chat_pb2.StreamChatRequest(
        message=odd, model="echo", project=odd[:100], request_id=str(uuid.uuid4()).upper()
    )
    events = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert words(events).endswith(odd)
    listed_ = await suite.chat.ListSessions(
        chat_pb2.ListSessionsRequest(project=odd[:100]), metadata=ana.metadata
    )
    assert listed_.total_size == 1
    messages = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=listed_.sessions[0].session_id.upper()), metadata=ana.metadata
    )
    assert messages.messages[1].parts[0].text == odd


async def test_a_schema_at_the_limits_reaches_the_model(suite: Served, model: Stage, ana: Person) -> None:
    schema = f'{{"a": {SHALLOW}, "n": {"9" * 400}, "e": 1e999}}'
    request = chat_pb2.ChatRequest(message="Hola", parameters=chat_pb2.Parameters(json_schema=schema))
    assert (await suite.chat.Chat(request, metadata=ana.metadata)).generation.text == "Bien, gracias."
    assert schema.encode() in model.exchanges[0].body


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 64,
    ],
    ids=["HTTP/1.1", "TLS", "zeros"],
)
async def test_what_is_no_grpc_is_hung_up_on(suite: Served, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", suite.suite.server.port)
    writer.write(said)
    async with asyncio.timeout(10):
        await writer.drain()
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
    writer.close()
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


async def test_a_caller_who_says_half_and_leaves(suite: Served) -> None:
    for _ in range(50):
        _, writer = await asyncio.open_connection("127.0.0.1", suite.suite.server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        writer.transport.abort()
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


async def test_the_same_mistake_twice_is_told_alike(suite: Served, ana: Person) -> None:
    def told() -> Any:
        return failure(suite.chat.StreamChat(chat_pb2.StreamChatRequest(), metadata=ana.metadata))

    first: Failed = await told()
    second: Failed = await told()
    assert first.request_id != second.request_id
    assert (first.what, first.text, first.fields) == (second.what, second.text, second.fields)


async def test_a_repeated_mistake_holds_no_request_id(suite: Served, model: Stage, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    wrong = chat_pb2.StreamChatRequest(message="", request_id=request_id)
    unready = chat_pb2.StreamChatRequest(message="Hola", request_id=request_id, model="locked")
    for request in (wrong, unready):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
        assert failed(refused.value).reason in ("INVALID_ARGUMENT", "MODEL_NOT_READY")
    right = chat_pb2.StreamChatRequest(message="Hola", request_id=request_id)
    assert words(await events_of(suite.chat.StreamChat(right, metadata=ana.metadata))) == "Bien, gracias."


async def test_two_authorization_headers_are_one_too_many(suite: Served, ana: Person, ben: Person) -> None:
    metadata = (*ana.metadata, *ben.metadata)
    found = await failure(suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=metadata))
    assert found.what == ("UNAUTHENTICATED", "TOKEN_INVALID")
    found = await failure(
        suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=(*bearer("garbage"), *ana.metadata))
    )
    assert found.what == ("UNAUTHENTICATED", "TOKEN_INVALID")
