"""What a method says of itself. Command line, HTTP API, validation, cards and documentation follow from it."""

import os
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from core import methods
from core.errors import InvalidRequest


class Options(BaseModel):
    """Options of a method. Each has a default, and what is None is for the method to choose.

    Names are those of the JSON body and, with dashes, of the command line; methods may share one that means the same.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def checked(cls, given: Mapping[str, object]) -> Self:
        """Options of these values.

        Raises:
            InvalidRequest: One is not allowed; the error names it.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidRequest(str(first["msg"]), field=str(first["loc"][0])) from error


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method's declaration.

    Attributes:
        name: In requests, on the command line and in cards.
        summary: What it is, in a few words.
        build: Where its science is, ``module:function``; see ``models.distillation.method.Build``.
        options: What may be asked of it beside what every method takes.
        needs_classifier: Whether it learns through one.
        of_known_data: Options that, above 0, need a classifier that knows the classes of the data.
        halves: Whether a round halves the steps; if not, one round goes from the first to the last.
    """

    name: str
    summary: str
    build: str
    options: type[Options] = Options
    needs_classifier: bool = False
    of_known_data: tuple[str, ...] = ()
    halves: bool = True

    def plan(self, from_steps: int, to_steps: int, *, convert: bool) -> tuple[int, ...] | None:
        """Steps of each round's student, or None where they do not lead from ``from_steps`` to ``to_steps``.

        Args:
            from_steps: Of the teacher.
            to_steps: Of the last student.
            convert: Whether a first round keeps the steps, to make a teacher of noise into one of images.
        """
        steps = [from_steps] if convert else []
        current = from_steps
        while current > to_steps and current % (factor := 2 if self.halves else current // to_steps) == 0:
            current //= factor
            steps.append(current)
        return tuple(steps) if steps and current == to_steps else None


@cache
def all_methods() -> Mapping[str, Method]:
    """Every method by its name: those of this folder, and of the modules that ``FEWSTEP_METHODS`` names.

    That variable is one for the command line too, with commas between names; such a module has a ``METHOD``, and may
    hold its science itself if it imports torch where that is called.
    """
    ours = [f"{methods.__name__}.{module.name}" for module in pkgutil.iter_modules(methods.__path__)]
    yours = [name for name in os.environ.get("FEWSTEP_METHODS", "").split(",") if name]
    found = [vars(import_module(name)).get("METHOD") for name in (*ours, *yours)]
    return MappingProxyType({method.name: method for method in found if isinstance(method, Method)})


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        InvalidRequest: There is none.
    """
    known = all_methods()
    if name not in known:
        raise InvalidRequest(
            f"there is no method {name!r}; there are {', '.join(known)}", field="method", allowed=list(known)
        )
    return known[name]


def all_options() -> dict[str, FieldInfo]:
    """The options of all methods by name."""
    return {name: field for method in all_methods().values() for name, field in method.options.model_fields.items()}


def owners(option: str) -> list[str]:
    """Names of the methods that have an option, ``classifier`` included."""
    return [
        method.name
        for method in all_methods().values()
        if option in method.options.model_fields or (option == "classifier" and method.needs_classifier)
    ]


def refuse_foreign(method: Method, given: Mapping[str, object]) -> None:
    """Raise ``InvalidRequest`` where an option is given that another method has and this one has not."""
    for option in given:
        if method.name not in owners(option):
            raise InvalidRequest(
                f"{method.name} has no use for {option}; it belongs to {', '.join(owners(option))}", field=option
            )
