"""Asking origins: connections and their reuse, TLS, redirects, and whose fault it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionLost,
    DNSLookupError,
    TimeoutError as ConnectTimeoutError,
)
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS, platformTrust

from pkgproxy.http1.client import ClientConnection, Interim
from pkgproxy.http1.response import Framing, Response
from pkgproxy.http1.upload import RequestSource
from pkgproxy.message.body import Nowhere
from pkgproxy.message.errors import (
    ClientError,
    StaleConnection,
    UpstreamError,
    UpstreamTimeout,
)
from pkgproxy.message.fields import Field
from pkgproxy.message.heads import field_lines
from pkgproxy.message.memory import Memory
from pkgproxy.message.target import Target

CONNECT_TIMEOUT = 10.0  # seconds, name look-up and TLS included
IDLE_TIMEOUT = 30.0  # seconds that an unused connection is kept
MAX_REDIRECTS = 10

#: The rest of an answer that nobody wants is read, to keep the connection, if it is short.
_SHORT = 64 * 1024  # bytes

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Methods that may be sent twice without harm (RFC 9110 §9.2.2).
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})

_Key = tuple[str, str, int]

#: Where to look for the answer instead, given the target asked and what came; or None.
Follow = Callable[[Target, Response], Target | None]

#: Makes the endpoint for a target; tests and peers give their own.
Connector = Callable[[Target], IStreamClientEndpoint]


def stay(target: Target, response: Response) -> Target | None:
    """Follow no redirect."""
    return None


def upgrade_only(target: Target, response: Response) -> Target | None:
    """Follow a redirect that only turns http into https."""
    there = redirect(target, response)
    if there is None or (target.scheme, there.scheme) != ("http", "https"):
        return None
    same = there.host == target.host and there.resource == target.resource
    return there if same else None


def redirect(target: Target, response: Response) -> Target | None:
    """Where a redirect points; None if it is none, or to nowhere we can go."""
    location = response.head.fields.get(b"location")
    if response.head.status not in _REDIRECTS or location is None:
        return None
    try:
        return target.join(location)
    except ClientError:
        return None


class HostConnector:
    """Connects by name or address; https with certificate checks."""

    def __init__(self, reactor: Any, trust_root: Any = None) -> None:
        self._reactor = reactor
        self._trust_root = trust_root or platformTrust()
        self._options: Memory[str, Any] = Memory(200)

    def __call__(self, target: Target) -> IStreamClientEndpoint:
        """The endpoint of a target's origin."""
        endpoint = HostnameEndpoint(self._reactor, target.address, target.port, CONNECT_TIMEOUT)
        if target.scheme == "https":
            return wrapClientTLS(self._options_for(target.address), endpoint)
        return endpoint

    def _options_for(self, host: str) -> Any:
        # Each set of options loads the system's certificates when first used, which
        # takes 20 ms; a host's next connection need not.
        options = self._options.get(host)
        if options is None:
            made = optionsForClientTLS(host, trustRoot=self._trust_root)
            options = self._options.put(host, made)
        return options


class Upstream:
    """All origins, and the connections to them that are kept for a while."""

    def __init__(
        self, clock: IReactorTime, connector: Connector, received: Callable[[int], None]
    ) -> None:
        self._clock = clock
        self._connector = connector
        self._received = received
        self._idle: dict[_Key, list[tuple[ClientConnection, IDelayedCall]]] = {}
        self._open: WeakSet[ClientConnection] = WeakSet()

    async def fetch(
        self,
        method: bytes,
        target: Target,
        fields: list[Field],
        follow: Follow = stay,
        body: RequestSource | None = None,
        interim: Interim | None = None,
    ) -> Response:
        """The answer's head; its body is still to be delivered.

        ``fields`` are end-to-end ones without Host.  Raises UpstreamError.
        """
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._ask(method, target, fields, body, interim)
            there = follow(target, response)
            if there is None:
                return response
            discard(response)
            target = there
        raise UpstreamError(f"{target.host} redirects more than {MAX_REDIRECTS} times.")

    async def _ask(
        self,
        method: bytes,
        target: Target,
        fields: list[Field],
        body: RequestSource | None,
        interim: Interim | None,
    ) -> Response:
        framing = _body_fields(body)
        lines = field_lines([(b"Host", target.authority), *fields, *framing])
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target.resource, lines)
        # A kept connection may be closed by the origin just now. What must not be sent
        # twice gets a fresh one.
        repeatable = body is None and method in _REPEATABLE
        while True:
            kept = self._reuse(target) if repeatable else None
            connection = kept or await self._connect(target)
            with suppress(StaleConnection):
                return await connection.ask(head, method, body, interim)

    async def _connect(self, target: Target) -> ClientConnection:
        key = _key(target)
        name = target.authority.decode("ascii")
        connection = ClientConnection(
            name, self._clock, lambda c: self._keep(key, c), self._received
        )
        await connected(self._connector, self._clock, target, connection)
        self._open.add(connection)
        return connection

    def _reuse(self, target: Target) -> ClientConnection | None:
        idle = self._idle.get(_key(target), [])
        while idle:
            connection, expiry = idle.pop()
            expiry.cancel()
            if not connection.lost:
                return connection
        return None

    def _keep(self, key: _Key, connection: ClientConnection) -> None:
        idle = self._idle.setdefault(key, [])
        expiry = self._clock.callLater(IDLE_TIMEOUT, self._expire, key, connection)
        idle.append((connection, expiry))

    def _expire(self, key: _Key, connection: ClientConnection) -> None:
        kept = [pair for pair in self._idle.pop(key, []) if pair[0] is not connection]
        if kept:
            self._idle[key] = kept
        connection.close()

    def close(self) -> None:
        """Close all connections."""
        idle, self._idle = self._idle, {}
        for pairs in idle.values():
            for _, expiry in pairs:
                expiry.cancel()
        for connection in tuple(self._open):
            connection.abort()


async def connected(
    connector: Connector, clock: IReactorTime, target: Target, protocol: Protocol
) -> None:
    """Connect a protocol to a target. Raises UpstreamError that names host and cause."""
    name = target.authority.decode("ascii")
    factory: Factory[Any] = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    try:
        attempt = connector(target).connect(factory)
        timer = clock.callLater(CONNECT_TIMEOUT, attempt.cancel)
        try:
            await attempt
        finally:
            late = not timer.active()
            if not late:
                timer.cancel()
    except (CancelledError, ConnectingCancelledError) as error:
        # Either the time is up, or nobody waits any more.
        if not late:
            raise CancelledError from error
        raise _too_late(name) from error
    except Exception as error:
        raise explained(name, error) from error


def _too_late(name: str) -> UpstreamTimeout:
    return UpstreamTimeout(f"{name} did not connect within {CONNECT_TIMEOUT:.0f} seconds.")


def _key(target: Target) -> _Key:
    return target.scheme, target.host, target.port


def _body_fields(body: RequestSource | None) -> list[Field]:
    if body is None:
        return []
    if body.length is None:
        return [(b"Transfer-Encoding", b"chunked")]
    return [(b"Content-Length", b"%d" % body.length)]


def explained(name: str, error: BaseException | None) -> UpstreamError:
    """An error of ours for one of Twisted's, naming host and cause."""
    if isinstance(error, ConnectTimeoutError):
        return _too_late(name)
    if isinstance(error, ValueError):
        return UpstreamError(f"{name} is not a valid host name: {error}.")
    if isinstance(error, DNSLookupError):
        return UpstreamError(f"{name} has no address: the look-up of the name failed.")
    if isinstance(error, ConnectionLost) or not isinstance(error, ConnectError):
        return UpstreamError(f"{name} did not complete the TLS handshake: {error}.")
    number = error.osError if isinstance(error.osError, int) else None
    reason = os.strerror(number) if number is not None else error
    return UpstreamError(f"Cannot connect to {name}: {reason}.")


def discard(response: Response) -> None:
    """Be done with an answer, keeping its connection where that is cheap."""
    if response.framing is Framing.LENGTH and (response.length or 0) <= _SHORT:
        response.deliver(Nowhere())
    else:
        response.stopProducing()
