"""The catalog of models."""

from __future__ import annotations

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import as_dict, print_json, print_table


def models(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """List the models, which are ready, and why others are not. The default one has a star.

    \b
    Example:
      antiphon models
    """
    with calling(server, as_json) as client:
        catalog = client.list_models()
        if as_json:
            print_json(as_dict(catalog))
            return
        rows = [
            (
                f"{model.name}{' *' if model.name == catalog.default_model else ''}",
                "ready" if model.ready else "not ready",
                model.provider,
                (model.description or model.display_name) if model.ready else model.not_ready_reason,
            )
            for model in catalog.models
        ]
        print_table(("MODEL", "STATE", "PROVIDER", "ABOUT"), rows, "the catalog is empty")
