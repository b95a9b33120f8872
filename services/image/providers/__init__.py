"""The models that make images, and the catalog of them; needs aiohttp, and the codecs for `procedural`."""
