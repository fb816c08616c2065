"""A connection that a client opened: requests in, one at a time to whoever answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pkgproxy.http1.exchange import Exchange
from pkgproxy.http1.limits import (
    HEAD_TIMEOUT,
    IDLE_TIMEOUT,
    LINGER_TIMEOUT,
    MAX_HEAD,
    MAX_PIPELINED,
    MAX_URL,
    STALL_TIMEOUT,
    check_head,
    too_large,
)
from pkgproxy.http1.liveness import can_half_close, is_dead, unsent_bytes
from pkgproxy.message.errors import ClientError
from pkgproxy.message.fields import Field, Fields
from pkgproxy.message.heads import RequestHead


@implementer(IHalfCloseableProtocol)
class ServerConnection(Protocol):
    """Parses requests; the one whose turn it is goes to the factory's ``answer``.

    Nothing is answered from within the parser, which is not reentrant.
    """

    factory: ServerFactory
    transport: Any
    client: str | None

    def connectionMade(self) -> None:
        """Set up for the first request."""
        self._parser = HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._receiving: Exchange | None = None
        self._advancing = False
        self._paused = False
        #: Nothing that arrives from now on is looked at.
        self._deaf = False
        self._input_over = False
        self._successor: IProtocol | None = None
        #: Framing fields of a request whose Upgrade is ignored; see _renew.
        self._ignored_upgrade: bytes | None = None
        #: Requests came that will not be answered here, so the last answer needs time.
        self._dropped = False
        #: A CONNECT that waits for its tunnel.
        self._tunnel: Exchange | None = None
        self._in_head = False
        self._since = self.factory.now
        self._progress = (0, 0)
        transport = self.transport
        #: The client's address, an IPv4 one as such also on a socket for both families.
        host: str | None = getattr(transport.getPeer(), "host", None)
        self.client = host.removeprefix("::ffff:") if host is not None else None
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self.factory.connections.add(self)

    # Receiving

    def dataReceived(self, data: bytes) -> None:
        """Parse, then answer what is complete enough."""
        if self._successor is not None:
            self._successor.dataReceived(data)
            return
        if self._deaf:
            if self._tunnel is not None:
                self._tunnel.early += data
            return
        inside = self._in_head
        self._parse(data)
        if inside and self._in_head:
            self._head_fed += len(data)
            if self._head_fed > MAX_HEAD:
                self._refuse(too_large())
        self._advance()
        self._adjust_reading()

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._renew(data[upgrade.args[0] :])
        except HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, ClientError):
                raise
            if not self._deaf:
                self._refuse(cause)
        except HttpParserError as error:
            if not self._deaf:
                self._refuse(ClientError(f"The request is not valid HTTP/1.1: {error}."))

    def on_message_begin(self) -> None:
        """A request line begins (httptools)."""
        self._url = b""
        self._fields: list[Field] = []
        self._in_head = True
        if self._current is None:
            self._since = self.factory.now
        #: Bytes in complete fields, and bytes in reads that were all within this head.
        self._head_size = self._head_fed = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request target (httptools)."""
        self._url += url
        if len(self._url) > MAX_URL:
            raise ClientError(f"The URL is longer than {MAX_URL} bytes.", 414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field, or a trailer field, which is dropped (httptools)."""
        if not self._in_head:
            return
        self._fields.append((name, value))
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD:
            raise too_large()

    def on_headers_complete(self) -> None:
        """A whole head (httptools)."""
        self._in_head = False
        parser = self._parser
        if self._ignored_upgrade is not None:
            return
        if self._deaf:
            self._dropped = True
            return
        head = RequestHead(
            parser.get_method(), self._url, parser.get_http_version(), Fields(self._fields)
        )
        exchange = Exchange(self, head, keep_alive=parser.should_keep_alive())
        check_head(head)
        if parser.should_upgrade() and not exchange.tunnel:
            self._ignored_upgrade = exchange.framing()
        self._queue.append(exchange)
        self._receiving = exchange
        if len(self._queue) >= MAX_PIPELINED:
            exchange.keep_alive = False
            # There may be more of them in the kernel.
            self._dropped = True

    def on_body(self, data: bytes) -> None:
        """A piece of the request's body (httptools)."""
        if self._receiving is not None:
            self._receiving.body.received(data)

    def on_message_complete(self) -> None:
        """The end of a request (httptools)."""
        exchange = self._receiving
        if exchange is None or (self._ignored_upgrade and not exchange.body.begun):
            return
        self._receiving = None
        exchange.body.complete(None)
        if exchange.tunnel:
            self._tunnel = exchange
        if not exchange.keep_alive:
            self._deaf = True

    def _renew(self, rest: bytes) -> None:
        """Go on behind a head after which the parser stopped for an Upgrade or CONNECT.

        We ignore Upgrade (RFC 9110 §7.8), so the body follows: a new parser is shown
        a head with the same framing first.
        """
        framing = self._ignored_upgrade
        if self._tunnel is not None:
            self._tunnel.early = rest
            return
        self._parser = HttpRequestParser(self)
        if framing:
            if self._receiving is not None:
                self._receiving.body.begun = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
        self._ignored_upgrade = None
        if rest and not self._deaf:
            self._parse(rest)

    def _refuse(self, error: ClientError) -> None:
        """The input makes no sense any more: answer so in its turn, then close."""
        self._deaf = True
        exchange, self._receiving = self._receiving, None
        if exchange is not None:
            exchange.keep_alive = False
            exchange.body.complete(error)
            return
        head = RequestHead(b"GET", b"", "1.1", Fields())
        self._queue.append(Exchange(self, head, keep_alive=False, error=error))

    # Answering

    def _advance(self) -> None:
        """Serve what waits, in order; a loop, as an answer may be done before it returns."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._queue and self._current is None and self.connected:
                self._current = exchange = self._queue.popleft()
                self._progress, self._since = (0, 0), self.factory.now
                self.factory.answer(exchange)
        finally:
            self._advancing = False

    def finished(self, exchange: Exchange) -> None:
        """The last byte of an answer has been given to the transport."""
        if self._current is not exchange:
            return
        self._current = None
        self._since = self.factory.now
        if exchange.keep_alive and exchange.body.ended:
            if self._input_over and not self._queue:
                self._lose()
            elif not self._advancing:
                self._advance()
                self._adjust_reading()
        elif self._dropped or exchange.error or exchange.tunnel or not exchange.body.ended:
            self._linger()
        else:
            self._lose()

    def _linger(self) -> None:
        """Close so that the client can read the answer though it may still be sending.

        A close with unread input makes the kernel send a reset, which can overtake it.
        """
        self._deaf = True
        self._queue.clear()
        self._tunnel = self._receiving = None
        self._since = self.factory.now
        if self._input_over or not can_half_close(self.transport):
            self._lose()
            return
        self._resume()
        self.transport.loseWriteConnection()

    def _lose(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def succeed_with(self, protocol: IProtocol) -> None:
        """Hand the connection to another protocol, for a tunnel."""
        self._successor, self._tunnel = protocol, None
        protocol.makeConnection(self.transport)
        self._resume()

    # Flow

    def _adjust_reading(self) -> None:
        """Read only while somebody takes what arrives."""
        body = self._receiving.body if self._receiving is not None else None
        waits = bool(self._queue or self._tunnel) or (body is not None and body.full)
        if waits and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pauseProducing()
        elif not waits:
            self._resume()

    def _resume(self) -> None:
        if self._paused and self.connected and not self._input_over:
            self._paused = False
            self.transport.resumeProducing()

    def body_wanted(self) -> None:
        """The body of the current request is being taken, or no longer."""
        if self._successor is None:
            self._adjust_reading()

    # The end

    def readConnectionLost(self) -> None:
        """The client will send no more; what it asked for is still answered."""
        if self._successor is not None:
            IHalfCloseableProtocol(self._successor).readConnectionLost()
            return
        self._input_over = True
        if self._receiving is not None:
            self._refuse(ClientError("The request's body ended early."))
        if self._current is None and not self._queue:
            self._lose()

    def writeConnectionLost(self) -> None:
        """Our half is closed: for a tunnel, or while lingering."""
        if self._successor is not None:
            IHalfCloseableProtocol(self._successor).writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self.factory.connections.discard(self)
        self._deaf = True
        if self._successor is not None:
            self._successor.connectionLost(reason)
            return
        self._queue.clear()
        exchange, self._current = self._current, None
        if exchange is not None:
            if not exchange.body.ended:
                exchange.body.complete(ClientError("The client left."))
            exchange.gone()

    def tick(self, now: float) -> None:
        """Look at the time, every TICK seconds."""
        if self._input_over and is_dead(self.transport):
            # Half closed, it is in no set of the reactor's that would tell.
            self.transport.abortConnection()
        elif self._successor is None:
            self._check_time(now)

    def _check_time(self, now: float) -> None:
        delivery = self._current.delivery if self._current is not None else None
        if self._current is not None and (delivery is None or not delivery.blocked):
            self._since = now  # it waits for us
            return
        # A client is alive while the kernel can pass bytes on to it, though we may be long
        # done, or may not have been asked for more.
        unsent = unsent_bytes(self.transport)
        if not unsent and delivery is None:
            self._check_idle(now - self._since)
            return
        progress = (unsent, delivery.sent if delivery is not None else 0)
        if progress != self._progress:
            self._progress, self._since = progress, now
        elif now - self._since > STALL_TIMEOUT:
            self.transport.abortConnection()

    def _check_idle(self, quiet: float) -> None:
        if self._in_head and not self._deaf:
            if quiet > HEAD_TIMEOUT:
                sentence = f"The request's head took longer than {HEAD_TIMEOUT:.0f} seconds."
                self._refuse(ClientError(sentence, 408))
                self._advance()
        elif quiet > (LINGER_TIMEOUT if self._deaf else IDLE_TIMEOUT):
            if self.transport.disconnecting:
                self.transport.abortConnection()
            else:
                self._lose()


class ServerFactory(Factory[ServerConnection]):
    """Makes connections, and gives each request in its turn to ``answer``."""

    protocol = ServerConnection
    noisy = False

    def __init__(self, answer: Callable[[Exchange], None], seconds: Callable[[], float]) -> None:
        self.answer = answer
        self._seconds = seconds
        #: A coarse clock: seconds at the last tick.
        self.now = seconds()
        self.connections: set[ServerConnection] = set()

    def tick(self) -> None:
        """Advance the coarse clock; to be called every TICK seconds."""
        self.now = self._seconds()
        for connection in tuple(self.connections):
            connection.tick(self.now)
