"""Idempotency keys: what a client calls a request, so that sending it again does no harm."""


def key_of(room: str, owner: str, key: str) -> str:
    """Of Redis, where it stands what a key of an owner is used for.

    Args:
        room: What is asked for: ``jobs`` or ``generate``.
        owner: Name of the API key that it comes with, which has no colon; empty where none is asked for.
        key: As the client sends it.
    """
    return f"fewstep:{room}:key_of:{owner}:{key}" if owner else f"fewstep:{room}:key:{key}"
