"""Checkpoints on disk: ours, the CFD authors', pipelines of diffusers."""
