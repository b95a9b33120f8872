"""GetImage, ListImages, AdminListImages and DeleteImage."""

from __future__ import annotations

from dataclasses import dataclass

from services.image.generation.filing import Filer
from services.image.model import Image
from services.image.ports import ImageStore
from services.kernel.errors import NotFound
from services.kernel.ownership import OwnerTokens, whose
from services.kernel.paging import Page, PageTokens
from services.kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class FindImage:
    """An image, for whoever may see it."""

    store: ImageStore
    tokens: OwnerTokens

    async def __call__(self, principal: Principal, image_id: str, owner_token: str = "") -> Image:
        """Raises NotFound when there is none, or when it is neither the caller's nor the token's. Administrators see all: those with an API
        key when it has the scope `admin`."""
        image = await self.store.image(image_id)
        if image is None or not self._may_see(principal, image, owner_token):
            raise NotFound.of("image.image", image_id)
        return image

    def _may_see(self, principal: Principal, image: Image, owner_token: str) -> bool:
        if not image.user_id:
            return (bool(owner_token) and self.tokens.fits(owner_token, image.image_id)) or _sees_all(
                principal
            )
        return principal.user_id == image.user_id or _sees_all(principal)


def _sees_all(principal: Principal) -> bool:
    return principal.is_admin and (principal.scopes is None or "admin" in principal.scopes)


@dataclass(frozen=True, slots=True)
class ListImages:
    """Pages of images."""

    store: ImageStore
    pages: PageTokens

    async def __call__(
        self, principal: Principal, user_id: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[Image], str]:
        """The caller's images, or those of somebody whom an administrator names, and the token of the next page. Raises PermissionDenied
        and InvalidArgument."""
        return await self._page("ListImages", whose(principal, user_id), page_size, page_token, skip)

    async def everybodys(
        self, user_id: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[Image], str]:
        """Everybody's, or one person's when one is named. Raises InvalidArgument."""
        return await self._page("AdminListImages", user_id.lower() or None, page_size, page_token, skip)

    async def _page(
        self, name: str, user_id: str | None, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[Image], str]:
        request = self.pages.request(page_size, page_token, skip, name, [user_id])
        page = await self.store.page(user_id, request)
        return page, self.pages.token(page.after, name, [user_id])


@dataclass(frozen=True, slots=True)
class DeleteImage:
    """Removes an image."""

    store: ImageStore
    filer: Filer

    async def __call__(self, principal: Principal, image_id: str) -> None:
        """Out of the index now, out of the object store soon. Raises NotFound when there is none, or it is somebody else's; administrators
        may remove all."""
        owner = None if _sees_all(principal) else principal.user_id
        if not await self.store.delete(image_id, owner):
            raise NotFound.of("image.image", image_id)
        self.filer.soon()
