"""What was used: one's own figures, another person's, everybody's."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.choices import chosen
from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import CommandFailed, as_dict, print_json
from services.cli.people import Whose, find_user_id, is_own_id
from services.cli.usage_span import Since, Span, Until, Zone, span_of
from services.cli.usage_steps import BucketName, bucket_of

if TYPE_CHECKING:
    from antiphon.analytics.v1 import analytics_pb2

    from antiphon_client import Client, SpanOptions

MOST_TOP = 100
MOST_GROUPS = 1000


class By(StrEnum):
    """What figures are told apart by, as it is typed."""

    SERVICE_TYPE = "service"
    OPERATION = "operation"
    MODEL = "model"
    PROVIDER = "provider"
    PROJECT = "project"
    STATUS = "status"
    ERROR_REASON = "error"
    USER = "user"
    API_KEY = "key"
    VARIANT = "variant"
    PROVENANCE = "provenance"


def usage(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="What to tell apart: model or service; with --system or --user up to three of these, project, status, operation, provider, "
            "error, user, key, variant, provenance: --by user --by model, or --by user,model.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        bool, typer.Option("--system", help="What everybody used, and who used most (administrators).")
    ] = False,
    user: Whose = "",
    since: Since = None,
    until: Until = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            "--bucket",
            metavar=f"[{'|'.join(BucketName)}]",
            help="How long a step in time is: a day by default, none with --by.",
            show_default=False,
        ),
    ] = None,
    zone: Zone = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            max=MOST_GROUPS,
            metavar="COUNT",
            help="How many at most, those with most calls: 100 with --by, 10 people and models with --system.",
            show_default=False,
        ),
    ] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Show what was used, how fast it was and what it cost: your own calls of the last 30 days.

    \b
    Examples:
      antiphon usage --since 7d
      antiphon usage --by model --since 2026-11-01
      antiphon usage --system --by user,model
    """
    with calling(server, as_json) as client:
        words = [word for each in by or () for word in each.split(",")]
        wanted = list(dict.fromkeys(chosen(word, By, "--by") for word in words))
        asked = None if bucket is None else chosen(bucket, BucketName, "--bucket")
        _check(wanted, system, user, asked)
        span = span_of(since, until, zone)
        step = asked or (BucketName.NONE if wanted else BucketName.DAY)
        answer = _ask(client, span, step, wanted, system, find_user_id(client, user), limit or 0)
        if as_json:
            print_json(as_dict(answer))
            return
        from services.cli.usage_report import Report

        report = Report(client, span.zone, step, with_steps=asked is not None or not system)
        report.show(answer, [each.value for each in wanted], limit)


def _check(by: list[By], system: bool, user: str, bucket: BucketName | None) -> None:
    if system and user:
        raise CommandFailed("--system and --user exclude each other", status=2)
    if len(by) > 3:
        raise CommandFailed("--by can be given three times at most", status=2)
    if system or user or not by:
        return
    if len(by) > 1 or by[0] not in (By.MODEL, By.SERVICE_TYPE):
        raise CommandFailed(
            "your own calls are told apart by model or by service, one at a time",
            "Administrators add --system, or --user EMAIL_OR_ID.",
            status=2,
        )
    if bucket not in (None, BucketName.NONE):
        raise CommandFailed(
            f"your own calls are told by {by[0]} over the whole time; --bucket has no place beside it",
            "Administrators add --system, or --user EMAIL_OR_ID.",
            status=2,
        )


def _ask(
    client: Client, span: Span, step: BucketName, by: list[By], system: bool, user_id: str, limit: int
) -> (
    analytics_pb2.GetUserAnalyticsResponse
    | analytics_pb2.GetSystemAnalyticsResponse
    | analytics_pb2.QueryUsageResponse
):
    from antiphon.analytics.v1 import analytics_pb2

    from antiphon_client.errors import PermissionDenied

    options: SpanOptions = {
        "start": span.start,
        "end": span.end,
        "time_zone": span.zone_name,
        "bucket": bucket_of(step),
    }
    if by and (system or user_id):
        group_by = [_dimension_of(each) for each in by]
        whose = analytics_pb2.UsageFilter(user_ids=[user_id] if user_id else [])
        try:
            return client.query_usage(group_by, usage_filter=whose, limit=limit, **options)
        except PermissionDenied:
            if not (user_id and is_own_id(client, user_id)):
                raise
            # Whoever names themselves is asked no more of than whoever names nobody.
            _check(by, False, "", step)
    if system:
        return client.get_system_analytics(top=min(limit, MOST_TOP), **options)
    return client.get_user_analytics(user_id=user_id, **options)


def _dimension_of(name: By) -> analytics_pb2.Dimension:
    from antiphon.analytics.v1 import analytics_pb2

    dimensions = {
        By.SERVICE_TYPE: analytics_pb2.DIMENSION_SERVICE_TYPE,
        By.OPERATION: analytics_pb2.DIMENSION_OPERATION,
        By.MODEL: analytics_pb2.DIMENSION_MODEL,
        By.PROVIDER: analytics_pb2.DIMENSION_PROVIDER,
        By.PROJECT: analytics_pb2.DIMENSION_PROJECT,
        By.STATUS: analytics_pb2.DIMENSION_STATUS,
        By.ERROR_REASON: analytics_pb2.DIMENSION_ERROR_REASON,
        By.USER: analytics_pb2.DIMENSION_USER,
        By.API_KEY: analytics_pb2.DIMENSION_API_KEY,
        By.VARIANT: analytics_pb2.DIMENSION_VARIANT,
        By.PROVENANCE: analytics_pb2.DIMENSION_PROVENANCE,
    }
    return dimensions[name]
