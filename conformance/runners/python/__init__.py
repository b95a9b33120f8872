"""The runner of the Python client, on either of its faces. It needs `antiphon_client` and the stubs alone."""
