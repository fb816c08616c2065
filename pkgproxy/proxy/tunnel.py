"""CONNECT: two connections joined, each half closed in its own time (RFC 9110 §9.3.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pkgproxy.http1.liveness import can_half_close


@implementer(IHalfCloseableProtocol)
class TunnelEnd(Protocol):
    """One side of a tunnel. What it receives goes to its peer, no faster than it takes it.

    ``sent`` counts the bytes to this side, ``blocked`` is there for whoever watches an
    exchange: a tunnel may be quiet for as long as it likes.
    """

    transport: Any
    blocked = False

    def __init__(self) -> None:
        self._peer: TunnelEnd | None = None
        self._early: list[bytes] = []
        self._input_over = self._output_over = False
        self.sent = 0

    def connectionMade(self) -> None:
        """Find out in time when the other host is gone, as no time-out does."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def join(self, peer: TunnelEnd, over: Callable[[], None]) -> None:
        """Take what the peer receives; ``over`` is called when this side is lost first."""
        self._peer = peer
        self._over = over
        self.transport.registerProducer(peer.transport, True)

    def open(self) -> None:
        """Both sides are joined: pass on what came before."""
        early, self._early = self._early, []
        for data in early:
            self.dataReceived(data)
        if self._input_over and self._peer is not None:
            self._peer.finish()

    def send(self, data: bytes) -> None:
        """Bytes for this side."""
        self.sent += len(data)
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from this side."""
        if self._peer is None:
            self._early.append(data)
        else:
            self._peer.send(data)

    def finish(self) -> None:
        """The peer will send no more: close our writing half, after what is buffered."""
        if self._output_over:
            return
        self._output_over = True
        self.transport.unregisterProducer()
        if can_half_close(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """This side will send no more."""
        self._input_over = True
        peer = self._peer
        if peer is not None:
            peer.finish()
            if peer._input_over:
                self.transport.loseConnection()
                peer.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our writing half is closed; the peer's bytes still come."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """This side is gone, so nothing can come of the other."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer._peer = None
            peer.transport.unregisterProducer()
            peer.transport.loseConnection()
            self._over()


def join(here: TunnelEnd, there: TunnelEnd, over: Callable[[], None]) -> None:
    """Make two connected ends a tunnel; ``over`` is called once, when either is lost."""
    here.join(there, over)
    there.join(here, over)
    here.open()
    there.open()
