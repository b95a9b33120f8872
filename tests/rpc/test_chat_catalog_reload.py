"""The catalog's file is read again while answers are made."""

from __future__ import annotations

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import Person, Served, events_of, next_event, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE = '[providers.stage]\nbase_url = "{}"\n\n[[models]]\nname = "renamed"\nprovider = "stage"\n'


async def names(suite: Served) -> list[str]:
    return [model.name for model in (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models]


async def reload(suite: Served) -> None:
    for service in suite.suite.mounted:
        await service.reload()


async def test_calls_find_the_new_models_and_answers_keep_theirs(
    suite: Served, model: Stage, ana: Person
) -> None:
    path = suite.suite.settings.chat.models_file
    assert path is not None
    before = path.read_text()
    assert "scripted" in await names(suite)
    cue = Cue("Muy", " bien")
    model.play(cue.play)
    request = chat_pb2.StreamChatRequest(message="¿Cómo estás?", model="scripted")
    call = suite.chat.StreamChat(request, metadata=ana.metadata)
    events = [await next_event(call)]
    try:
        path.write_text(ONE.format(model.upstream.base_url))
        await reload(suite)
        assert await names(suite) == ["renamed", "echo"]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await suite.chat.Chat(
                chat_pb2.ChatRequest(message="¿Y ahora?", model="scripted"), metadata=ana.metadata
            )
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        cue.next(2)
        events += await events_of(call)
        assert words(events) == "Muy bien"
        model.clear()
        answer = await suite.chat.Chat(chat_pb2.ChatRequest(message="¿Y ahora?"), metadata=ana.metadata)
        assert (answer.generation.model, answer.generation.text) == ("renamed", "Bien, gracias.")
        path.write_text("[[models]]\nname = 5\n")
        await reload(suite)
        assert await names(suite) == ["renamed", "echo"]
    finally:
        path.write_text(before)
        await reload(suite)
    assert "scripted" in await names(suite)
