"""What an operator writes, and what the suite understands."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.startup import StartupError
from services.settings import ForeignIssuer, Settings, environment
from services.settings.addresses import DATABASE_URL, database_parts, database_url
from services.settings.kinds import DURATION, SIZE


def load(folder: Path, **environ: str) -> Settings:
    return Settings.load(environ, folder)


def test_nothing_set_gives_a_suite_for_this_machine(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 50051)
    assert settings.data_dir == tmp_path / ".antiphon"
    assert settings.metrics.address == "127.0.0.1:9464"
    assert settings.database.url is None
    assert settings.auth.access_token_ttl == 900
    assert settings.auth.refresh_token_ttl == 30 * 86400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", 900), ("30d", 2_592_000), ("10s", 10), ("1h30m", 5400), ("45", 45), ("250ms", 0.25)],
)
def test_durations_have_many_forms(tmp_path: Path, text: str, seconds: float) -> None:
    assert load(tmp_path, ANTIPHON_SERVER__GRACE=text).server.grace == seconds


@given(st.integers(min_value=0, max_value=10**8))
def test_a_duration_is_read_as_it_is_shown(seconds: int) -> None:
    assert DURATION.parse(DURATION.show(float(seconds))) == seconds


@given(st.integers(min_value=1, max_value=2**40))
def test_a_size_is_read_as_it_is_shown(size: int) -> None:
    assert SIZE.parse(SIZE.show(size)) == size


@given(
    st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True),
    st.integers(min_value=1, max_value=65535),
    st.text(min_size=1, max_size=20).filter(str.isprintable),
    st.text(max_size=20).filter(str.isprintable),
    st.text(min_size=1, max_size=20).filter(str.isprintable),
)
def test_a_database_url_says_what_it_was_made_of(
    host: str, port: int, user: str, password: str, name: str
) -> None:
    url = DATABASE_URL.parse(database_url(host, str(port), user, password, name))
    assert database_parts(url) == {
        "HOST": host,
        "PORT": str(port),
        "USERNAME": user,
        "PASSWORD": password,
        "NAME": name,
    }


@pytest.mark.parametrize(
    "name", ["ANTIPHON_AUTH__ACCESS_TOKEN_TTL", "JWT_EXPIRES_IN"], ids=["own name", "name of the seeds"]
)
def test_a_setting_has_several_names(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, **{name: "5m"}).auth.access_token_ttl == 300


def test_minutes_are_minutes(tmp_path: Path) -> None:
    settings = load(tmp_path, JWT_ACCESS_TOKEN_EXPIRE_MINUTES="15", JWT_EXPIRES_IN="900s")
    assert settings.auth.access_token_ttl == 900


def test_two_names_that_disagree_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"JWT_EXPIRES_IN and JWT_ACCESS_TOKEN_EXPIRE_MINUTES .* disagree"):
        load(tmp_path, JWT_ACCESS_TOKEN_EXPIRE_MINUTES="20", JWT_EXPIRES_IN="15m")


def test_secrets_that_disagree_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        load(tmp_path, JWT_SECRET_KEY="first-secret", SECRET_KEY="other-secret")
    assert "secret" not in str(caught.value).replace("SECRET", "")


def test_a_misspelt_name_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        load(tmp_path, ANTIPHON_SERVER__PROT="1")
    assert "ANTIPHON_SERVER__PROT" in caught.value.message
    assert "ANTIPHON_SERVER__PORT" in caught.value.advice


def test_names_of_others_are_nobodys_business(tmp_path: Path) -> None:
    load(tmp_path, PATH="/bin", ANTIPHONAL="1", HF_TOKEN="x", CORS_ORIGINS="*", ANTIPHON_TOKEN="t")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ANTIPHON_SERVER__PORT", "99999"),
        ("ANTIPHON_SERVER__PORT", "http"),
        ("JWT_EXPIRES_IN", "soon"),
        ("LOG_LEVEL", "LOUD"),
        ("ENABLE_ANALYTICS", "maybe"),
        ("ANTIPHON_METRICS__ADDRESS", "9464"),
        ("LLM_SERVICE_URL", "https://chat:50051/path"),
        ("LLM_SERVICE_URL", "https://chat"),
        ("LLM_SERVICE_URL", "ftp://chat:50051"),
        ("OPENAI_BASE_URL", "localhost:8000"),
        ("ANTIPHON_SERVER__MAX_MESSAGE_BYTES", "0"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error_with_the_name_that_was_used(
    tmp_path: Path, name: str, text: str
) -> None:
    with pytest.raises(StartupError) as caught:
        load(tmp_path, **{name: text})
    assert caught.value.message.startswith(f"{name} (in the environment): expected ")
    assert text in caught.value.message


def test_a_wrong_database_url_is_not_echoed(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        load(tmp_path, DATABASE_URL="mysql://root:hunter2@db/x")
    assert "DATABASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2"])
def test_any_postgresql_url_is_taken(tmp_path: Path, scheme: str) -> None:
    settings = load(tmp_path, DATABASE_URL=f"{scheme}://ana:pa@ss@db:5433/app?sslmode=require")
    assert settings.database.url == "postgresql://ana:pa@ss@db:5433/app?sslmode=require"
    assert settings.redacted()["ANTIPHON_DATABASE__URL"] == "postgresql://ana:***@db:5433/app"


def test_a_database_may_be_given_in_parts(tmp_path: Path) -> None:
    settings = load(
        tmp_path, DATABASE_HOST="db", DATABASE_USERNAME="ana", DATABASE_PASSWORD="p/w", DATABASE_NAME="app"
    )
    assert settings.database.url == "postgresql://ana:p%2Fw@db:5432/app"


def test_url_and_parts_must_agree(tmp_path: Path) -> None:
    url = "postgresql://ana@db:5432/app"
    assert load(tmp_path, DATABASE_URL=url, DATABASE_HOST="db", DATABASE_NAME="app").database.url == url
    with pytest.raises(StartupError, match=r"DATABASE_URL and DATABASE_HOST .* disagree"):
        load(tmp_path, DATABASE_URL=url, DATABASE_HOST="elsewhere")
    with pytest.raises(StartupError, match="DATABASE_HOST is not"):
        load(tmp_path, DATABASE_PORT="5432")


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# settings\nLOG_LEVEL=debug\nexport JWT_EXPIRES_IN='10m' # short\nANTIPHON_ADMIN_EMAIL=\"ana@example.com\"\n"
    )
    settings = load(tmp_path, ANTIPHON_LOG__LEVEL="ERROR")
    assert settings.log.level == "ERROR"
    assert settings.auth.access_token_ttl == 600
    assert settings.admin_email == "ana@example.com"


def test_the_command_line_wins_over_all(tmp_path: Path) -> None:
    settings = Settings.load({"ANTIPHON_SERVER__PORT": "1"}, tmp_path, {"ANTIPHON_SERVER__PORT": "2"})
    assert settings.server.port == 2


@pytest.mark.parametrize(("name", "word"), [("APP_ENV", "prod"), ("NODE_ENV", "production")])
def test_production_has_a_file_of_its_own(tmp_path: Path, name: str, word: str) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\n")
    (tmp_path / ".env.prod").write_text("LOG_LEVEL=CRITICAL\n")
    assert load(tmp_path, **{name: word}).log.level == "CRITICAL"
    assert load(tmp_path).log.level == "DEBUG"


def test_app_env_and_node_env_must_agree(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="disagree"):
        load(tmp_path, APP_ENV="prod", NODE_ENV="development")


@pytest.mark.parametrize("line", ["just words", "NAME 1", 'NAME="open', "=1"])
def test_a_line_that_is_no_setting_is_an_error_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"LOG_LEVEL=INFO\n{line}\n")
    with pytest.raises(StartupError, match="line 2"):
        load(tmp_path)


def test_a_misspelt_name_in_the_file_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ANTIPHON_LOG_LEVEL=INFO\n")
    with pytest.raises(StartupError, match=r"ANTIPHON_LOG_LEVEL \(in .*\.env\)"):
        load(tmp_path)


def test_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    settings = load(tmp_path, OPENAI_API_KEY="", DATABASE_URL=" ", ANTIPHON_SERVER__PORT="")
    assert settings.chat.openai_api_key is None
    assert settings.database.url is None
    assert settings.server.port == 50051


@pytest.mark.parametrize("text", ["", "off"])
def test_metrics_can_be_switched_off(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, ANTIPHON_METRICS__ADDRESS=text).metrics.address == ""


@pytest.mark.parametrize("text", ["auth:50051", "http://auth:50051", "http://auth:50051/"])
def test_peers_have_addresses(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, USERS_SERVICE_URL=text).peers.auth == "auth:50051"


@pytest.mark.parametrize("text", ["https://auth:50051", "HTTPS://auth:50051/"])
def test_peers_may_speak_tls(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, USERS_SERVICE_URL=text).peers.auth == "https://auth:50051"


def test_a_shared_key_makes_a_foreign_issuer(tmp_path: Path) -> None:
    settings = load(tmp_path, JWT_SECRET="k" * 32, ALGORITHM="hs512")
    (issuer,) = settings.identity.foreign_issuers
    assert issuer.secret is not None
    assert issuer.secret.get_secret_value() == "k" * 32
    assert issuer.algorithms == ("HS512",)
    assert load(tmp_path).identity.foreign_issuers == ()


def test_more_foreign_issuers_come_as_json(tmp_path: Path) -> None:
    text = '[{"issuer": "https://id.example.com", "algorithms": ["RS256"], "jwks": "https://id.example.com/keys"}]'
    (issuer,) = load(tmp_path, ANTIPHON_IDENTITY__ISSUERS=text).identity.foreign_issuers
    assert issuer == ForeignIssuer(
        ("RS256",), issuer="https://id.example.com", jwks="https://id.example.com/keys"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        '[{"algorithms": ["RS256"]}]',
        '[{"algorithms": ["RS256"], "secret": "hunter2"}]',
        '[{"algorithms": ["none"], "pem": "x"}]',
        '[{"algorithms": ["RS256"], "pem": "x", "jkws": "y"}]',
    ],
)
def test_a_foreign_issuer_that_makes_no_sense_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(StartupError, match="ANTIPHON_IDENTITY__ISSUERS") as caught:
        load(tmp_path, ANTIPHON_IDENTITY__ISSUERS=text)
    assert "hunter2" not in str(caught.value)


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    names = (
        "ANTIPHON_SECRET_KEY",
        "JWT_SECRET_KEY",
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "JWT_PRIVATE_KEY_PASSPHRASE",
    )
    environ = {name: f"hunter2-{name}" for name in names} | {"DATABASE_URL": "postgresql://a:hunter2@db/x"}
    settings = load(tmp_path, **environ)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.redacted())
    assert settings.redacted()["ANTIPHON_SECRET_KEY"] == "(set)"


def test_names_that_the_operator_chose_come_from_the_file_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MY_KEY=from-file\nOTHER=1\n")
    found = environment({"OTHER": "2"}, tmp_path)
    assert (found["MY_KEY"], found["OTHER"]) == ("from-file", "2")
