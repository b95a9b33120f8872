"""Secrets in files of their own."""

from pathlib import Path

import pytest

from services.kernel.startup import StartupError
from services.settings import SecretStr, Settings, environment
from services.settings.reading import secret_names


def load(folder: Path, **environ: str) -> Settings:
    return Settings.load(environ, folder)


def secret(folder: Path, text: str, name: str = "secret") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "ANTIPHON_CHAT__OPENAI_API_KEY"])
def test_every_name_of_a_secret_may_have_a_file(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, **{f"{name}_FILE": secret(tmp_path, "sk-1\n")})
    assert settings.chat.openai_api_key == SecretStr("sk-1")


def test_the_parts_of_a_database_have_the_password_in_a_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        DATABASE_HOST="db",
        DATABASE_USERNAME="ana",
        DATABASE_PASSWORD_FILE=secret(tmp_path, "p@ss/word\n"),
    )
    assert settings.database.url == "postgresql://ana:p%40ss%2Fword@db:5432/antiphon"


def test_a_file_beside_the_working_directory_is_found_by_its_name(tmp_path: Path) -> None:
    secret(tmp_path, "mongodb://a:b@db/antiphon", "mongodb")
    (tmp_path / ".env").write_text("MONGODB_URL_FILE=mongodb\n")
    assert load(tmp_path).mongo.url == SecretStr("mongodb://a:b@db/antiphon")


def test_the_environment_wins_over_a_file_that_dotenv_names(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY_FILE={secret(tmp_path, 'sk-1')}\n")
    assert load(tmp_path, OPENAI_API_KEY="sk-2").chat.openai_api_key == SecretStr("sk-2")


def test_catalogs_find_such_keys_too(tmp_path: Path) -> None:
    found = environment({"OPENAI_API_KEY_FILE": secret(tmp_path, "sk-1")}, tmp_path)
    assert found["OPENAI_API_KEY"] == "sk-1"


def test_what_is_no_secret_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="ANTIPHON_SERVER__HOST_FILE"):
        load(tmp_path, ANTIPHON_SERVER__HOST_FILE=secret(tmp_path, "127.0.0.1"))


def test_the_deployment_s_secret_keeps_its_own_setting(tmp_path: Path) -> None:
    assert "ANTIPHON_SECRET_KEY" not in secret_names()
    path = secret(tmp_path, "0" * 32)
    settings = load(tmp_path, ANTIPHON_SECRET_KEY_FILE=path)
    assert (settings.secret_key, settings.secret_key_file) == (None, Path(path))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b" \n", "is empty"), (b"\xff", "is no text"), (b"x" * 70_000, "too large"), (None, "can't be read")],
)
def test_a_file_that_has_no_secret_is_an_error_that_shows_nothing(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(StartupError, match=f"HF_TOKEN_FILE.*{told}"):
        load(tmp_path, HF_TOKEN_FILE=str(tmp_path / "secret"))


def test_a_secret_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="both set") as caught:
        load(tmp_path, HF_TOKEN="hunter2", HF_TOKEN_FILE=secret(tmp_path, "hunter3"))
    assert "hunter" not in caught.value.message
