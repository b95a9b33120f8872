"""The table that counts, for the migrations of a service."""

from __future__ import annotations


def ddl(schema: str) -> tuple[str, ...]:
    """The statements that make it. Histories that have run them rely on them, so they stay as they are.

    A row per class and caller: when the window of its first call began, and the calls asked for since; as many of them as the class
    allows were let in. Counts need not outlive a crash, and so cost no write-ahead log.
    """
    return (
        f"""
        create unlogged table {schema}.limits (
            class text not null,
            caller text not null,
            began_at timestamptz not null,
            used bigint not null,
            primary key (class, caller)
        )
        """,
        f"create index idx_limits_began_at on {schema}.limits (began_at)",
    )
