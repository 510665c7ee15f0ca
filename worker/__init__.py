"""What runs on a GPU machine: Celery tasks over the plain functions of `models`."""
