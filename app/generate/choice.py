"""Which checkpoint a request is sampled from, and in how many steps it may be."""

from core.catalog.card import Family, no_checkpoint, no_such_checkpoint
from core.errors import InvalidRequest
from core.generation.request import MAX_STEPS, GenerateRequest, served_steps


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
    own = family.cards[body.checkpoint].num_steps
    divisors = [steps for steps in range(1, own + 1) if own % steps == 0]
    limit = most if asynchronous else MAX_STEPS
    allowed = [steps for steps in divisors if steps <= limit]
    if body.steps in allowed:
        return body.checkpoint
    words = f"{body.checkpoint} has {own} steps and is sampled in a divisor of them"
    if body.steps in divisors:
        words = f"at most {limit} steps may be asked for"
        if not asynchronous and body.steps <= most:
            words = f"more than {MAX_STEPS} steps need `Prefer: respond-async`"
    raise InvalidRequest(words, field="steps", allowed=allowed)
