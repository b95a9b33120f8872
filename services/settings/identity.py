"""Foreign issuers of tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from services.settings.kinds import DURATION, Kind, SecretStr, Unsuitable

_ALGORITHMS = frozenset(
    (
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "EdDSA",
    )
)
_TEXTS = ("issuer", "audience", "secret", "pem", "jwks", "user_id_claim", "token_type_claim")
_FIELDS = frozenset((*_TEXTS, "algorithms", "leeway", "legacy"))
_LONGEST_LEEWAY = 3600.0


@dataclass(frozen=True, slots=True)
class ForeignIssuer:
    """Another system whose tokens are accepted.

    Exactly one of `secret` (an HMAC key), `pem` (a public key, or the path of its file) and `jwks` (the address of a key set) is
    given, and `algorithms` are of its kind. Empty `issuer` and `audience` are not looked at. With a `token_type_claim` every token
    must say `access` there. `leeway` is in seconds, an hour at most. Raises Unsuitable.
    """

    algorithms: tuple[str, ...]
    issuer: str = ""
    audience: str = ""
    secret: SecretStr | None = field(default=None, repr=False)
    pem: str = field(default="", repr=False)
    jwks: str = ""
    user_id_claim: str = "sub"
    token_type_claim: str = ""
    leeway: float = 0.0
    legacy: bool = False

    def __post_init__(self) -> None:
        if not self.algorithms or not set(self.algorithms) <= _ALGORITHMS:
            raise Unsuitable("algorithms must name at least one of " + ", ".join(sorted(_ALGORITHMS)))
        if sum(map(bool, (self.secret, self.pem, self.jwks))) != 1:
            raise Unsuitable("exactly one of secret, pem and jwks is needed for each issuer")
        symmetric = self.secret is not None
        if any(algorithm.startswith("HS") is not symmetric for algorithm in self.algorithms):
            raise Unsuitable("a secret goes with HS algorithms, pem and jwks with the others")
        if self.legacy and not symmetric:
            raise Unsuitable("legacy is about short secrets, and an issuer with pem or jwks has none")
        if not self.user_id_claim:
            raise Unsuitable("user_id_claim must name the claim with the person")
        # What is no number fails every comparison.
        if not 0 <= self.leeway <= _LONGEST_LEEWAY:
            raise Unsuitable(f"leeway is in seconds, from 0 to {_LONGEST_LEEWAY:.0f}")


def _leeway(text: str) -> float:
    value = DURATION.parse(text)
    if value > _LONGEST_LEEWAY:
        raise Unsuitable("a clock that is off by more than an hour wants to be set right")
    return value


def _issuer(entry: object) -> ForeignIssuer:
    if not isinstance(entry, dict):
        raise Unsuitable("every foreign issuer is a JSON object")
    unknown = sorted(set(entry) - _FIELDS)
    if unknown:
        raise Unsuitable(
            f"a foreign issuer has no field {unknown[0]!r}; its fields are {', '.join(sorted(_FIELDS))}"
        )
    texts = {name: entry[name] for name in _TEXTS if name in entry}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise Unsuitable(f"{name} of a foreign issuer is a text")
    algorithms, leeway, legacy = (
        entry.get("algorithms", []),
        entry.get("leeway", 0),
        entry.get("legacy", False),
    )
    if not isinstance(algorithms, list) or not all(isinstance(name, str) for name in algorithms):
        raise Unsuitable('algorithms of a foreign issuer is an array of texts, such as ["RS256"]')
    if isinstance(leeway, bool) or not isinstance(leeway, int | float):
        raise Unsuitable("leeway of a foreign issuer is a number of seconds")
    if not isinstance(legacy, bool):
        raise Unsuitable("legacy of a foreign issuer is true or false")
    secret = texts.pop("secret", "")
    return ForeignIssuer(
        algorithms=tuple(algorithms),
        secret=SecretStr(secret) if secret else None,
        leeway=float(leeway),
        legacy=legacy,
        **texts,
    )


def _issuers(text: str) -> tuple[ForeignIssuer, ...]:
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError
    return tuple(_issuer(entry) for entry in entries)


def _names(issuers: tuple[ForeignIssuer, ...]) -> str:
    return ", ".join(issuer.issuer or issuer.jwks or "(any issuer)" for issuer in issuers)


LEEWAY: Kind[float] = Kind(_leeway, DURATION.expected, show=DURATION.show)
ISSUERS: Kind[tuple[ForeignIssuer, ...]] = Kind(
    _issuers,
    "a JSON array of objects with the fields " + ", ".join(sorted(_FIELDS)) + "; exactly one of secret (HS "
    "algorithms), pem and jwks each",
    show=_names,
    secret=True,
)
