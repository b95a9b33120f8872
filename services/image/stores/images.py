"""Images in PostgreSQL: found, listed, and removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from services.image.model import Image
from services.image.stores import rows, statements
from services.infra.postgres.executing import SqlPart
from services.kernel.paging import Page, PageRequest

# Clients take 4 MiB at once by default.
_PAGE_BYTES = 3 * 1024**2


class SqlImages(SqlPart):
    """Keeps the promises of `ImageStore` on images."""

    async def image(self, image_id: str) -> Image | None:
        """As the port says."""
        row = await self._one(statements.IMAGE, {"image_id": image_id})
        return None if row is None else rows.image(row)

    async def images_of(self, generation_id: str) -> Sequence[Image]:
        """As the port says."""
        found = await self._all(statements.IMAGES_OF, {"generation_id": generation_id})
        return [rows.image(row) for row in found]

    async def page(self, user_id: str | None, request: PageRequest) -> Page[Image]:
        """As the port says. The key of a page is an image_id."""
        page, count = (
            (statements.PAGE_OF_ALL, statements.COUNT_OF_ALL)
            if user_id is None
            else (statements.PAGE_OF_ONE, statements.COUNT_OF_ONE)
        )
        values = {
            "user_id": user_id,
            "after": request.after,
            "size": request.size,
            "skip": request.skip,
            "max_bytes": _PAGE_BYTES,
        }
        async with self._database.connection() as connection:
            cursor = await connection.execute(page.encode(), values)
            found = await cursor.fetchall()
            cursor = await connection.execute(count.encode(), values)
            total = await cursor.fetchone()
        images = [rows.image(row[:-1]) for row in found]
        more = bool(found) and found[0][-1] > len(found)
        return Page(images, images[-1].image_id if more else None, total[0] if total else 0)

    async def delete(self, image_id: str, user_id: str | None) -> bool:
        """As the port says."""
        return await self._do(statements.DELETE, {"image_id": image_id, "user_id": user_id}) > 0

    async def forget(self, image_ids: Collection[str]) -> int:
        """As the port says."""
        return await self._do(statements.FORGET, {"image_ids": sorted(image_ids)}) if image_ids else 0

    async def restore(self, images: Sequence[Image]) -> int:
        """As the port says."""
        if not images:
            return 0
        ordered = sorted(images, key=lambda image: image.image_id)
        async with self._database.transaction() as connection:
            cursor = connection.cursor()
            await cursor.executemany(
                statements.ADD_IMAGE.encode(), [rows.image_values(image) for image in ordered]
            )
            added = cursor.rowcount
            cursor = await connection.execute(
                statements.TAKE_BACK.encode(), {"image_ids": [image.image_id for image in ordered]}
            )
            return added - cursor.rowcount

    async def expire(self, before: datetime, limit: int) -> int:
        """As the port says. Images that another process is at are passed over."""
        return await self._do(statements.EXPIRE, {"before": before, "limit": limit})
