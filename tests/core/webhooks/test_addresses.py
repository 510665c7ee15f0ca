"""Which addresses are anyone's, and which are of machines behind the service."""

from ipaddress import ip_address

import pytest

from core.webhooks.addresses import Refused, literal, refuse_private

PRIVATE = [
    "127.0.0.1",
    "127.200.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # where clouds tell machines their secrets
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:a00:1::",  # 10.0.0.1 by 6to4
    "2001:0:0:0:0:0:f5ff:fffe",  # 10.0.0.1 by Teredo
    "::7f00:1",  # 127.0.0.1, as it was once written
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_internet_is_refused_unless_it_is_named(address: str) -> None:
    with pytest.raises(Refused, match="FEWSTEP_WEBHOOK_NETWORKS"):
        refuse_private(ip_address(address), ["203.0.113.0/24"])
    refuse_private(ip_address(address), ["203.0.113.0/24", address])


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_what_is_of_the_internet_is_let_through(address: str) -> None:
    refuse_private(ip_address(address), [])


def test_a_network_lets_its_addresses_through_however_they_are_written() -> None:
    refuse_private(ip_address("10.1.2.3"), ["10.0.0.0/8"])
    refuse_private(ip_address("::ffff:10.1.2.3"), ["10.0.0.0/8"])
    with pytest.raises(Refused):
        refuse_private(ip_address("10.1.2.3"), ["10.2.0.0/16", "::/0"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"])
def test_addresses_are_known_as_resolvers_read_them(host: str) -> None:
    assert literal(host) == ip_address("127.0.0.1")


@pytest.mark.parametrize("host", ["app.example", "localhost", "1.example", ""])
def test_names_are_no_addresses(host: str) -> None:
    assert literal(host) is None
