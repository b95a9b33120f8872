"""What Speech needs from others, as promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.capabilities.generations.model import State
from services.capabilities.generations.ports import GenerationStore
from services.capabilities.metering.model import Unit, UsageEvent
from services.capabilities.metering.ports import BookStore
from services.kernel.failures import Failure
from services.kernel.paging import Page, PageRequest
from services.speech.model import (
    Batch,
    Conversion,
    Ending,
    Format,
    Generation,
    Removal,
    Segment,
    Used,
    Voice,
)


class ConversionStore(GenerationStore[Generation], BookStore, Protocol):
    """The table of conversions, the generations that make them, and what is still to be removed. All methods raise Unavailable."""

    async def complete(self, conversion: Conversion, used: Used, event: UsageEvent | None) -> bool:
        """The conversion is in the table, what was used is in the outbox, the generation of its id is completed; one transaction. False when
        the generation does not run any more, and then nothing is changed; True also when this very end, by its event, is stored already.
        `event` is None where nothing is metered."""
        ...

    async def end(
        self,
        generation_id: str,
        state: State,
        failure: Failure | None,
        used: Used,
        event: UsageEvent | None,
        *,
        free: bool,
        remove: bool,
        again: int = 0,
        silent: bool = False,
    ) -> bool:
        """The generation has ended without a conversion; one transaction with its usage event. `free`: its claim is given up. `remove`: a
        removal of its objects is due, with `again`, unless a conversion of its id is in the table. False and True are as for `complete`;
        with `silent` also False when its owner has renewed it in time."""
        ...

    async def discard(self, generation_id: str, again: int) -> None:
        """Have removed what `end` with `remove` has removed, for a generation that has ended already."""
        ...

    async def conversion(self, conversion_id: str) -> Conversion | None:
        """A conversion of the table."""
        ...

    async def page(self, user_id: str | None, request: PageRequest) -> Page[Conversion]:
        """Conversions of a person, or with None everybody's, newest first; `total_size` counts all of them. The key of a page is a
        conversion_id. Of conversions with long texts a page holds fewer, so that it stays below 3 MiB unless a single one is larger."""
        ...

    async def delete(self, conversion_id: str, user_id: str | None) -> bool:
        """The conversion is out of the table, and a removal of its objects is due at once; one transaction. False when there is no such
        conversion of this person; None: anybody's."""
        ...

    async def expire(self, before: datetime, limit: int) -> int:
        """`delete` some conversions of anonymous callers that were made before this moment, and tell how many; 0 when none is left."""
        ...

    async def prune(self, generations_before: datetime, claims_older: timedelta, limit: int) -> int:
        """Forget some ended generations that were made before this moment and have no conversion any more, and some old claims; tell how
        many. Those that have one are walked past in parts, so 0 means that there is nothing to do for now."""
        ...

    async def due(self, pause: timedelta, limit: int) -> Sequence[Removal]:
        """Some removals that are due, the oldest first. They are due again after `pause` unless they are `removed` by then, so that another
        process goes on when this one can't. Of calls at the same time each gets others."""
        ...

    async def removed(self, removals: Sequence[Removal], repeat: timedelta) -> None:
        """These are done: they are forgotten, or due once more after `repeat` where `again` is left. One that was asked for anew since it was
        given, or that another has done, stays as it is."""
        ...

    async def unremoved(self) -> int:
        """How many removals are due, those left out that are done and only repeated; counting stops at 100,000."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What a provider is to speak. `upstream` is the model and `voice` the voice as the provider calls them, `rate` a factor, `pitch` in
    semitones."""

    upstream: str
    voice: str
    language: str
    format: Format
    rate: float
    pitch: float
    segments: Sequence[Segment]


class Speaker(Protocol):
    """A model that speaks."""

    def speak(self, task: Task) -> AsyncIterator[Batch | Ending]:
        """The audio of all segments, stitched: batches as soon as they are made, the first one small, and last one Ending. The pieces of all
        batches together are the file, but for the ending's patches. Whoever stops reading closes the iterator: then whatever speaks stops
        within 200 ms. Raises ProviderFailure, AudioUnusable among them, EngineStopped, EngineBusy and Unavailable; nothing comes behind that.
        """
        ...

    async def voices(self) -> Sequence[Voice]:
        """Who can speak, by language and name. Raises Unavailable."""
        ...


class Stitching(Protocol):
    """Files of audio from a provider, made into one."""

    def add(self, audio: bytes, pause: float, characters: int) -> AsyncIterator[Batch]:
        """The next part, whatever it is said to be: WAV, MP3, FLAC and Ogg are recognised. Silence of `pause` seconds comes behind it;
        `characters` is how many of the text it speaks. Raises AudioUnusable: `format` for what is none of these, `truncated` for what can't
        be read to its end or has no audio in it, `duration` for more than an hour. Whoever iterates does so to the end before the next part."""
        ...

    def end(self) -> AsyncIterator[Batch | Ending]:
        """What is left, and last the Ending."""
        ...


class Studio(Protocol):
    """Work on audio, in processes of its own: none of it holds the loop, and nothing that a provider sends can bring the server down."""

    def stitching(self, format_: Format) -> AbstractAsyncContextManager[Stitching]:
        """Make one file of parts, while the block runs. Raises EngineBusy when too many are at it, EngineStopped when the process ends in the
        middle, and Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model on offer. `rates` and `pitches` are the least and the largest that it takes; `prices` are nano-USD for a million of the unit;
    `longest_segment` is how many characters it takes at once; `default_voice` is by the name of the voice; `not_ready_reason` is empty
    when it is ready.

    `only_by_name` is of one that no text is sent to unless the caller names it, or it is the default one."""

    name: str
    provider_name: str
    upstream: str
    display_name: str
    description: str
    speaker: Speaker
    not_ready_reason: str
    default_voice: str
    rates: tuple[float, float]
    pitches: tuple[float, float]
    takes_ssml: bool
    gives_word_timings: bool
    longest_segment: int
    prices: Mapping[Unit, int]
    only_by_name: bool
    timeout: float
    """Seconds without progress after which a call is given up."""

    @property
    def ready(self) -> bool:
        """Whether it can be asked."""
        return not self.not_ready_reason


class Catalog(Protocol):
    """The models on offer, the default one first."""

    @property
    def models(self) -> Mapping[str, CatalogModel]:
        """All of them by name, in their order."""
        ...

    @property
    def default(self) -> CatalogModel:
        """The first ready one, or the first of all when none is."""
        ...

    def find(self, name: str) -> CatalogModel:
        """A model that is ready. Raises ModelNotFound and ModelNotReady."""
        ...
