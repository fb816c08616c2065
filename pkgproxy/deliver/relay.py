"""Passes an upstream's body on to a client, no faster than the client takes it."""

from __future__ import annotations

from typing import Any

from pkgproxy.deliver.delivery import Done
from pkgproxy.message.body import BodySource


class Relay:
    """A sink for an upstream's body; ``chunked`` frames it for the client.

    ``sent`` counts bytes of the body, ``blocked`` is true while the client is slow.
    """

    def __init__(self, transport: Any, source: BodySource, *, chunked: bool) -> None:
        self._transport = transport
        self._source = source
        self._chunked = chunked
        self._ended = False
        self.blocked = False
        self.sent = 0

    def start(self, done: Done) -> None:
        """Send; ``done`` may be called before this returns."""
        self._done = done
        self._transport.registerProducer(self, True)
        self._source.deliver(self)

    def data(self, data: bytes) -> None:
        """A piece from upstream."""
        if self._ended:
            return
        self.sent += len(data)
        if self._chunked:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._transport.write(data)

    def end(self, error: Exception | None) -> None:
        """The end of the upstream's body."""
        if self._ended:
            return
        self._ended = True
        self._transport.unregisterProducer()
        if error is None and self._chunked:
            self._transport.write(b"0\r\n\r\n")
        self._done(error)

    def pauseProducing(self) -> None:
        """The client is slow."""
        self.blocked = True
        self._source.pauseProducing()

    def resumeProducing(self) -> None:
        """The client takes more."""
        self.blocked = False
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone; its protocol says so too."""

    def stop(self) -> None:
        """The client left: nobody wants the rest. ``done`` is not called."""
        if not self._ended:
            self._ended = True
            self._transport.unregisterProducer()
            self._source.stopProducing()
