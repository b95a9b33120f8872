"""What the Dockerfile and docker-compose.yml keep to, as far as it can be seen without a container engine."""

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from services.bootstrap.suite import SERVICES
from services.settings.reading import known_names
from tests.compose_file import IMAGE_SECRETS, ROOT, Container, compose_file, image

COMPOSE = compose_file()
IMAGE = image()
OURS = [each for each in COMPOSE.containers.values() if each.is_ours]
SEED_PORTS = {
    "auth": 50051,
    "chat": 50052,
    "image": 50053,
    "speech": 50054,
    "analytics": 50055,
    "postgres": 5432,
    "postgres-speech": 5434,
    "mongodb": 27017,
}
# What the images of others, and the image's own Python, read.
OTHERS = re.compile(r"POSTGRES_|MONGO_INITDB_|MINIO_|PYTHON[A-Z]+$|PATH$")

ours = pytest.mark.parametrize("container", OURS, ids=lambda each: each.name)
all_of_them = pytest.mark.parametrize("container", COMPOSE.containers.values(), ids=lambda each: each.name)


def test_images_are_those_of_a_version() -> None:
    images = [*IMAGE.bases, *(each.image for each in COMPOSE.containers.values())]
    tags = [name.partition(":")[2] for name in images]
    assert [name for name, tag in zip(images, tags, strict=True) if not re.search(r"\d", tag)] == []


def test_our_image_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {each.image for each in OURS} == {f"antiphon:{project['version']}"}


def test_our_image_is_asked_of_no_registry() -> None:
    assert {each.described["pull_policy"] for each in OURS} == {"never"}


def test_the_image_runs_as_a_user_with_a_name_and_keeps_all_in_data() -> None:
    assert IMAGE.last("USER") == "10001:10001"
    assert "useradd --uid 10001 --gid 10001" in IMAGE.last("RUN")
    assert IMAGE.environment["ANTIPHON_DATA_DIR"] == "/data"
    assert IMAGE.last("VOLUME") == '["/data"]'
    assert IMAGE.last("STOPSIGNAL") == "SIGTERM"
    assert IMAGE.entrypoint == ["antiphon"]
    assert IMAGE.health_command[:2] == ["antiphon", "health"]


def test_the_image_is_built_of_what_is_named_alone() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    named = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert [name for name in named if not (ROOT / name).exists()] == []
    copied = [words for name, words in IMAGE.instructions if name in ("COPY", "ADD")]
    assert copied == ["--from=build /opt/antiphon /opt/antiphon"]


def test_no_secret_stands_in_a_file() -> None:
    secret = re.compile(r"(PASSWORD|SECRET|TOKEN|API_KEY|ACCESS_KEY|URL)$")
    for container in COMPOSE.containers.values():
        for name, value in container.environment.items():
            assert not (secret.search(name) and re.search(r"//[^/]*:[^/]*@", value)), (container.name, name)
            if re.search(r"(PASSWORD|SECRET|TOKEN|KEY)$", name):
                assert value == "", (container.name, name)
    assert not any(re.search(r"(PASSWORD|SECRET|TOKEN|KEY)", name) for name in IMAGE.environment)


@all_of_them
def test_what_is_set_is_known(container: Container) -> None:
    environment = {**container.environment, **(IMAGE.environment if container.is_ours else {})}
    assert {name for name in environment if not OTHERS.match(name)} <= known_names()


@all_of_them
def test_secrets_volumes_and_networks_are_declared(container: Container) -> None:
    assert set(container.secrets) <= set(COMPOSE.secrets)
    assert {each.partition(":")[0] for each in container.described.get("volumes", [])} <= COMPOSE.volumes
    assert set(container.described["networks"]) <= COMPOSE.networks
    read = {value for value in container.environment.values() if value.startswith(IMAGE_SECRETS)}
    assert read == {IMAGE_SECRETS + name for name in container.secrets}


@all_of_them
def test_every_container_is_bounded_and_comes_back(container: Container) -> None:
    limits = container.described["deploy"]["resources"]["limits"]
    # An engine refuses a container more processors than its machine has, so none is named.
    assert set(limits) == {"memory", "pids"}
    once = container.command == ["migrate"]
    assert container.described["restart"] == ("no" if once else "unless-stopped")
    assert "no-new-privileges:true" in container.described["security_opt"]
    if not container.is_ours:
        assert container.described["healthcheck"]["test"]


@ours
def test_ours_write_to_their_volume_alone_and_are_given_no_powers(container: Container) -> None:
    assert container.described["read_only"] is True
    assert container.described["tmpfs"] == ["/tmp"]
    assert container.described["cap_drop"] == ["ALL"]
    # Longer than a stop may take.
    assert container.described["stop_grace_period"] == "45s"


@ours
def test_each_listens_where_it_is_published_and_looked_at(container: Container) -> None:
    port = int(container.environment.get("ANTIPHON_SERVER__PORT", "50051"))
    if container.command[0] == "serve":
        assert container.published == {port: ("127.0.0.1", port)}
        looked_at = {**IMAGE.environment, **container.environment}["ANTIPHON_SERVER"]
        assert looked_at == f"127.0.0.1:{port}"


def test_ports_are_those_that_are_documented_and_nobody_shares_one() -> None:
    for profile in ("full", "small"):
        taken = [port for each in COMPOSE.of(profile) for _, port in each.published.values()]
        assert len(taken) == len(set(taken))
    found = {name: next(iter(COMPOSE.containers[name].published.values()))[1] for name in SEED_PORTS}
    assert found == SEED_PORTS
    assert set(COMPOSE.containers["minio"].published) == {9000, 9001}


def test_the_profiles_have_the_whole_suite() -> None:
    served = [each.command[1:] for each in COMPOSE.of("full") if each.command[:1] == ["serve"]]
    assert sorted(name for names in served for name in names) == sorted(SERVICES)
    assert [each.command for each in COMPOSE.of("small")] == [["serve"]]


def test_what_waits_for_a_service_is_in_its_profile() -> None:
    for container in COMPOSE.containers.values():
        for name, condition in container.waits_for.items():
            waited = COMPOSE.containers[name]
            assert set(container.profiles) <= set(waited.profiles)
            ends = waited.command == ["migrate"]
            assert condition == ("service_completed_successfully" if ends else "service_healthy")


def test_secrets_are_made_once_and_for_their_owner_s_eyes(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    def make() -> dict[str, str]:
        subprocess.run([ROOT / "tools" / "containers.sh", "secrets", folder], check=True, timeout=20)
        return {path.name: path.read_text() for path in folder.iterdir()}

    made = make()
    assert set(made) == {Path(path).name for path in COMPOSE.secrets.values()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert made["mongodb_password"] in made["mongodb_url"]
    assert len(made["secret_key"]) >= 32
    assert make() == made


def test_a_missing_engine_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "tools" / "containers.sh", "up"],
        env={"PATH": os.defpath, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(("docker was not found", "No docker engine answers at unix://"))
    assert "make run" in done.stderr


def test_compose_accepts_its_file() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    for profile in ("full", "small"):
        words = [docker, "compose", "--profile", profile, "config", "--quiet"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
