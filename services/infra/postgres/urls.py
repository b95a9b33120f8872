"""The many ways to write a PostgreSQL address, and the one way that libpq reads."""

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from services.kernel.startup import StartupError

_FORM = re.compile(
    r"(?:postgres|postgresql)(?:\+\w+)?://(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_ADVICE = "Write it as postgresql://user:password@host:5432/name?sslmode=require"

# How other drivers name what libpq calls sslmode, and the values that differ.
_SSL_MODES = {"true": "require", "1": "require", "false": "disable", "0": "disable"}


def normalise_url(url: str, name: str = "DATABASE_URL") -> str:
    """The same address for libpq, from any `postgres://` or `postgresql+driver://` form; its options stay.

    A password with an unquoted `@` is understood. Raises StartupError, calling the setting by `name` and
    never quoting what may be the password, when this is no such address or has an option that libpq doesn't
    know.
    """
    parts = _FORM.fullmatch(url.strip())
    if parts is None:
        raise StartupError(f"{name} is no address of a PostgreSQL database.", _ADVICE)
    user_info, at, hosts = parts["authority"].rpartition("@")
    options = [
        _for_libpq(option, value) for option, value in parse_qsl(parts["query"] or "", keep_blank_values=True)
    ]
    query = f"?{urlencode(options, quote_via=quote, safe='')}" if options else ""
    user_info = user_info.replace("@", "%40")
    normal = f"postgresql://{user_info}{at}{hosts}{parts['path'] or ''}{query}"
    try:
        conninfo_to_dict(normal)
    except psycopg.ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w*)"', str(error))
        why = f": the option {unknown[1]} is unknown" if unknown else ""
        raise StartupError(
            f"{name} is no address that PostgreSQL's library understands{why}.", _ADVICE
        ) from None
    return normal


def _for_libpq(option: str, value: str) -> tuple[str, str]:
    if option == "ssl":
        return "sslmode", _SSL_MODES.get(value.lower(), value)
    return option, value


def describe_url(url: str) -> str:
    """Where the database is, for people and logs: no password, no options."""
    known = {
        key: str(value) for key, value in conninfo_to_dict(normalise_url(url)).items() if value is not None
    }
    place = known.get("host") or known.get("hostaddr") or "localhost"
    port = known.get("port")
    at = f"{known['user']}@" if "user" in known else ""
    return f"postgresql://{at}{unquote(place)}{f':{port}' if port else ''}/{known.get('dbname', '')}"
