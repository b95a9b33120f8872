"""The models that make images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.listing import without_silent
from services.cli.money import dollars
from services.cli.output import as_dict, print_json, print_table

if TYPE_CHECKING:
    from antiphon.image.v1 import image_pb2

_HEADERS = ("MODEL", "STATE", "PROVIDER", "SIZES", "ANONYMOUS", "STYLES", "AT ONCE", "TAKES", "USD", "ABOUT")


def image_models(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """List the models that make images, which are ready, and why others are not. The default one has a star.

    For each of them: sizes, its default one first; those for callers without a login; styles; how many images one call makes at most;
    whether it takes a seed and what not to show; USD an image, by the catalog.

    \b
    Example:
      antiphon image models
    """
    with calling(server, as_json) as client:
        catalog = client.list_image_models()
        if as_json:
            print_json(as_dict(catalog))
            return
        rows = [_row(model, is_default=model.name == catalog.default_model) for model in catalog.models]
        print_table(*without_silent(_HEADERS, rows), "the catalog is empty")


def _row(model: image_pb2.Model, *, is_default: bool) -> tuple[str, ...]:
    takes = {"seed": model.takes_seed, "negative": model.takes_negative_prompt}
    return (
        f"{model.name}{' *' if is_default else ''}",
        "ready" if model.ready else "not ready",
        model.provider,
        ", ".join(model.sizes),
        ", ".join(model.anonymous_sizes),
        ", ".join(model.styles),
        str(model.maximum_count),
        ", ".join(name for name, taken in takes.items() if taken),
        ", ".join(_price(each, alone=len(model.prices) == 1) for each in model.prices),
        _about(model),
    )


def _price(price: image_pb2.ModelPrice, *, alone: bool) -> str:
    size = price.size or ("" if alone else "else")
    return f"{size} {dollars(price.nano_usd_per_image)}".strip()


def _about(model: image_pb2.Model) -> str:
    about: str = model.description or model.display_name
    if model.ready:
        return about
    # What the model is, too: whether it is worth it, who is to set something wants to know.
    return ". ".join(filter(None, (model.not_ready_reason, model.description)))
