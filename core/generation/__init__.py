"""A generation: what a client may ask, its record in Redis, how fast workers are."""
