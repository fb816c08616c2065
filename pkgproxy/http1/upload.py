"""A request's body on its way to the origin."""

from __future__ import annotations

from typing import Any, Protocol

from pkgproxy.message.body import BodySink


class RequestSource(Protocol):
    """A request body to upload; see http1.exchange.RequestBody."""

    length: int | None
    ended: bool

    def deliver(self, sink: BodySink) -> None:
        """Begin."""

    def pauseProducing(self) -> None:
        """Wait."""

    def resumeProducing(self) -> None:
        """Go on."""

    def stopProducing(self) -> None:
        """Nobody takes the rest."""


class Sending(Protocol):
    """What an upload needs of its connection."""

    def uploaded(self) -> None:
        """A piece went out."""

    def upload_failed(self, error: Exception) -> None:
        """The body will never be whole."""


class Upload:
    """A request's body on its way to the origin."""

    def __init__(self, connection: Sending, transport: Any, body: RequestSource) -> None:
        self._connection = connection
        self._transport = transport
        self._body = body
        self._chunked = body.length is None
        self.ended = False

    def begin(self) -> None:
        """Let the body come, as fast as the origin takes it."""
        self._transport.registerProducer(self._body, True)
        self._body.deliver(self)

    def data(self, data: bytes) -> None:
        """A piece from the client."""
        if self.ended:
            return
        self._connection.uploaded()
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self, error: Exception | None) -> None:
        """The client has sent all of it, or will not."""
        if self.ended:
            return
        self.ended = True
        self._transport.unregisterProducer()
        if error is not None:
            self._connection.upload_failed(error)
        elif self._chunked:
            self._transport.write(b"0\r\n\r\n")

    def stop(self) -> None:
        """The answer is over; the rest of the body is of no use."""
        self.ended = True
        self._transport.unregisterProducer()
        self._body.stopProducing()
