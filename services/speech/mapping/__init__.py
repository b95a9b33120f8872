"""Between antiphon.speech.v1 and the model: pure functions."""
