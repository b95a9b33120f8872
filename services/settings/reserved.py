"""Names that `Settings` does not read itself: those of services still to come, and those of the command line's client."""

RESERVED_NAMES = {
    "PORT": "port of the HTTP gateway",
    "CORS_ORIGINS": "web pages that may call the HTTP gateway",
}

CLIENT_NAMES = {
    "ANTIPHON_SERVER": "address of the server that the client's commands call",
    "ANTIPHON_TOKEN": "access token or API key that stands in for a login",
    "ANTIPHON_CA": "PEM file of the authorities whose certificates are believed over TLS, in place of the public ones",
    "ANTIPHON_CLIENT_CERTIFICATE": "PEM file of the certificate to show to a server that asks for one",
    "ANTIPHON_CLIENT_KEY": "PEM file of its key",
}
