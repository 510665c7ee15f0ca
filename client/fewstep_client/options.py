"""What may be asked of pictures."""

from typing import Literal, Required, TypedDict


class Webhook(TypedDict, total=False):
    """Who is told of an end.

    Attributes:
        url: Where messages are posted, signed as of Standard Webhooks.
        events: Which ends: ``succeeded``, ``failed``, ``cancelled``; all by default. Of jobs also ``running``.
    """

    url: Required[str]
    events: list[str]


class GenerateOptions(TypedDict, total=False):
    """The body of ``POST /generate``; everything has a default there.

    Attributes:
        model: Family, one of ``Client.models()``.
        checkpoint: One of the family by name, such as ``teacher``, in place of the one that serves ``steps``.
        steps: Sampling steps, 1 to 8; of what is submitted with a ``checkpoint`` up to 1024.
        n: Number of images, up to 256; of what is submitted up to 10,000.
        seed: Of the first image, 0 to 2^32 - 1; image i has seed + i. Drawn by the service if absent.
        class_label: Class of all images, for models that have classes.
        format: ``png`` and ``webp`` lose nothing.
        priority: Interactive ones are sampled first.
        webhook: Who is told of the end of what is submitted.
    """

    model: str
    checkpoint: str
    steps: int
    n: int
    seed: int
    class_label: int
    format: Literal["png", "webp", "jpeg"]
    priority: Literal["interactive", "bulk"]
    webhook: Webhook
