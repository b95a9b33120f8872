"""The settings of a suite that counts nobody's calls, for tests that call more often than people do."""

from dataclasses import fields

from services.settings import LimitSettings

NO_LIMITS = {f"ANTIPHON_LIMITS__{field.name.upper()}": "0" for field in fields(LimitSettings)}
