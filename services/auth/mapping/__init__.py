"""Between the messages of antiphon.auth.v1 and Auth's model, a file per subject; pure functions."""
