"""Looks at providers of models: whether they can be asked. Nothing that costs is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.bootstrap.findings import Finding, Verdict

_SECONDS = 5.0
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A provider, and what it calls the models that are ready. `lists`: whether it has OpenAI's list of models; `on_silence` is the advice when
    it does not answer."""

    name: str
    base_url: str
    key: str | None = field(repr=False)
    upstreams: Sequence[str]
    lists: bool = True
    on_silence: str = "Start it, or correct its base_url."


async def provider_found(provider: Asked, on_missing: str) -> Finding:
    """Whether the provider answers, and, where it has a list, takes the key and has the models; `on_missing` is the advice when it has not."""
    from services.capabilities.upstream.keys import normalized
    from services.capabilities.upstream.probing import Answer, listed, reached

    name = f"provider {provider.name}"
    found = await (
        listed(provider.base_url, provider.key, _SECONDS)
        if provider.lists
        else reached(provider.base_url, _SECONDS)
    )
    # An address may hold a password.
    address = normalized(provider.base_url)
    if found.answer is Answer.NONE:
        return Finding(
            name,
            Verdict.BAD,
            f"{address} can't be asked: {found.detail}",
            provider.on_silence,
        )
    if not provider.lists:
        return Finding(name, Verdict.GOOD, f"{address} answers; whether it takes the key is not known")
    if found.answer is Answer.REFUSED:
        return Finding(name, Verdict.BAD, f"{address} does not accept the key", "Set another key for it.")
    if found.answer is Answer.UNLISTED:
        return Finding(
            name,
            Verdict.NOTE,
            f"{address} answers, and does not list its models ({found.detail})",
            "All is well if calls are answered; else see whether base_url lacks its /v1.",
        )
    missing = [upstream for upstream in provider.upstreams if upstream not in found.models]
    if missing:
        has = ", ".join(sorted(found.models)[:_NAMED]) + (" …" if len(found.models) > _NAMED else "")
        detail = f"{address} does not list {', '.join(missing)}; it has {has or 'no models'}"
        return Finding(name, Verdict.NOTE, detail, on_missing)
    return Finding(name, Verdict.GOOD, address)
