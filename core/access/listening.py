"""Who can reach an address, and whether an API without keys may listen on it."""

from ipaddress import ip_address

from core.errors import FewstepError
from core.settings import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_strangers(settings: Settings) -> None:
    """Let nobody in by accident.

    Raises:
        FewstepError: Others than this machine would reach an API that asks for no key, and nobody said that they may.
    """
    if settings.api_keys_file or settings.allow_anonymous or is_loopback(settings.host):
        return
    raise FewstepError(
        f"FEWSTEP_HOST: {settings.host} is reached by others, and there are no keys; name a file of keys in "
        "FEWSTEP_API_KEYS_FILE, made by `fewstep keys add NAME`, or let everyone in by FEWSTEP_ALLOW_ANONYMOUS=true"
    )
