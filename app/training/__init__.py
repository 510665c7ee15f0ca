"""`/training-jobs`, and `/jobs`, the list of all: begin with `routes`."""
