"""What there is: cards of checkpoints and classifiers, data sets, artifacts, what serves."""
