"""Redis's scripts: Lua in files of its own, in the folder ``scripts`` of the room whose store runs it."""

from pathlib import Path


def load(*names: str) -> str:
    """A script of several files, in this order, each ``core/{room}/scripts/{name}.lua`` given as ``room/name``."""
    rooms = Path(__file__).parent
    parts = (name.split("/") for name in names)
    return "".join((rooms / room / "scripts" / f"{name}.lua").read_text(encoding="utf-8") for room, name in parts)
