"""The console, a page at ``/`` for people: `routes` serves it, ``page/`` is it, and it uses the public API alone."""
