"""The catalog of models."""

from __future__ import annotations

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.listing import without_silent
from services.cli.output import as_dict, print_json, print_table
from services.cli.quantities import priced


def models(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """List the models, which are ready, and why others are not. The default one has a star.

    Prices are those of the catalog, in USD per million units. Fallbacks answer when a model fails before its first word.

    \b
    Example:
      antiphon models
    """
    with calling(server, as_json) as client:
        catalog = client.list_models()
        if as_json:
            print_json(as_dict(catalog))
            return
        rows: list[tuple[str, ...]] = [
            (
                f"{model.name}{' *' if model.name == catalog.default_model else ''}",
                "ready" if model.ready else "not ready",
                model.provider,
                f"{model.context_tokens:,} tokens" if model.context_tokens else "",
                priced(model.prices),
                ", ".join(model.fallbacks),
                (model.description or model.display_name) if model.ready else model.not_ready_reason,
            )
            for model in catalog.models
        ]
        headers = (
            "MODEL",
            "STATE",
            "PROVIDER",
            "CONTEXT",
            "USD PER MILLION",
            "FALLBACKS",
            "ABOUT",
        )
        print_table(*without_silent(headers, rows), "the catalog is empty")
