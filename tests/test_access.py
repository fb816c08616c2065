"""Who may ask, and where a tunnel may lead."""

from __future__ import annotations

import pytest

from pkgproxy.access import DEFAULT_CLIENTS, ClientNetworks, check_tunnel, parse_networks
from pkgproxy.message.errors import ClientError


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.31.255.255", True),
        ("192.168.1.1", True),
        ("169.254.3.4", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("fd12:3456::1", True),
        ("::ffff:192.168.1.1", True),
        ("::ffff:127.0.0.1", True),
        (None, True),  # a local socket
        ("172.32.0.1", False),
        ("172.15.255.255", False),
        ("192.169.0.1", False),
        ("11.0.0.1", False),
        ("203.0.113.5", False),
        ("::ffff:203.0.113.5", False),
        ("2001:db8::1", False),
        ("fec0::1", False),
        ("::2", False),
        ("::", False),
        ("::10.0.0.1", False),
    ],
)
def test_default_clients(host: str | None, allowed: bool) -> None:
    """Unless told otherwise, only loopback, private and link-local hosts may ask."""
    networks = ClientNetworks(parse_networks(DEFAULT_CLIENTS))
    assert [networks.allows(host), networks.allows(host)] == [allowed, allowed]


@pytest.mark.parametrize(
    ("networks", "allowed", "refused"),
    [
        (["203.0.113.7"], ["203.0.113.7", "::ffff:203.0.113.7"], ["203.0.113.8"]),
        (["203.0.113.7/24"], ["203.0.113.200"], ["203.0.114.1"]),
        (["2001:db8::/32"], ["2001:db8:1::1"], ["2001:db9::1", "127.0.0.1"]),
        (["0.0.0.0/0"], ["198.51.100.1", "127.0.0.1"], ["2001:db8::1"]),
        (["2001:db8::1", "198.51.100.0/28"], ["2001:db8::1", "198.51.100.15"], ["198.51.100.16"]),
        ([], [], ["127.0.0.1", "::1"]),
    ],
)
def test_own_networks(networks: list[str], allowed: list[str], refused: list[str]) -> None:
    """The operator's networks count instead of the default ones."""
    clients = ClientNetworks(parse_networks(networks))
    assert [clients.allows(host) for host in allowed] == [True] * len(allowed)
    assert [clients.allows(host) for host in refused] == [False] * len(refused)


@pytest.mark.parametrize(
    "text", ["", "localhost", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.1-9"]
)
def test_bad_network(text: str) -> None:
    """What is no network is an error, never everybody or nobody."""
    with pytest.raises(ValueError, match=r"."):
        parse_networks([text])


@pytest.mark.parametrize("port", [0, 22, 25, 80, 8443, 65535])
def test_tunnel_ports(port: int) -> None:
    """CONNECT leads to port 443 only: the proxy is no way into other services."""
    check_tunnel(443)
    with pytest.raises(ClientError, match=f"port 443 only, not {port}") as caught:
        check_tunnel(port)
    assert caught.value.status == 403
