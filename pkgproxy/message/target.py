"""What a request asks for: an absolute URL, normalised into a key (RFC 3986 §6, RFC 9112 §3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urljoin

from pkgproxy.message.errors import ClientError

PORTS = {"http": 80, "https": 443}

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,254})(?::([0-9]*))?")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: In a path these mean the same plain or percent-encoded for every server we know of;
#: apt sends ``%2b`` where curl sends ``+``.
_PATH_PLAIN = _UNRESERVED | frozenset("!$&'()*+,;=:@")
#: What would end a request line, or is no ASCII: a redirect may hold it.
_RAW = re.compile(r"[^!-~]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/?%-]")


@dataclass(frozen=True, slots=True)
class Target:
    """An origin and a resource of it.

    ``resource`` is path and query as the client wrote them, for the request line.
    ``url`` is the normalised absolute URL, for rules and logs.  ``key`` names the stored
    file: ``host[:port]/path[?query]``, with ``https+`` before it for that scheme (no host
    holds a plus); its
    hexadecimal escapes are in upper case.
    """

    scheme: str
    host: str
    port: int
    resource: bytes
    url: str
    key: str

    @property
    def authority(self) -> bytes:
        """The Host field: without a default port (RFC 9110 §7.2)."""
        return _authority(self.scheme, self.host, self.port).encode("ascii")

    @property
    def address(self) -> str:
        """The host for a socket: an IPv6 literal without its brackets."""
        return self.host.strip("[]")

    def join(self, location: bytes) -> Target:
        """Where a Location field points (RFC 9110 §10.2.2). Raises ClientError."""
        base = f"{self.scheme}://{self.authority.decode()}{self.resource.decode('latin-1')}"
        try:
            joined = urljoin(base, location.decode("latin-1"))
        except ValueError as error:
            raise ClientError(f"The redirect is not a URL: {error}.") from None
        return parse_target(joined.encode("latin-1"))


def _authority(scheme: str, host: str, port: int) -> str:
    return host if port == PORTS[scheme] else f"{host}:{port}"


def parse_target(raw: bytes) -> Target:
    """Parse an absolute-form target.

    Raises ClientError for a scheme that is never opened, user information, a bad host,
    port or percent-encoding.
    """
    text = raw.decode("latin-1")
    match = _ABSOLUTE.fullmatch(text.partition("#")[0])
    if match is None:
        raise ClientError("The request target is not an absolute URL.")
    scheme = match[1].lower()
    if scheme not in PORTS:
        raise ClientError(f"This proxy opens http and https URLs only, not {scheme}.")
    host, port = parse_authority(match[2], PORTS[scheme])
    resource = match[3] if match[3].startswith("/") else "/" + match[3]
    if _BARE_PERCENT.search(resource):
        raise ClientError("The URL holds a % that two hexadecimal digits do not follow.")
    authority, normal = _authority(scheme, host, port), normalise(resource)
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        resource=_RAW.sub(_encode, resource).encode("ascii"),
        url=f"{scheme}://{authority}{normal}",
        key=("https+" if scheme == "https" else "") + authority + normal,
    )


def parse_authority(text: str, default_port: int | None) -> tuple[str, int]:
    """Host in lower case and port of ``host[:port]``. Raises ClientError."""
    if "@" in text:
        raise ClientError("The URL holds user information; send an Authorization field instead.")
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ClientError("The host in the request target is not valid.")
    port = int(match[2]) if match[2] and len(match[2]) < 6 else default_port
    if port is None or not 0 < port < 65536 or (match[2] and len(match[2]) > 5):
        raise ClientError("The port in the request target is not between 1 and 65535.")
    host = match[1].lower()
    return (_ipv6(host) if host.startswith("[") else host), port


def _ipv6(literal: str) -> str:
    try:
        return f"[{IPv6Address(literal[1:-1]).compressed}]"
    except ValueError:
        raise ClientError("The IPv6 address in the request target is not valid.") from None


def normalise(resource: str) -> str:
    """Path and query in one spelling of their percent-encoding, which is idempotent.

    In the query only unreserved characters are decoded: ``+`` and ``%2B`` differ there.
    """
    path, question, query = resource.partition("?")
    return _respell(path, _PATH_PLAIN) + question + _respell(query, _UNRESERVED)


def _respell(text: str, plain: frozenset[str]) -> str:
    def decode(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in plain else match[0].upper()

    if "%" in text:
        text = _ESCAPE.sub(decode, text)
    return _UNSAFE.sub(_encode, text)


def _encode(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"
