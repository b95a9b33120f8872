"""What the doctor says of those who make the answers, and the images."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.bootstrap.diagnosis import diagnose
from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.image_models import image_models_found
from services.settings import Settings

CATALOG = """
[providers.own]
base_url = "{url}"
api_key_env = "OWN_KEY"

[[models]]
name = "small"
provider = "own"
upstream = "llama3.2:3b"
"""
IMAGES = """
[providers.own]
protocol = "{protocol}"
base_url = "{url}"
api_key_env = "OWN_KEY"

[[models]]
name = "small"
provider = "own"
upstream = "flux"
sizes = ["512x512"]
"""
Handler = Callable[[web.Request], Awaitable[web.Response]]


async def found(folder: Path, url: str) -> Finding:
    (folder / "models.toml").write_text(CATALOG.format(url=url))
    given = {
        "ANTIPHON_SERVER__PORT": "0",
        "ANTIPHON_METRICS__ADDRESS": "off",
        "ANTIPHON_CHAT__MODELS_FILE": str(folder / "models.toml"),
    }
    settings = Settings.load(given, folder)
    return {one.name: one async for one in diagnose(settings, {"OWN_KEY": "secret-of-own"})}["provider own"]


async def asked(folder: Path, handler: Handler) -> Finding:
    app = web.Application()
    app.router.add_get("/v1/models", handler)
    async with TestServer(app) as server:
        return await found(folder, str(server.make_url("/v1")))


def answers(body: str, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret-of-own"
        return web.Response(text=body, status=status, content_type="application/json")

    return handle


@pytest.mark.parametrize(
    ("handler", "verdict", "told"),
    [
        (answers('{"object": "list", "data": [{"id": "llama3.2:3b", "created": 1}]}'), Verdict.GOOD, "/v1"),
        (answers('{"data": [{"id": "other"}]}'), Verdict.NOTE, "does not list llama3.2:3b; it has other"),
        (answers("{}", 401), Verdict.BAD, "does not accept the key"),
        (answers("<html>", 200), Verdict.NOTE, "no list of models"),
        (answers("{}", 404), Verdict.NOTE, "HTTP 404"),
    ],
)
async def test_a_provider_is_asked_for_its_models(
    tmp_path: Path, handler: Handler, verdict: Verdict, told: str
) -> None:
    finding = await asked(tmp_path, handler)
    assert finding.verdict is verdict
    assert told in finding.detail
    assert "secret-of-own" not in finding.detail + finding.advice


async def test_a_provider_that_is_not_there_is_told(tmp_path: Path) -> None:
    finding = await found(tmp_path, "http://127.0.0.1:9/v1")
    assert finding.verdict is Verdict.BAD
    assert "can't be asked" in finding.detail
    assert "Connector" not in finding.detail


async def images_found(folder: Path, protocol: str, url: str) -> Finding:
    (folder / "images.toml").write_text(IMAGES.format(protocol=protocol, url=url))
    settings = Settings.load({"ANTIPHON_IMAGE__MODELS_FILE": str(folder / "images.toml")}, folder)
    found = {one.name: one async for one in image_models_found(settings, {"OWN_KEY": "secret-of-own"})}
    assert found["image models"].detail == "ready: small, procedural"
    return found["provider own (images)"]


@pytest.mark.parametrize(
    ("protocol", "asked", "verdict", "told"),
    [
        ("openai", "GET /v1/models", Verdict.NOTE, "does not list flux; it has other"),
        ("huggingface", "HEAD /", Verdict.GOOD, "answers"),
    ],
)
async def test_who_makes_images_is_asked_for_nothing_that_costs(
    tmp_path: Path, protocol: str, asked: str, verdict: Verdict, told: str
) -> None:
    seen = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((f"{request.method} {request.path}", "Authorization" in request.headers))
        return web.Response(text='{"data": [{"id": "other"}]}')

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        finding = await images_found(tmp_path, protocol, str(server.make_url("/v1")))
    assert seen == [(asked, protocol == "openai")]
    assert finding.verdict is verdict
    assert told in finding.detail


@pytest.mark.parametrize("protocol", ["openai", "huggingface"])
async def test_who_makes_images_and_is_not_there_is_told(tmp_path: Path, protocol: str) -> None:
    finding = await images_found(tmp_path, protocol, "http://127.0.0.1:9/v1")
    assert finding.verdict is Verdict.BAD
    assert "can't be asked: nobody listens there" in finding.detail
