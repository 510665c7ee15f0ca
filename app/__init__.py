"""The HTTP service. Never imports torch: what needs a GPU is behind the queue."""
