"""Which checkpoint a request is sampled from, and in how many steps it may be."""

from core.catalog.card import Family, no_checkpoint, no_such_checkpoint
from core.errors import InvalidRequest
from core.generation.request import MAX_STEPS, GenerateRequest, served_steps

_WALKS = {False: "is sampled in a divisor of them", True: "is sampled in no others"}


def choose_checkpoint(family: Family, body: GenerateRequest, *, asynchronous: bool, most: int) -> str:
    """The one that is named, or the family's student for the steps.

    Args:
        family: The family that is asked for.
        body: The request.
        asynchronous: Whether nobody waits for the answer.
        most: Steps that one which names a checkpoint may then have.

    Raises:
        FewstepError: There is none, or it cannot be sampled in so many steps; the error names the field and what is
            allowed.
    """
    if body.checkpoint is None:
        served = served_steps(family)
        if body.steps not in served:
            raise no_checkpoint(family, body.steps, list(served))
        return served[body.steps]
    if body.checkpoint not in family.cards:
        raise no_such_checkpoint(family, body.checkpoint)
    card = family.cards[body.checkpoint]
    limit = most if asynchronous else MAX_STEPS
    if body.steps <= limit and card.can_walk(body.steps):
        return body.checkpoint
    words = f"{body.checkpoint} has {card.num_steps} steps and {_WALKS[card.own_steps_only]}"
    if card.can_walk(body.steps):
        words = f"at most {limit} steps may be asked for"
        if not asynchronous and body.steps <= most:
            words = f"more than {MAX_STEPS} steps need `Prefer: respond-async`"
    allowed = [steps for steps in range(1, limit + 1) if card.can_walk(steps)]
    is_any = card.knows_all_rows
    raise InvalidRequest(words, field="steps", allowed={"minimum": 1, "maximum": limit} if is_any else allowed)
