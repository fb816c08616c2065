"""One request on a connection, and what its answer needs to know of that connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from pkgproxy.message.body import BodySink, Nowhere
from pkgproxy.message.errors import ClientError
from pkgproxy.message.heads import RequestHead, field_lines, status_line

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

#: A body that nobody takes is read so far and then no further.
MAX_WAITING = 64 * 1024  # bytes


class Connection(Protocol):
    """What an exchange needs of its connection."""

    transport: Any
    client: str | None

    def finished(self, exchange: Exchange) -> None:
        """The answer has been written."""

    def body_wanted(self) -> None:
        """Whether the body is taken has changed."""

    def succeed_with(self, protocol: IProtocol) -> None:
        """Become a tunnel."""


class Sending(Protocol):
    """An answer's body on its way; see deliver."""

    @property
    def sent(self) -> int:
        """Body bytes given to the transport."""

    @property
    def blocked(self) -> bool:
        """Whether the client is slow."""


class RequestBody:
    """The body of a request on its way in; a push producer for whoever takes it."""

    __slots__ = ("_connection", "_error", "_paused", "_sink", "_waiting", "begun", "ended",
                 "length")  # fmt: skip

    def __init__(self, connection: Connection, length: int | None) -> None:
        self._connection = connection
        #: Bytes; None if it is chunked.
        self.length = length
        self.begun = False
        self.ended = False
        self._error: ClientError | None = None
        self._waiting = bytearray()
        self._paused = False
        self._sink: BodySink | None = None

    @property
    def full(self) -> bool:
        """Whether reading on would only fill memory."""
        if self._sink is None:
            return len(self._waiting) >= MAX_WAITING
        return self._paused

    def received(self, data: bytes) -> None:
        """A piece from the client."""
        self.begun = True
        if self._sink is None:
            self._waiting += data
        else:
            self._sink.data(data)

    def complete(self, error: ClientError | None) -> None:
        """The end, or why there is none. Later calls change nothing."""
        if self.ended:
            return
        self.ended = True
        self._error = error
        if self._sink is not None:
            self._sink.end(error)

    def deliver(self, sink: BodySink) -> None:
        """Pass on what came and what comes."""
        self._sink = sink
        if self._waiting:
            data, self._waiting = bytes(self._waiting), bytearray()
            sink.data(data)
        if self.ended:
            sink.end(self._error)
        self._connection.body_wanted()

    def pauseProducing(self) -> None:
        """Stop reading from the client."""
        self._paused = True
        self._connection.body_wanted()

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        self._connection.body_wanted()

    def stopProducing(self) -> None:
        """Nobody takes it any more; what arrives is dropped."""
        self._sink = Nowhere()
        self.resumeProducing()


class Exchange:
    """A request whose turn it is. ``finish`` or ``abort`` ends it."""

    __slots__ = ("_connection", "body", "delivery", "early", "error", "head", "keep_alive",
                 "on_gone", "own_bytes", "started", "status", "tunnel")  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        head: RequestHead,
        *,
        keep_alive: bool,
        error: ClientError | None = None,
    ) -> None:
        self._connection = connection
        self.head = head
        self.tunnel = head.method == b"CONNECT"
        #: Whether the connection may serve another request after this one.
        self.keep_alive = keep_alive and not self.tunnel
        #: Why this is no request at all.
        self.error = error
        #: Bytes that came behind a CONNECT.
        self.early = b""
        length = None if self.chunked else int(head.fields.get(b"content-length") or 0)
        self.body = RequestBody(connection, length)
        if error is not None:
            self.body.ended = True
        #: Called when the client leaves before the answer's end.
        self.on_gone: Callable[[], None] | None = None
        #: What is being sent, its status, and when the request's turn came (seconds).
        self.delivery: Sending | None = None
        self.status = 0
        self.started = 0.0
        #: Bytes of an answer of the proxy's own.
        self.own_bytes = 0

    def __repr__(self) -> str:
        return f"<Exchange {self.head.method!r} {self.head.target!r} status={self.status}>"

    @property
    def transport(self) -> Any:
        """Where the answer goes."""
        return self._connection.transport

    @property
    def client(self) -> str | None:
        """The client's address; None on a Unix socket."""
        return self._connection.client

    @property
    def has_body(self) -> bool:
        """Whether the request is framed as one with a body; an empty one counts, as it must
        be said again, but for methods that have none.
        """
        if self.body.length == 0:
            empty = self.head.method in (b"GET", b"HEAD")
            return b"content-length" in self.head.fields and not empty
        return True

    @property
    def chunked(self) -> bool:
        """Whether the request's body has the chunked coding."""
        return b"transfer-encoding" in self.head.fields

    def framing(self) -> bytes:
        """The header lines that say how long the request's body is."""
        names = (b"content-length", b"transfer-encoding")
        return field_lines([i for i in self.head.fields if i[0].lower() in names])

    def connection_line(self) -> bytes:
        """The Connection field of the answer, if it needs one (RFC 9112 §9.3)."""
        if not self.keep_alive:
            return b"Connection: close\r\n"
        return b"Connection: keep-alive\r\n" if self.head.version == "1.0" else b""

    def interim(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Pass a 1xx answer on, to a client that understands it (RFC 9110 §15.2)."""
        if self.head.version == "1.1" and not self.status:
            self.transport.write(status_line(status) + field_lines(fields) + b"\r\n")

    def take_over(self, protocol: IProtocol) -> bytes:
        """Make the connection a tunnel; returns what the client sent already."""
        self._connection.succeed_with(protocol)
        return self.early

    def gone(self) -> None:
        """The client left."""
        if self.on_gone is not None:
            on_gone, self.on_gone = self.on_gone, None
            on_gone()

    def finish(self) -> None:
        """The last byte has been written."""
        self.on_gone = None
        self._connection.finished(self)

    def abort(self) -> None:
        """Cut the connection, so that what was sent cannot look whole."""
        self.on_gone = None
        self.transport.abortConnection()
