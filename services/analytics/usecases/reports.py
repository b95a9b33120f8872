"""GetUserAnalytics, GetServiceAnalytics, GetSystemAnalytics, GetUsage and QueryUsage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.analytics.model.figures import Dimension, Filter, Group, Piece, Question, Value
from services.analytics.model.steps import Bucket, Span
from services.analytics.model.steps import steps as steps_of
from services.analytics.model.totals import NOTHING, Figures
from services.analytics.ports import UsageStore
from services.analytics.usecases.reckoning import EVERYTHING, Answer, Reckoning
from services.capabilities.metering.model import ServiceType
from services.kernel.errors import InvalidArgument
from services.kernel.ownership import whose
from services.kernel.principal import Principal

SCOPE = "analytics.read"
"""What an administrator's API key needs for figures of others."""

_MOST_TOLD = 20_000
_WEIGHED_BY_COST = 10_000

_SERVICE, _MODEL, _REASON = Dimension.SERVICE_TYPE, Dimension.MODEL, Dimension.ERROR_REASON


@dataclass(frozen=True, slots=True)
class Step:
    """A step in time, and what happened in it."""

    start: datetime
    end: datetime
    figures: Figures


@dataclass(frozen=True, slots=True)
class Report:
    """What is told of a span. Shares are by value, most events first; steps are empty without a bucket."""

    span: Span
    totals: Figures
    services: dict[Value, Figures]
    models: dict[Value, Figures]
    steps: Sequence[Step]
    users: dict[Value, Figures] | None = None
    error_reasons: dict[Value, Figures] | None = None
    user_count: int = 0
    rejected_count: int = 0


@dataclass(frozen=True, slots=True)
class GetUserAnalytics:
    """What a person used."""

    reckon: Reckoning

    async def __call__(self, caller: Principal, user_id: str, span: Span) -> tuple[str, Report]:
        """Whose figures, and the figures. Raises PermissionDenied and Unavailable."""
        owner = whose(caller, user_id, SCOPE)
        answer = await self.reckon(span, (_SERVICE, _MODEL), Filter({Dimension.USER: (owner,)}))
        return owner, _report(span, answer, services=0, models=1)


@dataclass(frozen=True, slots=True)
class GetServiceAnalytics:
    """What a service did."""

    reckon: Reckoning

    async def __call__(self, service: ServiceType, span: Span, top: int) -> Report:
        """The figures, with the `top` models and users. Raises Unavailable."""
        which = Filter({_SERVICE: (service.value,)})
        answer, users = await asyncio.gather(
            self.reckon(span, (_MODEL, _REASON), which), _top_users(self.reckon, span, which, top)
        )
        reasons = {reason: figures for reason, figures in answer.reckoned.by_place(1).items() if reason}
        report = _report(span, answer, models=0, top=top)
        return Report(
            span,
            report.totals,
            {},
            report.models,
            report.steps,
            users=users,
            error_reasons=_first(reasons, top),
        )


@dataclass(frozen=True, slots=True)
class GetSystemAnalytics:
    """What all services did."""

    reckon: Reckoning
    store: UsageStore

    async def __call__(self, span: Span, top: int) -> Report:
        """The figures, with the `top` models and users. Raises Unavailable."""
        people = Question((Piece(span.start, span.end, 0),))
        answer, users, user_count, rejected = await asyncio.gather(
            self.reckon(span, (_SERVICE, _MODEL)),
            _top_users(self.reckon, span, EVERYTHING, top),
            self.store.user_count(people),
            self.store.rejected_count(),
        )
        report = _report(span, answer, services=0, models=1, top=top)
        return Report(
            span,
            report.totals,
            report.services,
            report.models,
            report.steps,
            users=users,
            user_count=user_count,
            rejected_count=rejected,
        )


@dataclass(frozen=True, slots=True)
class GetUsage:
    """What was used altogether."""

    reckon: Reckoning

    async def __call__(self, span: Span, which: Filter) -> Report:
        """The figures of the calls that the filter lets pass. Raises Unavailable."""
        return _report(span, await self.reckon(span, (_SERVICE,), which), services=0)


@dataclass(frozen=True, slots=True)
class Told:
    """A group's figures, and its steps with calls."""

    group: Group
    figures: Figures
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class QueryUsage:
    """Figures by dimensions and over time."""

    reckon: Reckoning

    async def __call__(
        self, span: Span, group_by: tuple[Dimension, ...], which: Filter, *, limit: int, by_cost: bool
    ) -> tuple[Figures, list[Told], bool]:
        """The totals of all groups, the first `limit` groups, and whether there are more. Raises InvalidArgument when that is too much to tell at
        once, and Unavailable."""
        steps = len(steps_of(span))
        if group_by and limit * steps > _MOST_TOLD:
            raise InvalidArgument.field(
                "limit",
                f"{limit} groups of {steps} steps each are more than the {_MOST_TOLD} figures that are told at once; "
                "ask for fewer groups, a longer bucket or a shorter span",
            )
        if not group_by:
            answer = await self.reckon(span, (), which)
            total, by_step = answer.reckoned.total(), _by_step(span, answer)
            return total, [Told((), total, _told(answer, by_step))], False
        whole = await self.reckon(Span(span.start, span.end, span.zone), (), which)
        # One more than is told says whether there are more.
        answer, groups = await self.reckon.leaders(
            span, group_by, which, limit=limit + 1, by_cost=_WEIGHED_BY_COST if by_cost else 0
        )
        by_group = answer.reckoned.by_group()
        steps_of_group: dict[Group, dict[int, Figures]] = {group: {} for group in groups}
        if span.bucket is not Bucket.NONE:
            for (group, step), figures in answer.reckoned.by_group_and_step().items():
                steps_of_group[group][step] = figures
        told = [
            Told(group, by_group[group], _told(answer, steps_of_group[group])) for group in groups[:limit]
        ]
        return whole.reckoned.total(), told, len(groups) > limit


def _by_step(span: Span, answer: Answer) -> dict[int, Figures]:
    return answer.reckoned.by_step() if span.bucket is not Bucket.NONE else {}


def _told(answer: Answer, by_step: dict[int, Figures]) -> list[Step]:
    """The steps with calls, in their order."""
    return [
        Step(start, end, by_step[step]) for step, (start, end) in enumerate(answer.steps) if step in by_step
    ]


async def _top_users(reckon: Reckoning, span: Span, which: Filter, top: int) -> dict[Value, Figures]:
    """Who made the most calls; anonymous callers and deleted people are nobody."""
    found = await reckon.most_calls(span, Dimension.USER, which, top + 1)
    return _first({user: figures for user, figures in found.items() if user}, top)


def _report(
    span: Span,
    answer: Answer,
    *,
    services: int | None = None,
    models: int | None = None,
    top: int | None = None,
) -> Report:
    reckoned = answer.reckoned
    by_step = _by_step(span, answer)
    return Report(
        span,
        reckoned.total(),
        {} if services is None else reckoned.by_place(services),
        {} if models is None else _first({k: v for k, v in reckoned.by_place(models).items() if k}, top),
        [
            Step(start, end, by_step.get(step, NOTHING))
            for step, (start, end) in enumerate(answer.steps)
            if span.bucket is not Bucket.NONE
        ],
    )


def _first(found: dict[Value, Figures], top: int | None) -> dict[Value, Figures]:
    return dict(list(found.items())[:top])
