"""What a case knows by name, and how that gets into its steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Json = Any
"""What a line of JSON can say."""

Values = dict[str, Json]
"""What a case knows by name."""

_REFERENCE = re.compile(r"\$\{([^}]+)\}")


def filled(template: Json, values: Mapping[str, Json]) -> Json:
    """The template with `${name}` replaced. A text that is nothing but one reference becomes its value, whatever type it has.

    Raises KeyError for a name that nothing has.
    """
    if isinstance(template, str):
        whole = _REFERENCE.fullmatch(template)
        if whole:
            return _value(whole[1], values)
        return _REFERENCE.sub(lambda found: str(_value(found[1], values)), template)
    if isinstance(template, list):
        return [filled(item, values) for item in template]
    if isinstance(template, dict):
        return {filled(key, values): filled(item, values) for key, item in template.items()}
    return template


def _value(path: str, values: Mapping[str, Json]) -> Json:
    found: Json = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise KeyError(f"nothing is known as ${{{path}}}")
        found = found[name]
    return found
