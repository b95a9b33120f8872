"""Models that fall back to one another, each with a provider and an endpoint of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.capabilities.upstream.errors import ProviderFailure, ProviderTimeout
from services.chat.model import (
    Generation,
    State,
)
from services.chat.ports import CatalogModel
from tests.fakes.chat_play import (
    Chat,
    Play,
    ScriptedProvider,
    a_model,
    until,
)


def named(name: str, **changes: Any) -> CatalogModel:
    """A model with a provider and an endpoint of its own."""
    own = {"provider": ScriptedProvider(), "provider_name": f"{name}.org", "endpoint": f"https://{name}/v1"}
    return replace(a_model(), name=name, upstream=f"{name}-1", **{**own, **changes})


def plays_of(model: CatalogModel) -> Sequence[Play]:
    assert isinstance(model.provider, ScriptedProvider)
    return model.provider.plays


async def play_of(model: CatalogModel, number: int = 1) -> Play:
    """The model's call of that number, once it has come."""
    await until(lambda: len(plays_of(model)) >= number)
    return plays_of(model)[number - 1]


def chain(*names: str) -> list[CatalogModel]:
    """Models of which the first falls back to the others."""
    first, *others = names
    return [named(first, fallbacks=tuple(others)), *(named(name) for name in others)]


def timeout(stage: str) -> ProviderTimeout:
    return ProviderTimeout("silence", metadata={"stage": stage})


def asking(kind: type[ProviderFailure], seconds: float) -> ProviderFailure:
    error = kind("a while, please", retry_after=seconds)
    error.asked_pause = seconds
    return error


def failure_of(stored: Generation) -> tuple[str, dict[str, str]]:
    assert stored.failure is not None
    return stored.failure.reason, dict(stored.failure.metadata)


async def answered(it: Chat, id_: str, by: CatalogModel, number: int = 1) -> Generation:
    """The generation, once that call of the model has answered it."""
    play = await play_of(by, number)
    play.say("fine")
    play.finish()
    stored = await it.ended(id_)
    assert (stored.state, stored.text) == (State.COMPLETED, "fine")
    return stored
