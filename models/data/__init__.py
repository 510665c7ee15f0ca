"""Data sets: where they come from, how pictures are decoded."""
