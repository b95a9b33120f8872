"""Between the contract's messages and the values of Analytics: pure functions."""
