"""Tells other services what has happened: begin with `worker`."""
