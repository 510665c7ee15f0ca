"""How good samples are: Fréchet distance, precision, recall, by a judge or Inception."""
