"""Data, checkpoints and classifiers that clients bring: begin with `routes`."""
