"""A catalog of models that another one can take the place of, and what has it follow its file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import structlog

from services.capabilities.upstream.errors import ModelNotReady
from services.kernel.errors import NotFound
from services.kernel.startup import StartupError

log = structlog.get_logger(__name__)

_ADAPTERS = frozenset({"provider", "speaker"})


class Offered(Protocol):
    """A model of a catalog: a frozen dataclass, one of whose fields is the adapter that is called, its `provider` or `speaker`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """What callers call it by."""
        ...

    @property
    def not_ready_reason(self) -> str:
        """What the operator has to do; empty when it is ready."""
        ...


M = TypeVar("M", bound=Offered)


@dataclass(frozen=True, slots=True)
class CatalogChanges:
    """The names of the models that a new catalog has more, has no more, and has otherwise."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


class ModelCatalog(Generic[M]):
    """Models in their order, one at least. `calls` is what their providers are called with, by the models' names; `unknown` makes
    the failure for a name that is none."""

    def __init__(
        self, models: Mapping[str, M], calls: Mapping[str, object], unknown: Callable[[str], NotFound]
    ) -> None:
        self._models: Mapping[str, M] = MappingProxyType(dict(models))
        self._calls = dict(calls)
        self._unknown = unknown

    @property
    def models(self) -> Mapping[str, M]:
        """All of them by name, in their order. What was returned does not change."""
        return self._models

    @property
    def default(self) -> M:
        """The first ready one, or the first of all when none is."""
        models = self._models.values()
        return next((model for model in models if not model.not_ready_reason), next(iter(models)))

    def known(self, name: str) -> M:
        """A model of this name, ready or not. Raises what `unknown` makes."""
        model = self._models.get(name)
        if model is None:
            raise self._unknown(name)
        return model

    def find(self, name: str) -> M:
        """A model that is ready, the default one for an empty name. Raises what `unknown` makes, and ModelNotReady."""
        model = self.known(name) if name else self.default
        if model.not_ready_reason:
            raise ModelNotReady(model.name, model.not_ready_reason)
        return model

    def replace(self, other: ModelCatalog[M]) -> CatalogChanges:
        """Have the models of another catalog from now on. Who holds a model keeps it, and an unchanged one stays what it is."""
        old, new = self._models, dict(other.models)
        changed = []
        for name in new.keys() & old.keys():
            if self._calls.get(name) == other._calls.get(name) and _same(old[name], new[name]):
                new[name] = old[name]
            else:
                changed.append(name)
        changes = CatalogChanges(
            tuple(sorted(new.keys() - old.keys())),
            tuple(sorted(old.keys() - new.keys())),
            tuple(sorted(changed)),
        )
        self._models, self._calls = MappingProxyType(new), dict(other._calls)
        return changes


def _same(one: Offered, other: Offered) -> bool:
    """Whether two models are so but for the adapters of their providers, which are made anew with each catalog."""
    names = (field.name for field in fields(one) if field.name not in _ADAPTERS)
    return all(getattr(one, name) == getattr(other, name) for name in names)


class CatalogReload(Generic[M]):
    """Reads a catalog's file again, and puts what it says in force.

    `read` blocks and raises StartupError; it is called in a thread. `service` tells the catalogs of one process apart in its log.
    """

    def __init__(self, service: str, catalog: ModelCatalog[M], read: Callable[[], ModelCatalog[M]]) -> None:
        self._service = service
        self._catalog = catalog
        self._read = read
        self._turn = asyncio.Lock()

    async def __call__(self) -> None:
        """Put the file in force as it is now. One that is wrong changes nothing: the log says what is wrong with it, and the catalog stays
        what it was."""
        async with self._turn:
            try:
                found = await asyncio.to_thread(self._read)
            except StartupError as error:
                log.error(
                    "the catalog of models was not reloaded, and stays as it was",
                    service=self._service,
                    problems=error.message.splitlines(),
                )
                return
            changes = self._catalog.replace(found)
            log.info(
                "the catalog of models was reloaded",
                service=self._service,
                added=list(changes.added),
                removed=list(changes.removed),
                changed=list(changes.changed),
                default=self._catalog.default.name,
            )
