"""Whoever sends a request, as endpoints know them: ``caller: Annotated[Caller, may(Scope.GENERATE)]``."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.types import Scope as AsgiScope

from app.access.rates import Rates
from core.access.keys import Key, Scope
from core.errors import Forbidden

_PLACE = "fewstep.caller"


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        name: The owner of what they make: the name of their key; empty where keys are not asked for.
        scopes: What they may do.
        key: Their key, with its limits; None where keys are not asked for.
    """

    name: str
    scopes: frozenset[Scope]
    key: Key | None = None

    @property
    def training_per_day(self) -> int | None:
        """Seconds that their jobs may train in a day; None: any number."""
        return None if self.key is None else self.key.training_seconds_per_day

    @property
    def images_per_day(self) -> int | None:
        """Images that they may ask for in a day; None: any number."""
        return None if self.key is None else self.key.images_per_day

    @property
    def sees_all(self) -> bool:
        """Whether what belongs to others is theirs to see."""
        return Scope.ADMIN in self.scopes

    def sees(self, owner: str) -> bool:
        """Whether what belongs to ``owner`` is; what they may not see is to be as if it were not there."""
        return self.name == owner or self.sees_all

    def sees_shared(self, owner: str) -> bool:
        """The same of what belongs to all where it has no owner, such as models."""
        return not owner or self.sees(owner)

    def need_to_change(self, owner: str) -> None:
        """Let them change what others use too.

        Raises:
            Forbidden: It is not their own, and they lack the scope for that.
        """
        if self.name != owner:
            self.need(Scope.ADMIN)

    def need(self, scope: Scope) -> None:
        """Let them do what takes a scope.

        Raises:
            Forbidden: They lack it.
        """
        if scope not in self.scopes and not self.sees_all:
            has = ", ".join(sorted(self.scopes))
            raise Forbidden(f"this takes a key of scope {scope}; that of {self.name} has {has}", scope=scope)


ANYONE = Caller("", frozenset(Scope))
"""Where keys are not asked for."""
NOBODY = Caller("", frozenset())
"""Who sends no key where others must: the caller of what is open to all."""


def note_caller(scope: AsgiScope, caller: Caller) -> None:
    """Say who sends the request of an ASGI scope."""
    scope[_PLACE] = caller


def caller_of(scope: AsgiScope) -> Caller | None:
    """Who sends it; None: it was not looked at yet."""
    return scope.get(_PLACE)


class _Bearer(SecurityBase):
    """What OpenAPI says of keys; its value is who sends the request, and may do what takes a scope."""

    def __init__(self, *scopes: Scope) -> None:
        self.model = HTTPBearer(description="A key, made by `fewstep keys add NAME`; none where keys are not asked for")
        self.scheme_name = "key"
        self.scopes = scopes

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.scope[_PLACE]
        if caller.key is not None:
            rates: Rates = request.app.state.service.rates
            await rates.take(caller.key)
        for scope in self.scopes:
            caller.need(scope)
        return caller


_CALLERS = {scope: _Bearer(scope) for scope in Scope}


def may(scope: Scope) -> Any:  # noqa: ANN401 (as of Security)
    """A dependency that gives the caller, who must have a scope."""
    return Security(_CALLERS[scope], scopes=[scope])


async def _whoever(request: Request) -> Caller:
    caller: Caller = request.scope[_PLACE]
    return caller


Whoever = Annotated[Caller, Depends(_whoever)]
"""The caller of what is open to all, mostly ``NOBODY``."""
Known = Annotated[Caller, Security(_Bearer())]
"""A caller with any key."""
Generates = Annotated[Caller, may(Scope.GENERATE)]
Distils = Annotated[Caller, may(Scope.DISTILL)]
Administers = Annotated[Caller, may(Scope.ADMIN)]
