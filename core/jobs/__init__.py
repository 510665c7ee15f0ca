"""A distillation job: what a client may ask, and its record in Redis."""
