"""Redis's scripts: Lua in files of its own, in the folder ``scripts`` of the room whose store runs it."""

import hashlib
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError

Argument = str | bytes | int | float


def load(*names: str) -> str:
    """A script of several files, in this order, each ``core/{room}/scripts/{name}.lua`` given as ``room/name``."""
    rooms = Path(__file__).parent
    parts = (name.split("/") for name in names)
    return "".join((rooms / room / "scripts" / f"{name}.lua").read_text(encoding="utf-8") for room, name in parts)


class Script:
    """One that is run for each request: it is named by its digest, which is computed once."""

    def __init__(self, *names: str) -> None:
        """Of files, as of ``load``."""
        self.text = load(*names)
        self._digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, redis: Redis, *arguments: Argument) -> Any:  # noqa: ANN401
        """What it returns, called without keys."""
        try:
            return redis.evalsha(self._digest, 0, *arguments)
        except NoScriptError:
            return redis.eval(self.text, 0, *arguments)

    async def run_async(self, redis: AsyncRedis, *arguments: Argument) -> Any:  # noqa: ANN401
        """The same for the event loop."""
        try:
            return await redis.evalsha(self._digest, 0, *arguments)
        except NoScriptError:
            return await redis.eval(self.text, 0, *arguments)
