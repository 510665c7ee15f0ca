"""What a method says of itself. Command line, HTTP API, validation, cards and documentation follow from it."""

import math
import os
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from core import methods
from core.errors import InvalidRequest

SUB_STEPS = 4
LEAST_STEPS = 12
"""Of a teacher, for each step of its student and in all, where nothing else is asked for."""


class Options(BaseModel):
    """Options of a method. Each has a default, and what is None is for the method to choose.

    Names are those of the JSON body and, with dashes, of the command line; methods may share one that means the same.

    Attributes:
        takes_classifier: Whether a method with them may learn through a classifier.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    takes_classifier: ClassVar[bool] = False

    @property
    def needs_classifier(self) -> bool:
        """Whether it does learn through one, as these are."""
        return self.takes_classifier

    def refuse_teacher(self, *, knows_all_rows: bool) -> None:
        """Raise ``InvalidRequest`` where they do not suit a teacher, of which ``core.catalog.card.Card`` says that."""

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
            if first["type"] == "value_error" and isinstance(cause := first["ctx"]["error"], OptionError):
                raise InvalidRequest(str(cause), field=cause.option) from error
            raise InvalidRequest(str(first["msg"]), field=str(first["loc"][0])) from error


class OptionError(ValueError):
    """For validators of options that look at several: one does not go with the others."""

    def __init__(self, words: str, *, option: str) -> None:
        """What is wrong, and with which."""
        super().__init__(words)
        self.option = option


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method's declaration.

    Attributes:
        name: In requests, on the command line and in cards.
        summary: What it is, in a few words.
        build: Where its science is, ``module:function``; see ``models.distillation.method.Build``.
        options: What may be asked of it beside what every method takes.
        of_known_data: Options that, above 0, need a classifier that knows the classes of the data.
        halves: Whether a round halves the steps; if not, one round goes from the first to the last.
        needs_images: Whether it is shown images; if not, it learns from noise and the teacher alone.
        own_steps_only: Whether its students can be sampled in their own number of steps alone.
    """

    name: str
    summary: str
    build: str
    options: type[Options] = Options
    of_known_data: tuple[str, ...] = ()
    halves: bool = True
    needs_images: bool = True
    own_steps_only: bool = False

    def reached(self, from_steps: int, *, convert: bool) -> list[int]:
        """The steps, most first, that a chain may end in; arguments as of ``plan``."""
        divisors = [steps for steps in range(from_steps, 0, -1) if from_steps % steps == 0]
        return [steps for steps in divisors if self.plan(from_steps, steps, convert=convert)]

    def usual_start(self, to_steps: int) -> int:
        """Steps to sample a teacher in that can be sampled in any number, where this takes the steps in one round."""
        return to_steps * max(SUB_STEPS, math.ceil(LEAST_STEPS / to_steps))

    def plan(self, from_steps: int, to_steps: int, *, convert: bool) -> tuple[int, ...] | None:
        """Steps of each round's student, or None where they do not lead from ``from_steps`` to ``to_steps``.

        Args:
            from_steps: Of the teacher.
            to_steps: Of the last student.
            convert: Whether a first round keeps the steps, to make a teacher of noise into one of images.
        """
        steps = [from_steps] if convert else []
        current = from_steps
        while current > to_steps and current % (2 if self.halves else to_steps) == 0:
            current = current // 2 if self.halves else to_steps
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


def described(option: str) -> str:
    """What an option is, for help and schema."""
    field = all_options()[option]
    default = "" if field.default is None else f"; by default {field.default}"
    return f"For {', '.join(owners(option))}: {field.description}{default}."


def owners(option: str) -> list[str]:
    """Names of the methods that have an option, ``classifier`` included."""
    return [
        method.name
        for method in all_methods().values()
        if option in method.options.model_fields or (option == "classifier" and method.options.takes_classifier)
    ]


def settle(method: Method, given: Mapping[str, object], *, knows_all_rows: bool) -> Options:
    """The options of a method as they were asked for.

    Args:
        method: Which.
        given: Options by name, and ``classifier`` where one is named.
        knows_all_rows: Whether the teacher does, as of ``core.catalog.card.Card``.

    Raises:
        InvalidRequest: One is not allowed, is another method's, or does not suit the teacher.
    """
    for option in given:
        if method.name not in owners(option):
            raise InvalidRequest(
                f"{method.name} has no use for {option}; it belongs to {', '.join(owners(option))}", field=option
            )
    options = method.options.checked({name: value for name, value in given.items() if name != "classifier"})
    options.refuse_teacher(knows_all_rows=knows_all_rows)
    if given.get("classifier") and not options.needs_classifier:
        raise InvalidRequest(f"{method.name} as asked for here learns through no classifier", field="classifier")
    return options
