"""The making of images: the provider's call, the objects, the index, and what is filed behind it; needs the ports alone."""
