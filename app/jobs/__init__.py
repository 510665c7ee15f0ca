"""`/distill-jobs`: begin with `routes`."""
