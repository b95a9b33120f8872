"""Verifiers, one per kind of token, and where they get their keys; needs PyJWT and cryptography."""
