"""Between antiphon.image.v1 and the model: pure functions."""
