"""`/models`, `/classifiers`, `/datasets`: begin with `routes`."""
