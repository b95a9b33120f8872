"""Foreign issuers of tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from services.settings.kinds import Kind, SecretStr

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
_FIELDS = frozenset(
    ("issuer", "algorithms", "audience", "secret", "pem", "jwks", "user_id_claim", "leeway", "legacy")
)


@dataclass(frozen=True, slots=True)
class ForeignIssuer:
    """Another system whose tokens are accepted.

    Exactly one of `secret` (an HMAC key), `pem` (a public key) and `jwks` (the address of a key set) is given, and `algorithms`
    are of its kind. Empty `issuer` and `audience` are not looked at. `leeway` is in seconds.
    """

    algorithms: tuple[str, ...]
    issuer: str = ""
    audience: str = ""
    secret: SecretStr | None = field(default=None, repr=False)
    pem: str = field(default="", repr=False)
    jwks: str = ""
    user_id_claim: str = "sub"
    leeway: float = 0.0
    legacy: bool = False

    def __post_init__(self) -> None:
        if not self.algorithms or not set(self.algorithms) <= _ALGORITHMS:
            raise ValueError("algorithms must name at least one of " + ", ".join(sorted(_ALGORITHMS)))
        if sum(map(bool, (self.secret, self.pem, self.jwks))) != 1:
            raise ValueError("exactly one of secret, pem and jwks is needed")
        symmetric = self.secret is not None
        if any(algorithm.startswith("HS") is not symmetric for algorithm in self.algorithms):
            raise ValueError("a secret goes with HS algorithms, pem and jwks with the others")
        if self.leeway < 0:
            raise ValueError("leeway is below zero")


def _issuer(entry: object) -> ForeignIssuer:
    if not isinstance(entry, dict) or not set(entry) <= _FIELDS:
        raise ValueError
    algorithms = entry.get("algorithms", [])
    texts = {name: entry.get(name, "") for name in ("issuer", "audience", "secret", "pem", "jwks")}
    claim, leeway, legacy = (
        entry.get("user_id_claim", "sub"),
        entry.get("leeway", 0),
        entry.get("legacy", False),
    )
    if (
        not isinstance(algorithms, list)
        or not all(isinstance(text, str) for text in (*algorithms, *texts.values(), claim))
        or not isinstance(leeway, int | float)
        or not isinstance(legacy, bool)
    ):
        raise ValueError
    return ForeignIssuer(
        algorithms=tuple(algorithms),
        issuer=texts["issuer"],
        audience=texts["audience"],
        secret=SecretStr(texts["secret"]) if texts["secret"] else None,
        pem=texts["pem"],
        jwks=texts["jwks"],
        user_id_claim=claim,
        leeway=float(leeway),
        legacy=legacy,
    )


def _issuers(text: str) -> tuple[ForeignIssuer, ...]:
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError
    return tuple(_issuer(entry) for entry in entries)


def _names(issuers: tuple[ForeignIssuer, ...]) -> str:
    return ", ".join(issuer.issuer or issuer.jwks or "(any issuer)" for issuer in issuers)


ISSUERS: Kind[tuple[ForeignIssuer, ...]] = Kind(
    _issuers,
    "a JSON array of objects with the fields " + ", ".join(sorted(_FIELDS)) + "; exactly one of secret (HS "
    "algorithms), pem and jwks each",
    show=_names,
    secret=True,
)
