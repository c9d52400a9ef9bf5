"""What the API reference leaves open: asked of the real endpoint, and what follows for the promises."""
