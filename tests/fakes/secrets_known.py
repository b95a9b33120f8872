"""Secrets that were used, and the search for them in what is kept and told."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote

import psycopg
from psycopg import sql

_LEAST = 8


def unguessable(words: str) -> str:
    return f"{words}-{secrets.token_urlsafe(18)}"


@dataclass
class Secrets:
    """What must not be found again, by what it is."""

    known: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, secret: str) -> str:
        assert len(secret) >= _LEAST, f"{what} is too short to be searched for"
        self.known[f"{what} ({len(self.known)})"] = secret
        return secret

    def token(self, what: str, token: str) -> str:
        """A JWT is known by its signature: without it, the rest proves nothing."""
        self.add(f"signature of {what}", token.rpartition(".")[2])
        return token

    def found_in(self, text: str) -> list[str]:
        """Which are in the text: as they are, as hexadecimal digits or in base64."""
        lower = text.lower()
        found = []
        for what, secret in self.known.items():
            raw = secret.encode()
            coded = {
                base64.b64encode(raw).decode().rstrip("="),
                base64.urlsafe_b64encode(raw).decode().rstrip("="),
            }
            forms = {secret, quote(secret, safe=""), *coded}
            if any(form in text for form in forms) or raw.hex() in lower:
                found.append(what)
        return found


def dump(url: str) -> str:
    """Every row of every table, as text; bytes are hexadecimal in it."""
    lines = []
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            found = connection.execute(
                sql.SQL("select t::text from {} t").format(sql.Identifier(schema, table))
            ).fetchall()
            lines += [f"{schema}.{table}: {row}" for (row,) in found]
        queries = connection.execute("select coalesce(query, '') from pg_stat_activity").fetchall()
        lines += [row for (row,) in queries]
    return "\n".join(lines)
