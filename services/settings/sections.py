"""The sections: every field is a setting, `ANTIPHON_<SECTION>__<FIELD>` in the environment.

Durations are in seconds, sizes in bytes. None means that the operator said nothing.
"""

# ruff: noqa: RUF009 - `setting` makes a dataclass field.

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from services.settings.addresses import (
    DATABASE_URL,
    LISTEN_ADDRESS,
    NETWORKS,
    WEB_ADDRESS,
    Network,
)
from services.settings.identity import ISSUERS, LEEWAY, ForeignIssuer
from services.settings.kinds import (
    BOOLEAN,
    DURATION,
    MINUTES,
    PATH,
    PORT,
    POSITIVE_DURATION,
    SECRET,
    SIZE,
    TEXT,
    Alias,
    SecretStr,
    one_of,
    setting,
    whole,
)
from services.settings.limits import LimitSettings
from services.settings.media import BlobSettings, ImageSettings, SpeechSettings
from services.settings.peers import PeerSettings

__all__ = [
    "AnalyticsSettings",
    "AuthSettings",
    "BlobSettings",
    "ChatSettings",
    "DatabaseSettings",
    "ForeignIssuer",
    "IdentitySettings",
    "ImageSettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "MongoSettings",
    "PeerSettings",
    "ServerSettings",
    "SpeechSettings",
]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The gRPC server."""

    host: str = setting(TEXT, "127.0.0.1", "Address that the server listens on.")
    port: int = setting(PORT, 50051, "Port that the server listens on; 0 takes a free one.")
    allow_plaintext: bool = setting(
        BOOLEAN, False, "Listen without TLS on an address that other machines can reach."
    )
    tls_certificate: Path | None = setting(
        PATH,
        None,
        "PEM file of the server's certificate, with those between it and its authority behind it: the server speaks TLS, and only TLS.",
    )
    tls_key: Path | None = setting(
        PATH, None, "PEM file of its key, without a passphrase, readable for its owner and group alone."
    )
    tls_client_ca: Path | None = setting(
        PATH,
        None,
        "PEM file of authorities: callers have to show a certificate that one of them signed, besides their credential.",
    )
    reflection: bool = setting(BOOLEAN, True, "Let anyone read the contract by gRPC reflection.")
    grace: float = setting(DURATION, 10.0, "How long running calls may go on when the server stops.")
    max_message_bytes: int = setting(SIZE, 4 * 1024**2, "Largest request message.")
    max_metadata_bytes: int = setting(SIZE, 16 * 1024, "Largest metadata of a call.")
    max_concurrent_calls: int = setting(
        whole(1, 1_000_000), 10_000, "Calls in progress at once, streams among them; more are refused."
    )
    trusted_proxies: tuple[Network, ...] = setting(
        NETWORKS,
        (),
        "Addresses and networks of the proxies in front, whose `x-forwarded-for` is believed; separated by commas.",
    )


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """PostgreSQL: a private embedded server, unless `url` names another."""

    url: str | None = setting(
        DATABASE_URL,
        None,
        "Database to use instead of the embedded one; any postgresql+driver:// form. "
        "DATABASE_HOST, DATABASE_PORT, DATABASE_USERNAME, DATABASE_PASSWORD and DATABASE_NAME make one too.",
        "DATABASE_URL",
    )
    direct_url: str | None = setting(
        DATABASE_URL,
        None,
        "The same database past a pooler such as PgBouncer, for LISTEN and advisory locks.",
        "DATABASE_DIRECT_URL",
    )
    pool_size: int = setting(whole(1, 1000), 10, "Connections that a process keeps at most.")
    connect_timeout: float = setting(POSITIVE_DURATION, 5.0, "How long one attempt to connect may take.")
    start_timeout: float = setting(DURATION, 60.0, "How long a start waits for the database.")
    statement_timeout: float = setting(POSITIVE_DURATION, 30.0, "How long a statement may take.")


@dataclass(frozen=True, slots=True)
class MongoSettings:
    """MongoDB, as another store of Chat and of Analytics."""

    url: SecretStr | None = setting(
        SECRET,
        None,
        "Address, `mongodb://user:password@host/database`; the database is `antiphon` unless it names one.",
        "MONGODB_URL",
    )
    connect_timeout: float = setting(POSITIVE_DURATION, 5.0, "How long one attempt to reach it may take.")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log, on standard error."""

    level: str = setting(
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", upper=True),
        "INFO",
        "Least level that is written.",
        "LOG_LEVEL",
    )
    format: str = setting(
        one_of("auto", "pretty", "json"), "auto", "How lines look; auto: pretty on a terminal, else JSON."
    )


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The Prometheus page."""

    address: str = setting(
        LISTEN_ADDRESS, "127.0.0.1:9464", "Address of the metrics page, host:port; `off` or empty: no page."
    )


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """The Auth service."""

    access_token_ttl: float = setting(
        POSITIVE_DURATION,
        900.0,
        "Life of an access token; JWT_ACCESS_TOKEN_EXPIRE_MINUTES is in minutes.",
        "JWT_EXPIRES_IN",
        Alias("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", MINUTES),
    )
    refresh_token_ttl: float = setting(
        POSITIVE_DURATION, 30 * 86400.0, "Life of a refresh token.", "JWT_REFRESH_EXPIRES_IN"
    )
    refresh_grace: float = setting(
        DURATION,
        30.0,
        "How long a rotated refresh token still answers with the living token of its login session.",
    )
    private_key_path: Path | None = setting(
        PATH,
        None,
        "PEM file of the signing key; without one, keys are made and kept in the database.",
        "JWT_PRIVATE_KEY_PATH",
    )
    public_key_path: Path | None = setting(
        PATH,
        None,
        "PEM file of the public key that belongs to it, and of others that are published with it, such as the next one's.",
        "JWT_PUBLIC_KEY_PATH",
    )
    private_key_passphrase: SecretStr | None = setting(
        SECRET, None, "Passphrase of the signing key's file.", "JWT_PRIVATE_KEY_PASSPHRASE"
    )
    issuer: str = setting(TEXT, "antiphon", "Issuer that own access tokens name.")
    audience: str = setting(TEXT, "antiphon", "Audience that own access tokens name.")
    registration: bool = setting(
        BOOLEAN, True, "Let anyone register; otherwise administrators make accounts."
    )
    refuse_common_passwords: bool = setting(
        BOOLEAN, True, "Refuse new passwords that are among the most common ones."
    )
    login_failures: int = setting(
        whole(0, 1_000_000),
        5,
        "Failed logins of an account, or from an address, after which logins are delayed; 0: never.",
    )
    login_delay: float = setting(
        POSITIVE_DURATION, 60.0, "Longest delay after failed logins; it begins with 1 s and doubles."
    )
    password_workers: int = setting(whole(1, 64), 2, "Threads that hash passwords.")
    password_queue: int = setting(whole(1, 100_000), 64, "Passwords that may wait for a thread.")


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """Whose tokens are believed beside the suite's own."""

    secret: SecretStr | None = setting(
        SECRET,
        None,
        "Key shared with a foreign issuer, such as a Django site; makes its tokens accepted.",
        "JWT_SECRET_KEY",
        "JWT_SECRET",
        "SECRET_KEY",
    )
    algorithm: str = setting(
        one_of("HS256", "HS384", "HS512", upper=True),
        "HS256",
        "Algorithm of that issuer's tokens.",
        "ALGORITHM",
        "JWT_ALGORITHM",
    )
    issuer: str = setting(TEXT, "", "`iss` that that issuer's tokens must have; empty: not looked at.")
    audience: str = setting(TEXT, "", "`aud` that that issuer's tokens must have; empty: not looked at.")
    user_id_claim: str = setting(TEXT, "user_id", "Claim of that issuer's tokens that names the person.")
    token_type_claim: str = setting(
        TEXT,
        "",
        "Claim in which every token of that issuer must say `access`: `token_type` for Simple JWT. Empty: a claim of that kind is looked "
        "at where there is one.",
    )
    leeway: float = setting(LEEWAY, 0.0, "How far that issuer's clock may be off, an hour at most.")
    legacy: bool = setting(BOOLEAN, False, "Accept a key of that issuer that is too short to be safe.")
    offline_grace: float = setting(
        DURATION,
        30.0,
        "How long login sessions and API keys still pass while Auth can't be asked what was revoked, or which keys sign; at least 3 s.",
    )
    issuers: tuple[ForeignIssuer, ...] = setting(
        ISSUERS,
        (),
        "More foreign issuers: a JSON array of objects with issuer, algorithms, one of secret, pem and jwks, "
        "and optionally audience, user_id_claim, token_type_claim, leeway (seconds), legacy. `pem` is the key or a path.",
    )

    @property
    def foreign_issuers(self) -> tuple[ForeignIssuer, ...]:
        """All foreign issuers; the one with the shared key first."""
        if self.secret is None:
            return self.issuers
        first = ForeignIssuer(
            issuer=self.issuer,
            algorithms=(self.algorithm,),
            audience=self.audience,
            secret=self.secret,
            user_id_claim=self.user_id_claim,
            token_type_claim=self.token_type_claim,
            leeway=self.leeway,
            legacy=self.legacy,
        )
        return (first, *self.issuers)


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """The Chat service."""

    store: str = setting(
        one_of("postgres", "mongo"),
        "postgres",
        "Where sessions, messages and records are kept; `mongo` needs MONGODB_URL, and then Chat needs no PostgreSQL.",
    )
    models_file: Path | None = setting(
        PATH, None, "TOML file of the models on offer; `echo` is always there."
    )
    openai_api_key: SecretStr | None = setting(
        SECRET, None, "Key for OpenAI or what speaks its protocol.", "OPENAI_API_KEY"
    )
    openai_base_url: str | None = setting(
        WEB_ADDRESS, None, "Address of what speaks OpenAI's protocol, with its /v1.", "OPENAI_BASE_URL"
    )
    github_token: SecretStr | None = setting(SECRET, None, "Token for GitHub Models.", "GITHUB_TOKEN")
    connect_timeout: float = setting(POSITIVE_DURATION, 10.0, "How long reaching a model may take.")
    first_token_timeout: float = setting(POSITIVE_DURATION, 60.0, "How long a model's first token may take.")
    idle_timeout: float = setting(
        POSITIVE_DURATION, 60.0, "How long a model may be silent between two tokens."
    )
    total_timeout: float = setting(POSITIVE_DURATION, 600.0, "How long an answer may take as a whole.")
    retries: int = setting(
        whole(0, 10), 2, "How often a model is asked again that fails before its first token, in one call."
    )
    breaker_failures: int = setting(
        whole(0, 1_000_000),
        5,
        "Failures of an endpoint in a row after which it is left alone for a while; 0: never.",
    )
    breaker_cooldown: float = setting(
        POSITIVE_DURATION, 15.0, "How long an endpoint that failed so often is left alone before it is tried."
    )
    max_answer_bytes: int = setting(
        SIZE, 3 * 1024**2, "Largest answer that is kept; clients take 4 MiB at once by default."
    )
    max_generations: int = setting(whole(1, 1_000_000), 2000, "Answers that a process makes at once.")
    max_image_bytes: int = setting(SIZE, 5 * 1024**2, "Largest picture of a message that a model is shown.")
    image_timeout: float = setting(
        POSITIVE_DURATION, 15.0, "How long fetching a picture of a message may take."
    )
    event_retention: float = setting(DURATION, 86400.0, "How long events are kept once their message exists.")
    answer_retention: float = setting(
        DURATION, 30 * 86400.0, "How long answers to calls without a session are kept."
    )
    lease_ttl: float = setting(POSITIVE_DURATION, 10.0, "How long a silent process still counts as alive.")
    echo_interval_ms: int = setting(whole(0, 60_000), 20, "Milliseconds between two words of `echo`.")


@dataclass(frozen=True, slots=True)
class AnalyticsSettings:
    """The record of what was used."""

    enabled: bool = setting(BOOLEAN, True, "Record and ship what was used.", "ENABLE_ANALYTICS")
    store: str = setting(
        one_of("postgres", "mongo"),
        "postgres",
        "Where events and figures are kept; `mongo` needs MONGODB_URL, and then Analytics needs no PostgreSQL.",
    )
    event_retention: float = setting(
        POSITIVE_DURATION, 90 * 86400.0, "How long single events are kept; older ones are refused."
    )
    figure_retention: float = setting(
        POSITIVE_DURATION, 1096 * 86400.0, "How long figures are kept, at least as long as events."
    )
    refused_calls: int = setting(
        whole(0, 100_000),
        1000,
        "Calls a second and process that are recorded although nothing began, such as those past a limit, of anonymous callers a"
        " twentieth; more are only counted.",
    )
    max_watchers: int = setting(
        whole(1, 100_000), 1000, "Callers of WatchUsage that a process serves at once."
    )


@dataclass(frozen=True, slots=True)
class Sections:
    """All sections; the field's name is the section's."""

    server: ServerSettings = field(default_factory=ServerSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    mongo: MongoSettings = field(default_factory=MongoSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    chat: ChatSettings = field(default_factory=ChatSettings)
    blobs: BlobSettings = field(default_factory=BlobSettings)
    image: ImageSettings = field(default_factory=ImageSettings)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    analytics: AnalyticsSettings = field(default_factory=AnalyticsSettings)
    peers: PeerSettings = field(default_factory=PeerSettings)
