"""What the API and the workers agree on. Imports nothing else of ours, and never torch."""
