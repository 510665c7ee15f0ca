"""The sampling worker: begin with `worker` and `generate`."""
