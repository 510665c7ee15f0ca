"""In which precision each sampling worker samples what it has loaded, and where workers disagree.

The facts of a worker (``core.presence``) have ``precisions``, by ``family/checkpoint``, and its ``processor``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Workers = Iterable[tuple[str, Mapping[str, Any]]]
"""Name and facts of each; those of an older release lack what is looked for here."""


def disagreements(workers: Workers) -> dict[str, dict[str, list[str]]]:
    """Checkpoints that workers sample in several precisions, and so with other pixels: by precision, the workers."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, facts in workers:
        for checkpoint, precision in facts.get("precisions", {}).items():
            found.setdefault(checkpoint, {}).setdefault(precision, []).append(name)
    return {checkpoint: by for checkpoint, by in sorted(found.items()) if len(by) > 1}


def processors(workers: Workers) -> list[str]:
    """The kinds of devices that workers sample on, each once."""
    return sorted({facts["processor"] for _, facts in workers if "processor" in facts})


def describe(workers: Mapping[str, Mapping[str, Any]]) -> str:
    """One line for people: who samples what in another precision, and on how many kinds of devices."""
    apart = disagreements(workers.items())
    kinds = processors(workers.items())
    words = "; ".join(
        f"{checkpoint} is sampled in " + " and ".join(f"{precision} by {', '.join(by)}" for precision, by in names)
        for checkpoint, names in ((checkpoint, sorted(by.items())) for checkpoint, by in apart.items())
    )
    words = words or "no two sampling workers disagree"
    return words if len(kinds) < 2 else f"{words}; {len(kinds)} kinds of devices: {', '.join(kinds)}"
