"""The file of keys: who may use the API, and how much of it.

A JSON object whose ``keys`` is a list of ``Key``. It has no key, only the SHA-256 of each: keys are 256 random bits, so
that no dictionary leads from a digest to its key, and none need be slow to compute.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import limits
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator, model_validator

from core.errors import FewstepError

PREFIX = "fewstep_"
"""What every key begins with, so that programs that look for secrets know one."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
NAME_WORDS = "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit"
RATE_WORDS = "a number in a time, such as 10/second or 600/minute"


class Scope(StrEnum):
    """What a key may do. Whatever only reads takes any key."""

    GENERATE = "generate"
    DISTILL = "distill"
    ADMIN = "admin"
    """Everything, and for the jobs and results of all."""


class Key(BaseModel):
    """A key, all but itself.

    Attributes:
        name: Whose it is: what belongs to a key belongs to its name, so that a new key of that name has it too.
        sha256: Of the key, in hexadecimal.
        rate: Most requests in a time, as ``limits`` has them; None: any number.
        images_per_day: Most images that are accepted in a day of UTC; None: any number.
        training_seconds_per_day: Seconds of training in a day of UTC after which no more is accepted; None: any.
        created: When it was made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: frozenset[Scope]
    rate: str | None = None
    images_per_day: Annotated[int, Field(ge=1)] | None = None
    training_seconds_per_day: Annotated[int, Field(ge=1)] | None = None
    created: datetime

    @field_serializer("scopes")
    def _order(self, scopes: frozenset[Scope]) -> list[Scope]:
        return sorted(scopes)

    @field_validator("scopes")
    @classmethod
    def _need_one(cls, scopes: frozenset[Scope]) -> frozenset[Scope]:
        if not scopes:
            raise ValueError(f"must have one at least: {', '.join(Scope)}")
        return scopes

    @field_validator("rate")
    @classmethod
    def _know_rate(cls, rate: str | None) -> str | None:
        try:
            if rate is not None and limits.parse(rate).amount < 1:
                raise ValueError
        except ValueError:
            raise ValueError(f"must be {RATE_WORDS}") from None
        return rate


class Keys(BaseModel):
    """What the file has."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _have_one_of_a_name(self) -> "Keys":
        names = [key.name for key in self.keys]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"there are two keys of the name {doubled}")
        return self

    def by_digest(self) -> Mapping[str, Key]:
        """Keys by their SHA-256."""
        return {key.sha256: key for key in self.keys}


def new_secret() -> str:
    """A key, which nobody has yet: 256 random bits behind the prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str | bytes) -> str:
    """SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(secret if isinstance(secret, bytes) else secret.encode()).hexdigest()


def find(keys: Mapping[str, Key], secret: bytes) -> Key | None:
    """The key that a client has sent; None: there is none.

    How long this takes says nothing of any key: what is looked up is a digest, which nobody can approach by parts, and
    the comparison that decides takes the same time whatever differs.
    """
    given = digest(secret)
    key = keys.get(given)
    return key if key is not None and hmac.compare_digest(key.sha256, given) else None


def read_keys(path: Path) -> Keys:
    """What a file of keys says.

    Raises:
        FewstepError: There is none, or it says no such thing. The error quotes nothing of it.
    """
    try:
        return Keys.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FewstepError(f"{path}: {error.strerror}; `fewstep keys add NAME` makes one") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FewstepError(f"{path}: {f'{where}: ' if where else ''}{first['msg']}") from None
