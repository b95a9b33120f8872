"""The composition root: from settings to a suite that serves, and back to nothing left behind; needs everything below it."""
