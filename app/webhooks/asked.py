"""From the webhook that a client asks for to what the record keeps of it."""

from urllib.parse import urlsplit

from core.errors import InvalidRequest
from core.settings import Settings
from core.webhooks.addresses import Refused, literal, refuse_private
from core.webhooks.request import GenerationWebhook, JobWebhook, Wanted


def check_webhook(webhook: GenerationWebhook | JobWebhook | None, settings: Settings) -> None:
    """See whether messages can be posted there, as far as that is known without asking for the address of a name.

    Raises:
        InvalidRequest: They cannot.
    """
    if webhook is None:
        return
    if not settings.sends_webhooks:
        raise InvalidRequest("this service sends none: FEWSTEP_WEBHOOK_SECRET is not set", field="webhook")
    address = literal(urlsplit(webhook.url).hostname or "")
    try:
        if address is not None:
            refuse_private(address, settings.webhook_networks)
    except Refused as refused:
        raise InvalidRequest(str(refused), field="webhook.url") from None


def wanted(webhook: GenerationWebhook | JobWebhook | None, path: str, settings: Settings) -> str:
    """What the record keeps; empty where nobody is to hear.

    Args:
        webhook: As asked.
        path: Where to ask about what the messages tell of.
        settings: How long messages are kept.
    """
    if webhook is None:
        return ""
    events = tuple(map(str, webhook.events))
    return Wanted(url=webhook.url, events=events, path=path, kept_s=int(settings.job_ttl_s)).model_dump_json()
