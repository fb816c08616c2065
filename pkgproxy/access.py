"""Who may ask, and where a tunnel may lead."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from pkgproxy.message.errors import ClientError
from pkgproxy.message.memory import Memory

#: Loopback, RFC 1918, link-local and unique local addresses.
DEFAULT_CLIENTS = (
    "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
    "169.254.0.0/16", "fe80::/10", "fc00::/7",
)  # fmt: skip

#: Ports that CONNECT may lead to.
CONNECT_PORTS = frozenset({443})


def parse_networks(texts: Iterable[str]) -> list[IPv6Network]:
    """Networks in CIDR notation, IPv4 ones as mapped IPv6. Raises ValueError."""
    return [_mapped(text) for text in texts]


def _mapped(text: str) -> IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"--allow {text}: {error}") from None
    if isinstance(network, IPv6Network):
        return network
    return IPv6Network((_as_ipv6(network.network_address), 96 + network.prefixlen))


def _as_ipv6(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


class ClientNetworks:
    """The networks whose hosts may use the proxy."""

    def __init__(self, networks: Iterable[IPv6Network]) -> None:
        self._networks = list(networks)
        self._remembered: Memory[str, bool] = Memory(4096)

    def allows(self, host: str | None) -> bool:
        """Whether a client at this address may ask; None is a local (Unix) socket."""
        if host is None:
            return True
        allowed = self._remembered.get(host)
        if allowed is None:
            address = _as_ipv6(ip_address(host.partition("%")[0]))
            inside = any(address in network for network in self._networks)
            allowed = self._remembered.put(host, inside)
        return allowed


def check_tunnel(port: int) -> None:
    """Raise ClientError unless CONNECT may lead to this port."""
    if port not in CONNECT_PORTS:
        raise ClientError(f"This proxy opens tunnels to port 443 only, not {port}.", 403)
