"""Password hashing, refresh tokens, signing keys and the tokens signed with them; needs argon2-cffi, cryptography and PyJWT."""
