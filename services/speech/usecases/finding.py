"""GetConversion, ListConversions and DeleteConversion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.kernel.errors import NotFound
from services.kernel.ownership import OwnerTokens, whose
from services.kernel.paging import Page, PageTokens
from services.kernel.principal import Principal
from services.speech.model import Conversion
from services.speech.ports import ConversionStore


@dataclass(frozen=True, slots=True)
class FindConversion:
    """A conversion, for whoever may have it."""

    store: ConversionStore
    tokens: OwnerTokens

    async def __call__(self, principal: Principal, conversion_id: str, owner_token: str = "") -> Conversion:
        """Raises NotFound when there is none, or when it is neither the caller's nor the token's. Administrators have all: those with an API
        key when it has the scope `admin`."""
        conversion = await self.store.conversion(conversion_id)
        if conversion is None or not self._may_have(principal, conversion, owner_token):
            raise NotFound.of("speech.conversion", conversion_id)
        return conversion

    def _may_have(self, principal: Principal, conversion: Conversion, owner_token: str) -> bool:
        if _has_all(principal):
            return True
        if conversion.user_id:
            return principal.user_id == conversion.user_id
        return bool(owner_token) and self.tokens.fits(owner_token, conversion.conversion_id)


def _has_all(principal: Principal) -> bool:
    return principal.is_admin and (principal.scopes is None or "admin" in principal.scopes)


@dataclass(frozen=True, slots=True)
class ListConversions:
    """Pages of conversions."""

    store: ConversionStore
    pages: PageTokens

    async def __call__(
        self, principal: Principal, user_id: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[Conversion], str]:
        """The caller's, or those of somebody whom an administrator names, and the token of the next page. Raises PermissionDenied and
        InvalidArgument."""
        owner = whose(principal, user_id)
        request = self.pages.request(page_size, page_token, skip, "ListConversions", [owner])
        page = await self.store.page(owner, request)
        return page, self.pages.token(page.after, "ListConversions", [owner])


@dataclass(frozen=True, slots=True)
class DeleteConversion:
    """Removes a conversion."""

    store: ConversionStore
    soon: Callable[[], None]

    async def __call__(self, principal: Principal, conversion_id: str) -> None:
        """Out of the table now, out of the object store soon. Raises NotFound when there is none, or it is somebody else's; administrators
        may remove all."""
        owner = None if _has_all(principal) else principal.user_id
        if not await self.store.delete(conversion_id, owner):
            raise NotFound.of("speech.conversion", conversion_id)
        self.soon()
