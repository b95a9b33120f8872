"""The models that speak, and the catalog of them; needs aiohttp for those behind HTTP, and worker processes for all work on audio."""
