"""The deployment's secret: where it comes from, and when there is none."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.bootstrap.secret import deployment_secret
from services.bootstrap.suite import chosen
from services.kernel.startup import StartupError
from services.settings import SecretStr, Settings


def test_beside_the_embedded_database_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "a b" / "data")
    first = deployment_secret(settings, embedded=True)
    (file,) = settings.data_dir.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert deployment_secret(settings, embedded=True).derive("x") == first.derive("x")


def test_two_starts_at_once_agree_on_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda _: deployment_secret(settings, embedded=True).derive("x"), range(16))
    assert len(set(made)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_with_a_database_of_the_operators_it_is_required(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="ANTIPHON_SECRET_KEY is not set"):
        deployment_secret(Settings(data_dir=tmp_path), embedded=False)
    assert list(tmp_path.iterdir()) == []


def test_it_is_taken_from_the_setting_or_a_file(tmp_path: Path) -> None:
    text = "s" * 40
    file = tmp_path / "secret.txt"
    file.write_text(text + "\n")
    by_setting = deployment_secret(Settings(secret_key=SecretStr(text)), embedded=False)
    by_file = deployment_secret(Settings(secret_key_file=file), embedded=False)
    assert by_setting.derive("x") == by_file.derive("x")


@pytest.mark.parametrize("text", ["", "short"])
def test_one_that_is_too_short_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret.txt"
    file.write_text(text)
    with pytest.raises(StartupError, match="too short") as caught:
        deployment_secret(Settings(secret_key_file=file), embedded=False)
    assert "short'" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"nowhere\.txt can't be read"):
        deployment_secret(Settings(secret_key_file=tmp_path / "nowhere.txt"), embedded=True)


def test_two_sources_are_one_too_many(tmp_path: Path) -> None:
    settings = Settings(secret_key=SecretStr("s" * 40), secret_key_file=tmp_path / "secret.txt")
    with pytest.raises(StartupError, match="both set"):
        deployment_secret(settings, embedded=False)


def test_services_are_chosen_by_name() -> None:
    assert chosen([]) == ("auth", "chat", "image", "speech", "analytics")
    assert chosen(["chat", "auth", "chat"]) == ("auth", "chat")
    with pytest.raises(StartupError, match="'caht'") as caught:
        chosen(["auth", "caht"])
    assert "chat" in caught.value.advice
