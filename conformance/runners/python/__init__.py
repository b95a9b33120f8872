"""The runner of the Python client, on its asynchronous face. It needs `antiphon_client` and the stubs alone."""
