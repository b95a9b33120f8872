"""Addresses of databases, as people write them."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from services.infra.postgres.urls import describe_url, normalise_url
from services.kernel.startup import StartupError

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
_HOST = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True)
_FOLDER = st.from_regex(r"/[a-z][a-z0-9 _%+-]{0,20}", fullmatch=True)
_ADDRESS = st.sampled_from(["::1", "fe80::2", "10.0.0.7"])
_SCHEME = st.sampled_from(
    ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2", "postgresql+psycopg"]
)


def url_from_parts(host: str, port: int | None, username: str, password: str, database: str) -> str:
    """An address as somebody careful writes it."""
    user_info = quote(username, safe="") + (f":{quote(password, safe='')}" if password else "")
    # A path is the folder of a socket, which stands in the query; a bare IPv6 address needs brackets.
    folder = host.startswith("/")
    name = "" if folder else f"[{host}]" if ":" in host and not host.startswith("[") else host
    place = name + (f":{port}" if port and not folder else "")
    options: Mapping[str, str] = {"host": host, **({"port": str(port)} if port else {})} if folder else {}
    query = f"?{urlencode(options, quote_via=quote, safe='')}" if options else ""
    return f"postgresql://{user_info}{'@' if user_info else ''}{place}/{quote(database, safe='')}{query}"


@given(
    host=_HOST | _FOLDER | _ADDRESS,
    port=st.none() | st.integers(1, 65535),
    user=_TEXT,
    password=_TEXT,
    name=_TEXT,
    scheme=_SCHEME,
    options=st.fixed_dictionaries(
        {},
        optional={
            "sslmode": st.just("require"),
            "application_name": st.from_regex(r"\w{1,9}", fullmatch=True),
        },
    ),
)
def test_whatever_the_parts_hold_libpq_reads_the_same_parts(
    host: str, port: int | None, user: str, password: str, name: str, scheme: str, options: dict[str, str]
) -> None:
    url = url_from_parts(host, port, user, password, name).replace("postgresql", scheme, 1)
    more = "&".join(f"{key}={value}" for key, value in options.items())
    url += ("&" if "?" in url else "?") + more if more else ""
    normal = normalise_url(url)
    read = {key: value for key, value in conninfo_to_dict(normal).items() if value is not None}
    expected = {"host": host, "user": user, "password": password, "dbname": name, **options}
    assert read == expected | ({"port": str(port)} if port else {})
    assert normalise_url(normal) == normal
    if password not in f"{user}{host}{name}{port}postgresql://@:/":
        assert password not in describe_url(url)


def test_several_hosts_and_their_options_stay() -> None:
    read = conninfo_to_dict(normalise_url("postgres://a:1,b:2/name?target_session_attrs=read-write"))
    assert (read["host"], read["port"], read["target_session_attrs"]) == ("a,b", "1,2", "read-write")


@pytest.mark.parametrize(
    ("written", "mode"), [("require", "require"), ("true", "require"), ("verify-full", "verify-full")]
)
def test_asyncpg_names_the_ssl_mode_differently(written: str, mode: str) -> None:
    assert conninfo_to_dict(normalise_url(f"postgresql+asyncpg://host/name?ssl={written}"))["sslmode"] == mode


def test_an_at_sign_in_a_password_needs_no_quoting() -> None:
    read = conninfo_to_dict(normalise_url("postgresql://user:p@ss:word@host/name"))
    assert (read["host"], read["password"]) == ("host", "p@ss:word")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://user:secret@host/name",
        "host=secret",
        "postgresql://host:secret-port/name?x=secret",
        "postgresql://%zz:secret@host",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(StartupError, match="DATABASE_URL") as failure:
        normalise_url(url)
    assert "secret" not in str(failure.value)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(StartupError, match="option schema is unknown"):
        normalise_url("postgresql://host/name?schema=public")
