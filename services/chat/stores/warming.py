"""Makes new connections ready for a chat call."""

from __future__ import annotations

from datetime import UTC, datetime

from services.capabilities.metering.model import NO_USAGE
from services.chat.model import (
    Ending,
    Event,
    Finished,
    FinishReason,
    Generation,
    Lease,
    Message,
    NewGeneration,
    Role,
    Session,
    Started,
    State,
)
from services.chat.stores import statements
from services.chat.stores.values import BEGIN, FINISH, HISTORY_BYTES, begin_values, finish_values
from services.infra.postgres.database import Connection
from services.kernel.ids import new_id


async def warm(connection: Connection) -> None:
    """Prepare a new connection for the hot path, by running each statement once where it does nothing."""
    # A generic plan that was made while the tables were empty reads them from end to end, and stays.
    await connection.execute("set enable_seqscan = off")
    nobody, nothing, now = Lease(new_id(), 0), new_id(), datetime.now(UTC)
    generation = Generation(nothing, "", nothing, nothing, "", "", "", "", State.RUNNING, now)
    started = Event(1, 1, now, Started(nothing, "", nothing, ""))
    asked = Message(nothing, Role.USER, ("",))
    session = Session(nothing, "", "", "", "", "", False, now, now)
    finished = Event(2, 2, now, Finished(FinishReason.STOP, nothing, NO_USAGE))
    ending = Ending(
        State.COMPLETED, FinishReason.STOP, None, NO_USAGE, asked, (finished,), 2, "", now, False, "", ""
    )
    new = NewGeneration(generation, "", bytes(32), session, asked, started)
    await BEGIN.execute(connection, begin_values(nobody, new))
    await FINISH.execute(connection, finish_values(nobody, generation, ending, None))
    for statement, values in (
        (statements.GENERATION, {"generation_id": nothing}),
        (statements.EVENTS, {"generation_id": nothing, "after_seq": 0, "limit": 1}),
        (statements.SESSION, {"session_id": nothing, "user_id": ""}),
        (statements.HISTORY, {"session_id": nothing, "limit": 1, "max_bytes": HISTORY_BYTES}),
    ):
        await connection.execute(statement.encode(), values, prepare=True)
