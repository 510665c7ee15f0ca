"""Jobs: what a client may ask, and their records in Redis."""
