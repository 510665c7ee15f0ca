"""`/generate`: begin with `routes`."""
