"""An answer from an origin: its head is there, its body may still be on its way."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from pkgproxy.message.body import BodySink, Nowhere
from pkgproxy.message.heads import ResponseHead


class Framing(Enum):
    """How the end of a body is known (RFC 9112 §6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class Receiving(Protocol):
    """What an answer needs of its connection."""

    def hold(self) -> None:
        """Stop reading."""

    def go_on(self) -> None:
        """Read again."""

    def abort(self) -> None:
        """Close at once."""


class Response:
    """An answer whose head is there and whose body may still be on its way.

    A push producer.  Whoever gets it calls deliver or stopProducing, once.
    """

    def __init__(self, connection: Receiving, head: ResponseHead, framing: Framing) -> None:
        self._connection = connection
        self.head = head
        self.framing = framing
        self._sink: BodySink | None = None
        self._waiting: list[bytes] = []
        self._ended = False
        #: Whether the sink wants no more for now: it may say so while it is given what
        #: waited here, and says it once only.
        self._paused = False
        self._error: Exception | None = None
        self.received = 0  # bytes of body

    def __repr__(self) -> str:
        return f"<Response {self.head.status} {self.framing.value} received={self.received}>"

    @property
    def length(self) -> int | None:
        """The announced length of the body in bytes."""
        if self.framing is Framing.NONE:
            return 0
        if self.framing is Framing.LENGTH:
            return int(self.head.fields.get(b"content-length") or 0)
        return None

    def data(self, data: bytes) -> None:
        """A piece, from the connection."""
        self.received += len(data)
        if self._sink is None:
            self._waiting.append(data)
        else:
            self._sink.data(data)

    def end(self, error: Exception | None) -> None:
        """The end, from the connection. Once."""
        self._ended, self._error = True, error
        if self._sink is not None:
            self._sink.end(error)

    @property
    def ended(self) -> bool:
        """Whether the connection has nothing more for it."""
        return self._ended

    @property
    def taken(self) -> bool:
        """Whether the body goes somewhere."""
        return self._sink is not None

    def deliver(self, sink: BodySink) -> None:
        """Pass on what came and what comes."""
        self._sink = sink
        waiting, self._waiting = self._waiting, []
        for piece in waiting:
            sink.data(piece)
        if self._ended:
            sink.end(self._error)
        elif not self._paused:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        """Stop reading from the origin."""
        self._paused = True
        if not self._ended:
            self._connection.hold()

    def resumeProducing(self) -> None:
        """Go on reading."""
        self._paused = False
        if not self._ended:
            self._connection.go_on()

    def stopProducing(self) -> None:
        """Nobody wants the rest: close the connection unless all of it came already."""
        self._sink = Nowhere()
        self._waiting = []
        if not self._ended:
            self._connection.abort()
