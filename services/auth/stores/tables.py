"""The tables of the schema `auth`, as the migrations made them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "auth"

metadata = MetaData(schema=SCHEMA)
_id = Uuid(as_uuid=False)
_time = DateTime(timezone=True)

users = Table(
    "users",
    metadata,
    Column("id", _id, primary_key=True),
    Column("email", String(255), nullable=False),
    Column("email_key", Text, nullable=False),
    Column("username", String(64)),
    Column("username_key", Text),
    Column("display_name", Text, nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("password_shown", Boolean, nullable=False),
    Column("role", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("revocation_id", BigInteger, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("updated_at", _time, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", _id, primary_key=True),
    Column("family_id", _id, nullable=False),
    Column("user_id", _id, ForeignKey("auth.users.id", ondelete="CASCADE"), nullable=False),
    Column("refresh_token", LargeBinary, nullable=False),
    Column("device_name", Text, nullable=False),
    Column("started_at", _time, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("expires_at", _time, nullable=False),
    Column("rotated_at", _time),
    Column("successor_id", _id),
    Column("successor", LargeBinary),
    Column("revoked", Boolean, nullable=False),
    Column("revoked_at", _time),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("private_pem", LargeBinary, nullable=False),
    Column("public_pem", Text, nullable=False),
    Column("created_at", _time, nullable=False),
    Column("activated_at", _time),
    Column("retired_at", _time),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _id, primary_key=True),
    Column("user_id", _id, ForeignKey("auth.users.id", ondelete="CASCADE"), nullable=False),
    Column("public_id", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("old_secret", LargeBinary),
    Column("old_expires_at", _time),
    Column("created_at", _time, nullable=False),
    Column("rotated_at", _time),
    Column("expires_at", _time),
    Column("last_used_at", _time),
    Column("revoked_at", _time),
)

revocations = Table(
    "revocations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject_id", _id, nullable=False),
    Column("revoked_at", _time, nullable=False),
    Column("expires_at", _time, nullable=False),
)

token_lives = Table(
    "token_lives",
    metadata,
    Column("life", Interval, primary_key=True),
    Column("signed_at", _time, nullable=False),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", _id, primary_key=True),
    Column("action", Text, nullable=False),
    Column("actor_id", _id),
    Column("user_id", _id),
    Column("address", Text, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("created_at", _time, nullable=False),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", _time, nullable=False),
    Column("delayed_until", _time),
)
