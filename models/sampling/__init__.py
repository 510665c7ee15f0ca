"""Sampling: begin with `engine`, which the service and the command line share."""
