"""From a request to its record, and to its end if somebody waits for that."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from fastapi import Request

from app.access.idempotency import gone, used_for_another
from app.generate.negotiation import choose_media_type
from app.generate.resolve import Asked, resolve
from app.service import Service
from app.webhooks.asked import check_webhook, wanted
from core import tracing
from core.access.repeats import key_of
from core.errors import DeadlinePassed, FewstepError, InvalidRequest, TooMany
from core.generation import records, repeats
from core.generation.records import PENDING, CatalogChanged, Overloaded, QuotaUsed, Record, Status
from core.generation.repeats import KeyUsed, Repeatable
from core.generation.request import Generation
from core.log import get_logger
from core.settings import Settings

PATH = "/generate"
LATE_S = 1.0
"""A catalogue that is older than it should be by so much is read anew before it is asked, else while it is."""

log = get_logger(__name__)


class ClientLeft(Exception):  # noqa: N818
    """Whoever waited has closed the connection."""


async def submit(asked: Asked, service: Service, *, root: str, key: str = "") -> Record:
    """Record what nobody waits for, or find what was recorded under its idempotency key.

    Gives the record with its times by Redis; ``root`` is what paths begin with.

    Raises:
        FewstepError: It asks for what there is not, or the key stands for something else.
    """
    settings = service.settings
    check_webhook(asked.body.webhook, settings)
    repeatable = _repeatable(asked, key, settings) if key else None
    try:
        generation = await _resolve(asked, service)
    except FewstepError:
        # A repeat is answered even if what it was to be made of is gone.
        if repeatable and (used := await repeats.used(service.redis, repeatable)):
            return await _known(used, service)
        raise
    while True:
        try:
            accepted = await _record(
                generation,
                asked,
                service,
                ttl_s=settings.pending_ttl_s,
                version=service.catalog.version,
                repeatable=repeatable,
                webhook=wanted(asked.body.webhook, f"{root}{PATH}/{generation.id}", settings),
            )
        except CatalogChanged:
            generation = await _resolve(asked, service, anew=True)
        except KeyUsed as used:
            return await _known(used, service)
        else:
            return Record(Status.QUEUED, accepted)


def _repeatable(asked: Asked, key: str, settings: Settings) -> Repeatable:
    """What the request is called by its client; the same is asked by the same body for the same media type."""
    asks = f"{asked.body.model_dump_json()} {choose_media_type(asked.accept, asked.body.format)}"
    of_caller = key_of("generate", asked.caller.name, key)
    return Repeatable(of_caller, hashlib.sha256(asks.encode()).hexdigest(), settings.idempotency_ttl_s)


async def _known(used: KeyUsed, service: Service) -> Record:
    if not used.is_same:
        raise used_for_another()
    record = await records.read(service.redis, used.record_id)
    if record is None:
        raise gone("result")
    return record


async def submit_and_wait(asked: Asked, request: Request, service: Service) -> Record:
    """Have it sampled, and return how it ended; nothing of it is kept then.

    Raises:
        FewstepError: It asks for what there is not, there is nobody to sample it, or it took too long.
        ClientLeft: Nobody waits for it any more.
    """
    settings, loop = service.settings, asyncio.get_running_loop()
    if asked.body.webhook is not None:
        raise InvalidRequest("it goes with `Prefer: respond-async` alone", field="webhook")
    generation = await _resolve(asked, service)
    await service.capacity.look()
    until = loop.time() + settings.deadline_s
    is_accepted = False
    left = asyncio.create_task(_disconnected(request))
    try:
        while True:
            with service.results.expect(generation.id) as done:
                try:
                    await _submit(generation, asked, service, is_accepted=is_accepted)
                except CatalogChanged:
                    generation = await _resolve(asked, service, anew=True)
                    continue
                is_accepted = True
                await _first([done, left], timeout_s=until - loop.time())
            if not done.done():
                break
            if ended := done.result():
                return Record(ended.status, generation, ended.result, ended.headers, ended.problem)
            if record := await _fetch(generation, service):
                return record
            # Its end was told to nobody: sampled again, it is the same.
            log.warning("lost with a connection, submitted again", id=generation.id)
    finally:
        left.cancel()
    await records.cancel(service.redis, generation.id, ttl_s=settings.deadline_s)
    if left.done() and not left.cancelled():
        raise ClientLeft
    raise DeadlinePassed(
        f"there was no result within {settings.deadline_s:g} seconds; `Prefer: respond-async` has no deadline"
    )


async def _submit(generation: Generation, asked: Asked, service: Service, *, is_accepted: bool) -> None:
    """Record what somebody waits for, unless that was done before.

    What was accepted already is so again, whatever has changed.
    """
    capacity = service.capacity
    try:
        await _record(
            generation,
            asked,
            service,
            ttl_s=2 * service.settings.deadline_s,
            channel=service.results.channel,
            work_s=capacity.work_s(f"{generation.model}/{generation.checkpoint}", generation.n),
            most_load_s=None if is_accepted else capacity.most_load_s,
            version=None if is_accepted else service.catalog.version,
            counts=not is_accepted,
        )
    except Overloaded as error:
        raise capacity.busy(error.load_s) from None


async def _record(
    generation: Generation,
    asked: Asked,
    service: Service,
    *,
    counts: bool = True,
    **facts: Any,  # noqa: ANN401
) -> Generation:
    """With facts as of ``records.submit``; and see to it that a worker knows. What ``counts`` is of the day's quota."""
    quota = asked.caller.images_per_day if counts else None
    try:
        with tracing.span("publish", kind="PRODUCER"):
            accepted, message = await records.submit(service.redis, generation, images_per_day=quota, **facts)
    except QuotaUsed as used:
        raise TooMany(
            f"the key {asked.caller.name} may have {quota} images a day (UTC), and these {generation.n} would be more",
            retry_after=used.left_s,
            allowed={"images_per_day": quota},
        ) from None
    if message:
        service.bell.ring(generation.id)
    return accepted


async def _fetch(generation: Generation, service: Service) -> Record | None:
    """The end that its record has; None: it has none, or there is no such record."""
    record = await records.read(service.redis, generation.id)
    if record is None or record.status in PENDING:
        return None
    await records.forget(service.redis, generation.id)
    return record


async def _resolve(asked: Asked, service: Service, *, anew: bool = False) -> Generation:
    """What is asked, by a catalogue that is not too old; by the newest if ``anew``, and before anything is refused.

    Reading the disk and asking Redis have a thread of their own meanwhile.
    """
    catalog, settings = service.catalog, service.settings
    if anew or catalog.age_s > LATE_S:
        await asyncio.to_thread(catalog.families)
        return resolve(asked, catalog.find_known, settings)
    if catalog.age_s > 0:
        asyncio.get_running_loop().run_in_executor(None, catalog.families)
    try:
        return resolve(asked, catalog.find_known, settings)
    except FewstepError:
        return await _resolve(asked, service, anew=True)


async def _first(futures: Sequence[asyncio.Future[Any]], *, timeout_s: float) -> None:
    """Return when one of them is done, or after so long."""
    await asyncio.wait(futures, timeout=timeout_s, return_when="FIRST_COMPLETED")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
