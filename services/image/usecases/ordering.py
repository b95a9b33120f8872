"""From what a caller asks for to what is made: defaults, and what the model or the caller may not have."""

from __future__ import annotations

import random
from dataclasses import dataclass

from services.capabilities.upstream.errors import UnsupportedInput
from services.image.model import ImageCall, Order, Size
from services.image.ports import Catalog, CatalogModel
from services.kernel.errors import InvalidArgument
from services.kernel.principal import Principal

_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Judges calls by the catalog."""

    catalog: Catalog

    def __call__(self, principal: Principal, call: ImageCall) -> tuple[Order, CatalogModel]:
        """What is to be made, and by which model. Raises ModelNotFound, ModelNotReady, UnsupportedInput and InvalidArgument."""
        model = self._model(principal, call)
        if not call.prompt.strip():
            raise InvalidArgument.field("prompt", "says nothing; tell what the image is to show")
        if call.style and call.style not in model.styles:
            raise UnsupportedInput("style", _choice(model, "style", list(model.styles)), model.name)
        if call.negative_prompt and not model.takes_negative_prompt:
            raise UnsupportedInput(
                "negative_prompt", f"the model {model.name!r} takes none; leave it out", model.name
            )
        if call.seed is not None and not model.takes_seed:
            raise UnsupportedInput("seed", f"the model {model.name!r} takes none; leave it out", model.name)
        count = call.count or 1
        if count > model.maximum_count:
            raise UnsupportedInput(
                "count",
                f"the model {model.name!r} makes at most {model.maximum_count} images a call",
                model.name,
            )
        order = Order(
            prompt=call.prompt,
            negative_prompt=call.negative_prompt,
            size=_size(principal, call, model),
            style=call.style,
            model=model.name,
            provider=model.provider_name,
            seed=_seed(call, count) if model.takes_seed else None,
            count=count,
        )
        return order, model

    def _model(self, principal: Principal, call: ImageCall) -> CatalogModel:
        if call.model or not principal.is_anonymous:
            return self.catalog.find(call.model)
        return anonymous_default(self.catalog)


def anonymous_default(catalog: Catalog) -> CatalogModel:
    """The model of calls without a credential that name none: the first ready one that has a size for them."""
    models = catalog.models.values()
    return next((model for model in models if model.ready and model.anonymous_sizes), catalog.default)


def _size(principal: Principal, call: ImageCall, model: CatalogModel) -> Size:
    allowed = model.anonymous_sizes if principal.is_anonymous else model.sizes
    if not allowed:
        raise InvalidArgument.field(
            "model", f"the model {model.name!r} makes no size that is free without a credential; log in"
        )
    if not call.size:
        return allowed[0]
    size = Size.parse(call.size)
    if size in allowed:
        return size
    if size in model.sizes:
        sizes = " and ".join(map(str, allowed))
        raise InvalidArgument.field("size", f"without a credential the sizes are {sizes}; log in for {size}")
    raise UnsupportedInput("size", _choice(model, "size", [str(one) for one in allowed]), model.name)


def _seed(call: ImageCall, count: int) -> int:
    if call.seed is None:
        return random.randrange(_SEEDS - count)  # noqa: S311 - it is told to everybody.
    # The following images have the following numbers.
    if call.seed + count > _SEEDS:
        raise InvalidArgument.field("seed", f"with a count of {count} has to be at most {_SEEDS - count}")
    return call.seed


def _choice(model: CatalogModel, what: str, known: list[str]) -> str:
    if not known:
        return f"the model {model.name!r} knows no {what}; leave it out"
    return f"is no {what} of the model {model.name!r}; it has {', '.join(known)}"
