"""From the environment and a file to `Settings`, or to an error that says what to change."""

# ruff: noqa: RUF009 - `setting` makes a dataclass field.

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from services.kernel.startup import StartupError
from services.settings import dotenv
from services.settings.addresses import database_parts, database_url
from services.settings.kinds import (
    PATH,
    SECRET,
    TEXT,
    Kind,
    SecretStr,
    Setting,
    Unsuitable,
    setting,
    setting_of,
)
from services.settings.reserved import CLIENT_NAMES, RESERVED_NAMES
from services.settings.secret_files import SUFFIX, with_secret_files
from services.settings.sections import Sections

PREFIX = "ANTIPHON_"
DATABASE_PARTS = tuple(f"DATABASE_{part}" for part in ("HOST", "PORT", "USERNAME", "PASSWORD", "NAME"))
_APP_ENVS = {"": "dev", "development": "dev", "production": "prod"}
_FILES = {"dev": ".env"}


@dataclass(frozen=True, slots=True)
class Settings(Sections):
    """Everything that an operator can set. Built by `load`; tests build it directly."""

    app_env: str = setting(
        TEXT,
        "dev",
        "`dev` reads .env, `prod` reads .env.prod, another word .env.<word>.",
        "APP_ENV",
        "NODE_ENV",
    )
    data_dir: Path = setting(PATH, Path(".antiphon"), "Folder of what the suite keeps on this machine.")
    secret_key: SecretStr | None = setting(
        SECRET,
        None,
        "The deployment's secret, at least 32 random bytes as text, the same for all replicas. "
        "Made by itself with the embedded database only.",
    )
    secret_key_file: Path | None = setting(PATH, None, "File that holds the deployment's secret instead.")
    admin_email: str = setting(
        TEXT, "admin@antiphon.local", "E-mail of the administrator that the first start makes."
    )

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> Settings:
        """Read the settings: `overrides` (from the command line, by their ANTIPHON_ names) win over the environment, and that
        over the file.

        Raises StartupError for an unknown ANTIPHON_ name, a value of the wrong kind, and two names of one setting that disagree.
        """
        environ = os.environ if environ is None else environ
        cwd = Path.cwd() if cwd is None else cwd
        app_env = _app_env(environ)
        file = _file(app_env, cwd)
        from_file = dotenv.read(file)
        if _APP_ENVS.get(from_file.get("APP_ENV", app_env), from_file.get("APP_ENV", app_env)) != app_env:
            raise StartupError(
                f"{file.name} sets APP_ENV, which chooses the file that is read",
                "Set APP_ENV in the environment and remove it from the file.",
            )
        given = (("the command line", overrides or {}), ("the environment", environ), (str(file), from_file))
        for origin, values in given:
            _refuse_unknown(origin, values)
        secrets = secret_names()
        layers = tuple((origin, with_secret_files(origin, values, secrets, cwd)) for origin, values in given)
        found = {entry.path: _resolve(entry, layers) for entry in entries() if entry.path != "app_env"}
        found["app_env"] = app_env
        settings = _build({path: value for path, value in found.items() if value is not _UNSET})
        return dataclasses.replace(settings, data_dir=Path(os.path.abspath(cwd / settings.data_dir)))

    def redacted(self) -> dict[str, str]:
        """Every setting by its ANTIPHON_ name (or its only one) with its value as text, secrets shown as `(set)`."""
        return {entry.name: entry.show(entry.of(self)) for entry in entries()}


def environment(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> dict[str, str]:
    """The environment with what the file adds to it, for names that the operator chooses, such as a provider's key; secrets that are in
    files of their own among it. Raises StartupError where `Settings.load` does for these."""
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    file, secrets = _file(_app_env(environ), cwd), secret_names()
    return {
        **with_secret_files(str(file), dotenv.read(file), secrets, cwd),
        **with_secret_files("the environment", environ, secrets, cwd),
    }


class _Unset:
    pass


_UNSET = _Unset()


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting as the documentation lists it. `path` is `section.field`, or `field` at the top."""

    path: str
    setting: Setting
    default: Any

    @property
    def name(self) -> str:
        """Its own name in the environment."""
        return "APP_ENV" if self.path == "app_env" else PREFIX + self.path.upper().replace(".", "__")

    @property
    def names(self) -> tuple[tuple[str, Kind[Any]], ...]:
        """All its names, each with how it is written."""
        others = tuple((alias.name, alias.kind or self.setting.kind) for alias in self.setting.aliases)
        own = (self.name, self.setting.kind)
        return (own, *(other for other in others if other[0] != self.name))

    def of(self, settings: Settings) -> Any:
        """Its value."""
        value: Any = settings
        for part in self.path.split("."):
            value = getattr(value, part)
        return value

    def show(self, value: Any) -> str:
        """A value as the operator would write it; secrets are hidden."""
        return "" if value is None else self.setting.kind.show(value)


def entries() -> Iterator[Entry]:
    """Every setting."""
    for top in dataclasses.fields(Settings):
        described = setting_of(top.metadata)
        if described is not None:
            yield Entry(top.name, described, top.default)
    for section in dataclasses.fields(Sections):
        factory = cast("type[Any]", section.default_factory)
        for field in dataclasses.fields(factory):
            described = setting_of(field.metadata)
            assert described is not None
            yield Entry(f"{section.name}.{field.name}", described, field.default)


def known_names() -> frozenset[str]:
    """Every name that means something to the suite, now or later."""
    own = {name for entry in entries() for name, _ in entry.names}
    in_files = {name + SUFFIX for name in secret_names()}
    return frozenset(own | in_files | set(DATABASE_PARTS) | set(RESERVED_NAMES) | set(CLIENT_NAMES))


def secret_names() -> frozenset[str]:
    """The names of secrets that a file may hold. That of the deployment's own secret is a setting, and not among them."""
    named = {name: kind for entry in entries() for name, kind in entry.names}
    secrets = {name for name, kind in named.items() if kind.secret and name + SUFFIX not in named}
    return frozenset(secrets | {"DATABASE_PASSWORD"})


def _file(app_env: str, cwd: Path) -> Path:
    return cwd / _FILES.get(app_env, f".env.{app_env}")


def _app_env(environ: Mapping[str, str]) -> str:
    given = {name: environ[name].strip().lower() for name in ("APP_ENV", "NODE_ENV") if environ.get(name)}
    words = {_APP_ENVS.get(word, word) for word in given.values()}
    if len(words) > 1:
        raise StartupError("APP_ENV and NODE_ENV disagree in the environment", "Set one of them.")
    word = words.pop() if words else "dev"
    if not word.replace("-", "").replace("_", "").isalnum():
        raise StartupError(f"{next(iter(given))} (in the environment): expected a word such as dev or prod")
    return word


def _refuse_unknown(origin: str, values: Mapping[str, str]) -> None:
    known = known_names()
    for name in values:
        if name.startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise StartupError(
                f"{name} (in {origin}) is no setting",
                f"Did you mean {nearest[0]}? docs/configuration.md lists all settings.",
            )


def _resolve(entry: Entry, layers: tuple[tuple[str, Mapping[str, str]], ...]) -> Any:
    """The value from the first layer that has one."""
    for origin, values in layers:
        found: dict[str, Any] = {}
        for name, kind in entry.names:
            text = values.get(name)
            if text is not None and (text.strip() or kind.empty):
                found[name] = _parse(name, text, kind, origin)
        if entry.path == "database.url":
            _add_database_parts(found, values, origin)
        if found:
            first, *others = found
            for other in others:
                if found[other] != found[first]:
                    raise StartupError(
                        f"{first} and {other} (in {origin}) disagree",
                        "They are two names of one setting: keep one of them.",
                    )
            return found[first]
    return _UNSET


def _parse(name: str, text: str, kind: Kind[Any], origin: str) -> Any:
    try:
        return kind.parse(text)
    except Unsuitable as error:
        raise StartupError(f"{name} (in {origin}): {error}") from None
    except ValueError:
        got = "another text" if kind.secret else f"{text.strip()!r}"
        raise StartupError(f"{name} (in {origin}): expected {kind.expected}, not {got}") from None


def _add_database_parts(found: dict[str, Any], values: Mapping[str, str], origin: str) -> None:
    """DATABASE_HOST and its like make a URL, or must say what the URL says."""
    given = {name: values[name].strip() for name in DATABASE_PARTS if values.get(name, "").strip()}
    if not given:
        return
    for url_name, url in found.items():
        parts = database_parts(url)
        for name, value in given.items():
            if parts[name.removeprefix("DATABASE_")] != value:
                raise StartupError(
                    f"{url_name} and {name} (in {origin}) disagree", "Keep the URL or the parts, not both."
                )
    if found:
        return
    if "DATABASE_HOST" not in given:
        raise StartupError(
            f"{next(iter(given))} (in {origin}) is set, and DATABASE_HOST is not",
            "Set DATABASE_HOST or DATABASE_URL.",
        )
    try:
        found["DATABASE_HOST"] = database_url(
            *(
                given.get(name, default)
                for name, default in zip(DATABASE_PARTS, ("", "5432", "", "", "antiphon"), strict=True)
            )
        )
    except ValueError:
        raise StartupError(
            f"DATABASE_PORT (in {origin}): expected a port, not {given['DATABASE_PORT']!r}"
        ) from None


def _build(values: Mapping[str, Any]) -> Settings:
    top = {path: value for path, value in values.items() if "." not in path}
    for section in dataclasses.fields(Sections):
        factory = cast("type[Any]", section.default_factory)
        prefix = section.name + "."
        top[section.name] = factory(
            **{path.removeprefix(prefix): value for path, value in values.items() if path.startswith(prefix)}
        )
    return Settings(**top)
