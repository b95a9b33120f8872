"""Auth's signing keys in memory; they keep the promises of `services.auth.ports`, as the contract suite shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.auth.model.audit import COMMAND_LINE, Deed
from services.auth.model.signing_keys import KeyRecord, KeyState, NotYet, Rotation, SealedKey
from services.kernel.errors import Unavailable


@dataclass(frozen=True)
class Row:
    """A row of `signing_keys`."""

    key: SealedKey
    record: KeyRecord


@dataclass
class KeyTable:
    """What the table holds, for all processes, and a clock that a test can move."""

    rows: dict[str, Row] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)
    later: timedelta = timedelta()
    away: bool = False
    loads: int = 0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def put(self, key: SealedKey, state: KeyState) -> None:
        now = self.now()
        record = KeyRecord(key.kid, state, now, now if state is KeyState.ACTIVE else None)
        self.rows[key.kid] = Row(dataclasses.replace(key, state=state), record)

    def move(self, kid: str, state: KeyState) -> None:
        row, now = self.rows[kid], self.now()
        if state is KeyState.ACTIVE:
            record = dataclasses.replace(row.record, state=state, activate_time=now)
        else:
            record = dataclasses.replace(row.record, state=state, retire_time=now)
        self.rows[kid] = Row(dataclasses.replace(row.key, state=state), record)

    def in_state(self, state: KeyState) -> list[str]:
        return [kid for kid, row in self.rows.items() if row.key.state is state]


class MemorySigningKeys:
    """A process's view of the table."""

    def __init__(self, table: KeyTable | None = None) -> None:
        self.table = table or KeyTable()

    async def all(self) -> Sequence[SealedKey]:
        self._reach()
        self.table.loads += 1
        return sorted((row.key for row in self.table.rows.values()), key=lambda key: key.state.value)

    async def states(self) -> Mapping[str, KeyState]:
        self._reach()
        return {kid: row.key.state for kid, row in self.table.rows.items()}

    async def records(self) -> Sequence[KeyRecord]:
        self._reach()
        order = (KeyState.NEXT, KeyState.ACTIVE, KeyState.RETIRED)
        found = [row.record for row in self.table.rows.values()]
        return sorted(found, key=lambda record: (order.index(record.state), -record.since.timestamp()))

    async def add_first(self, active: SealedKey, following: SealedKey) -> None:
        self._reach()
        if not self.table.in_state(KeyState.ACTIVE):
            self.table.put(active, KeyState.ACTIVE)
            self.table.put(following, KeyState.NEXT)

    async def rotate(
        self, following: SealedKey, minimum_age: timedelta, *, leaked: bool = False
    ) -> Rotation | NotYet:
        self._reach()
        table, now = self.table, self.table.now()
        found = table.in_state(KeyState.NEXT)
        if leaked:
            dropped = [kid for kid in table.rows if kid not in found]
            for kid in dropped:
                del table.rows[kid]
            if not found:
                table.put(following, KeyState.ACTIVE)
                return self._done(Rotation(following.kid, "", dropped=dropped))
            return self._promote(found[0], following, Rotation(found[0], following.kid, dropped=dropped))
        if not found:
            table.put(following, KeyState.NEXT)
            return NotYet(minimum_age.total_seconds())
        age = now - table.rows[found[0]].record.publish_time
        if age < minimum_age:
            return NotYet((minimum_age - age).total_seconds())
        retired = "".join(table.in_state(KeyState.ACTIVE))
        if retired:
            table.move(retired, KeyState.RETIRED)
        return self._promote(found[0], following, Rotation(found[0], following.kid, retired=retired))

    async def prune(self, token_life: timedelta) -> int:
        self._reach()
        before = self.table.now() - token_life - timedelta(minutes=10)
        old = [
            kid
            for kid, row in self.table.rows.items()
            if row.record.retire_time is not None and row.record.retire_time < before
        ]
        for kid in old:
            del self.table.rows[kid]
        return len(old)

    def _promote(self, kid: str, following: SealedKey, rotation: Rotation) -> Rotation:
        self.table.move(kid, KeyState.ACTIVE)
        self.table.put(following, KeyState.NEXT)
        return self._done(rotation)

    def _done(self, rotation: Rotation) -> Rotation:
        kids = {
            "active": rotation.active,
            "next": rotation.following,
            "retired": rotation.retired,
            "dropped": " ".join(rotation.dropped),
        }
        attributes = {name: value for name, value in kids.items() if value}
        self.table.deeds.append(Deed("signing_key.rotate", "", COMMAND_LINE, attributes))
        return rotation

    def _reach(self) -> None:
        if self.table.away:
            raise Unavailable("away")
