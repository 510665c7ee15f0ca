"""Networks and origins as settings name them: each function gives what it was given, or says what is wrong with it."""

import re
from ipaddress import ip_network

ORIGIN = re.compile(
    r"(?!http://.*:80$|https://.*:443$)[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)
LIKE = "in small letters and without a path, such as https://app.example or http://127.0.0.1:3000"


def origins_as_browsers_send_them(origins: list[str]) -> list[str]:
    """They are compared with what browsers send, letter by letter, so that any other form would never match.

    Raises:
        ValueError: One is of another form.
    """
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin: * or scheme, host and, if not the usual one, port, {LIKE}")
    return origins


def networks(given: list[str], *, also: str = "") -> list[str]:
    """Addresses and networks.

    Raises:
        ValueError: One is neither, nor ``also``.
    """
    for network in given:
        try:
            (also and network == also) or ip_network(network, strict=False)
        except ValueError:
            others = f"{also} or " if also else ""
            raise ValueError(
                f"{network!r} is no address and no network: {others}such as 10.0.0.7, 10.0.0.0/8"
            ) from None
    return given


def networks_or_any(given: list[str]) -> list[str]:
    """The same, and ``*`` for any."""
    return networks(given, also="*")
