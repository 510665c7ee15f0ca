"""Who can reach an address, and whether an API without keys may listen on it."""

from ipaddress import ip_address

from core.access.keys import read_keys
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


def check_access(settings: Settings) -> None:
    """Before an API starts: that nobody is let in by accident, and everyone with a key.

    Raises:
        FewstepError: The keys cannot be read, or others than this machine would reach an API that asks for none, and
            nobody said that they may.
    """
    if settings.api_keys_file:
        read_keys(settings.api_keys_file)
        return
    if settings.allow_anonymous or is_loopback(settings.host):
        return
    raise FewstepError(
        f"FEWSTEP_HOST: {settings.host} is reached by others, and there are no keys; name a file of keys in "
        "FEWSTEP_API_KEYS_FILE, made by `fewstep keys add NAME`, or let everyone in by FEWSTEP_ALLOW_ANONYMOUS=true"
    )
