"""ListModels: the catalog, the default model first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.image.ports import Catalog, CatalogModel
from services.image.usecases.ordering import anonymous_default


@dataclass(frozen=True, slots=True)
class ListModels:
    """Tells what is on offer."""

    catalog: Catalog

    def __call__(self) -> Sequence[CatalogModel]:
        """All models, the default one first."""
        default = self.catalog.default
        return [default, *(model for model in self.catalog.models.values() if model.name != default.name)]

    @property
    def anonymous_default(self) -> CatalogModel:
        """The model of calls without a credential that name none."""
        return anonymous_default(self.catalog)
