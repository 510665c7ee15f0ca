"""Everything on one machine: `make run` and `make monitor`."""
