"""Events that could not be stored."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import as_dict, count, local_time, print_json, print_table


def rejected(
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most, the newest.")
    ] = 100,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List events that were bad, what is wrong with them, and who sent them (administrators).

    \b
    Example:
      antiphon usage rejected --limit 5
    """
    with calling(server, as_json) as client:
        events = list(itertools.islice(client.list_rejected_events(page_size=min(limit, 100)), limit))
        if as_json:
            print_json({"rejectedEvents": [as_dict(event) for event in events]})
            return
        rows = [
            (
                local_time(event.receive_time),
                event.source,
                event.event.event_id,
                count(event.receive_count),
                "; ".join(f"{each.field}: {each.description}" for each in event.violations),
            )
            for event in events
        ]
        print_table(("CAME", "FROM", "EVENT", "TIMES", "WHAT IS WRONG"), rows, "no event was rejected")
