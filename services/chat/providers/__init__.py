"""Language models behind one port: the built-in `echo`, anything that speaks OpenAI's protocol, and the catalog that names them."""
