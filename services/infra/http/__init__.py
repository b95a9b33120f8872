"""HTTP to addresses that others name: only public ones are fetched, within limits; needs aiohttp."""
