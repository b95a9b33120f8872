"""Values of dimensions as they are told: numbers by the names that people know."""

from __future__ import annotations

from services.analytics.model.figures import Dimension, Value
from services.capabilities.metering.model import Provenance, ServiceType, UsageStatus

_NAMES: dict[Dimension, dict[Value, str]] = {
    Dimension.SERVICE_TYPE: {one.value: one.name.lower() for one in ServiceType},
    Dimension.STATUS: {one.value: one.name.lower() for one in UsageStatus},
    Dimension.PROVENANCE: {
        one.value: "" if one is Provenance.NONE else one.name.lower() for one in Provenance
    },
}


def name_of(dimension: Dimension, value: Value) -> str:
    """A value as text, such as `llm_chat`."""
    return _NAMES.get(dimension, {}).get(value, str(value))
