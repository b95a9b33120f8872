"""A repeated call gets the answer to the first one, whatever would refuse a new call by then."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from services.capabilities.upstream.errors import ModelNotReady
from services.chat.errors import ContextTooLong, ModelNotFound
from services.chat.model import Capability, Tool
from services.chat.usecases.start_chat import StartChat
from services.kernel.errors import AlreadyExists, NotFound, ResourceExhausted, ServiceError, Unavailable
from tests.fakes.chat_play import ALICE, ANONYMOUS, BOB, Chat, OneModel, a_call, a_model, chat, words


def claimed() -> dict[str, Any]:
    return {"request_id": str(uuid.uuid4()), "digest": b"d"}


async def answered(it: Chat, **call: Any) -> str:
    id_ = await it.begin(**call)
    it.play.say("Hola")
    it.play.finish()
    await it.ended(id_)
    return id_


def with_catalog(it: Chat, catalog: OneModel) -> StartChat:
    return StartChat(it.store, catalog, it.generations, it.keeper, it.gallery)


async def test_the_model_may_be_gone_by_then() -> None:
    async with chat() as it:
        call = claimed() | {"model": "scripted"}
        id_ = await answered(it, **call)
        other = with_catalog(it, OneModel(replace(a_model(), name="other")))
        assert await other(ALICE, a_call(**call), None) == id_
        assert words(await it.read(id_)) == "Hola"
        with pytest.raises(ModelNotFound):
            await other(ALICE, a_call(**{**call, "request_id": str(uuid.uuid4())}), None)
        with pytest.raises(ModelNotFound):
            await other(ALICE, a_call(model="scripted"), None)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"not_ready_reason": "its key is missing"}, ModelNotReady),
        ({"context_tokens": 1}, ContextTooLong),
        ({"capabilities": frozenset()}, ServiceError),
    ],
)
async def test_the_model_may_be_unfit_by_then(changes: dict[str, Any], refusal: type[Exception]) -> None:
    async with chat(model=a_model(capabilities=[Capability.TOOLS])) as it:
        call = claimed() | {"tools": (Tool("look", "", ""),)}
        id_ = await answered(it, **call)
        other = with_catalog(it, OneModel(replace(a_model(capabilities=[Capability.TOOLS]), **changes)))
        assert await other(ALICE, a_call(**call), None) == id_
        with pytest.raises(refusal):
            await other(ALICE, a_call(**{**call, "request_id": str(uuid.uuid4())}), None)


async def test_the_process_may_be_full_or_stopping() -> None:
    async with chat(max_generations=1) as it:
        call = claimed()
        id_ = await answered(it, **call)
        running = claimed()
        other = await it.begin(**running)
        assert await it.start(ALICE, a_call(**call), None) == id_
        assert await it.start(ALICE, a_call(**running), None) == other
        with pytest.raises(ResourceExhausted):
            await it.start(ALICE, a_call(**claimed()), None)
        with pytest.raises(ResourceExhausted):
            await it.start(ALICE, a_call(), None)
        stopping = asyncio.create_task(it.generations.drain(5.0))
        await asyncio.sleep(0)
        assert await it.start(ALICE, a_call(**call), None) == id_
        with pytest.raises(Unavailable):
            await it.start(ALICE, a_call(**claimed()), None)
        it.play.finish()
        await stopping


async def test_another_body_is_told_that_it_is_another() -> None:
    async with chat() as it:
        call = claimed() | {"model": "scripted"}
        await answered(it, **call)
        other = with_catalog(it, OneModel(replace(a_model(), name="other")))
        with pytest.raises(AlreadyExists):
            await other(ALICE, a_call(**{**call, "digest": b"e"}), None)


async def test_it_is_the_callers_own_call_that_is_found() -> None:
    async with chat() as it:
        call = claimed() | {"model": "scripted"}
        await answered(it, **call)
        other = with_catalog(it, OneModel(replace(a_model(), name="other")))
        for principal in (BOB, ANONYMOUS):
            with pytest.raises(ModelNotFound):
                await other(principal, a_call(**call), None)
        with pytest.raises(NotFound):
            await other(BOB, a_call(**{**call, "session_id": str(uuid.uuid4())}), None)
