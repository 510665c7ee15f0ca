"""Which addresses messages are posted to: none of the machines behind the service, unless a setting lets them.

An address is looked at after its name was resolved, and the connection is made to that very address, so that a name
which resolves to something else a moment later is no way in.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address
NAT64 = ip_network("64:ff9b::/96")
"""Behind which a gateway reaches the IPv4 address in the last 32 bits."""


class Refused(Exception):  # noqa: N818 (what happened)
    """Nothing may be posted there."""


def refuse_private(address: Address, allowed: Sequence[str]) -> None:
    """Let an address be that all of the internet can reach, or that a setting names.

    Args:
        address: Where a connection would go.
        allowed: Networks that are let through whatever they are.

    Raises:
        Refused: It is of this machine, of a private network, or of another special use.
    """
    inner = _reached_by(address)
    if any(one in ip_network(network, strict=False) for network in allowed for one in (address, inner)):
        return
    if not inner.is_global or inner.is_multicast or inner.is_reserved or inner.is_unspecified:
        raise Refused(f"{address} is of no public network; FEWSTEP_WEBHOOK_NETWORKS lets others through")


def literal(host: str) -> Address | None:
    """The address that a host of a URL is; None: it is a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001: what resolvers take for an address
    except OSError:
        return None


def resolve(host: str, port: int, allowed: Sequence[str]) -> list[str]:
    """Addresses of a host, all of which may be posted to.

    Raises:
        Refused: One of them may not be.
        OSError: It has none.
    """
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        refuse_private(ip_address(address.partition("%")[0]), allowed)
    return list(dict.fromkeys(found))


def _reached_by(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped or address.sixtofour:
        inner = address.ipv4_mapped or address.sixtofour
        assert inner is not None
        return inner
    if address.teredo:
        return address.teredo[1]
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
