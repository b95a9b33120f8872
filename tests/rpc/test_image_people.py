"""Images, the people who made them and the meter: figures by size, prices, balanced books, and what is left of somebody who is deleted."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.auth.v1 import auth_pb2
from antiphon.image.v1 import image_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.analytics_calls import EVERYTHING, amounts, counted
from tests.fakes.served_suite import Metadata, Person, Served, bearer, failure, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "a goat ate my bicycle"


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return EVERYTHING


async def generate(suite: Served, metadata: Metadata | None, **more: Any) -> image_pb2.GenerateImageResponse:
    request = image_pb2.GenerateImageRequest(**{"prompt": "a cat", "size": "256x256", **more})
    response: image_pb2.GenerateImageResponse = await suite.images.GenerateImage(request, metadata=metadata)
    return response


async def registered(suite: Served) -> Person:
    """Somebody with an account, logged in."""
    email = f"{uuid.uuid4().hex}@example.com"
    await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    login = await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))
    return Person(login.user.user_id, bearer(login.access_token))


def files_of(suite: Served, *words: str) -> list[str]:
    """The objects in whose keys one of these words is. Folders may go while they are looked through."""
    root = suite.suite.settings.data_dir / "blobs"
    keys = (os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names)
    return [key for key in keys if any(word in key for word in words)]


async def test_images_are_counted_and_priced_by_their_size(suite: Served, ana: Person) -> None:
    admin = await suite.administrator()
    price = analytics_pb2.SetPriceRequest(
        model="procedural", unit=usage_pb2.UNIT_IMAGES, variant="512x512", nano_usd=7
    )
    await suite.analytics.SetPrice(price, metadata=admin)
    await generate(suite, ana.metadata, size="512x512", count=2)
    await generate(suite, ana.metadata)
    await failure(generate_call(suite, ana, style="cubist"))
    found = await counted(suite, ana, 3)
    assert amounts(found.totals) == {"images": 3}
    assert found.totals.error_count == 1
    # The other size has the catalog's price, which is nothing.
    assert found.totals.cost_nano_usd == 14


def generate_call(suite: Served, person: Person, **more: Any) -> Any:
    request = image_pb2.GenerateImageRequest(**{"prompt": "a cat", **more})
    return suite.images.GenerateImage(request, metadata=person.metadata)


async def test_the_books_of_images_are_balanced(suite: Served, ana: Person) -> None:
    await generate(suite, ana.metadata)
    await counted(suite, ana, 1)
    admin = await suite.administrator()

    async def balanced() -> bool:
        response = await suite.analytics.Reconcile(analytics_pb2.ReconcileRequest(), metadata=admin)
        (balance,) = (
            one for one in response.services if one.service_type == usage_pb2.SERVICE_TYPE_TEXT_TO_IMAGE
        )
        return bool(balance.balanced)

    await until(balanced)


async def test_of_somebody_who_is_deleted_nothing_is_left_but_the_figures(suite: Served) -> None:
    person = await registered(suite)
    image = (await generate(suite, person.metadata)).images[0]
    assert len(files_of(suite, image.image_id)) == 4
    assert files_of(suite, person.user_id)
    deletion = auth_pb2.DeleteUserRequest(user_id=person.user_id)
    await suite.auth.DeleteUser(deletion, metadata=await suite.administrator())

    async def named() -> list[str]:
        tables = await suite.rows(
            "select tablename from pg_tables where schemaname = 'image' and tablename <> 'limits'"
        )
        found = []
        for (name,) in tables:
            rows = await suite.rows(
                f"select count(*) from image.{name} t where strpos(t::text, %s) > 0", person.user_id
            )
            found += [name] if rows[0][0] else []
        return found

    async def gone() -> bool:
        return not files_of(suite, image.image_id, person.user_id) and not await named()

    await until(gone, 20)
    rows = await suite.rows(
        "select images from image.generations where generation_id in"
        " (select generation_id from image.generations where image_ids[1]::text = %s)",
        image.image_id,
    )
    assert rows == [(1,)]
