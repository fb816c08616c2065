"""Both sides of the wire without a socket: any split of the bytes, and what time does."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection as TcpConnection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pkgproxy.http1.client import ClientConnection
from pkgproxy.http1.exchange import Exchange
from pkgproxy.http1.liveness import unsent_bytes
from pkgproxy.http1.response import Framing, Response
from pkgproxy.http1.server import ServerConnection, ServerFactory
from pkgproxy.message.errors import ClientError, StaleConnection, UpstreamError, UpstreamTimeout


class Sink:
    """Takes a body and remembers how it ended."""

    def __init__(self) -> None:
        self.body = b""
        self.ends: list[Exception | None] = []

    def data(self, data: bytes) -> None:
        assert self.ends == []
        self.body += data

    def end(self, error: Exception | None) -> None:
        self.ends.append(error)


# A connection from a client


class Server:
    """A server connection, and what it gave out to be answered."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.exchanges: list[Exchange] = []
        self.sinks: list[Sink] = []
        self.factory = ServerFactory(self.answer, self.clock.seconds)
        self.connection = ServerConnection()
        self.connection.factory = self.factory
        self.transport = StringTransport()
        self.transport.abortConnection = self.abort  # type: ignore[method-assign]
        self.aborted = False
        self.connection.makeConnection(self.transport)

    def abort(self) -> None:
        self.aborted = True
        self.connection.connectionLost(Failure(ConnectionLost()))

    def answer(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        sink = Sink()
        self.sinks.append(sink)
        exchange.body.deliver(sink)
        self.finish(exchange)

    def finish(self, exchange: Exchange) -> None:
        """Answer if the whole request is here."""
        if exchange.body.ended and not exchange.status:
            exchange.status = 200
            self.transport.write(b"answer\n")
            exchange.finish()

    def feed(self, data: bytes, split: int) -> None:
        for start in range(0, len(data), split):
            self.connection.dataReceived(data[start : start + split])
            if self.exchanges and self.factory.answer == self.answer:
                self.finish(self.exchanges[-1])

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds / 2.5)):
            self.clock.advance(2.5)
            self.factory.tick()


REQUESTS = (
    b"GET http://a/1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Empty:\r\n\r\n"
    b"POST http://a/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    b"POST http://a/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
    b"POST http://a/4 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: 3\r\n\r\nabc"
    b"\r\nGET http://a/5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)


@pytest.mark.parametrize("split", [1, 2, 3, 5, 7, 11, 50, 101, 10_000])
def test_any_split_gives_the_same_requests(split: int) -> None:
    """However the bytes are cut into pieces, they are the same five requests."""
    server = Server()
    server.feed(REQUESTS, split)
    assert [e.head.target for e in server.exchanges] == [b"http://a/%d" % n for n in range(1, 6)]
    assert [s.body for s in server.sinks] == [b"", b"hello", b"hello world", b"abc", b""]
    assert all(sink.ends == [None] for sink in server.sinks)
    assert server.exchanges[0].head.fields.items == [
        (b"Host", b"a"), (b"X-One", b"1"), (b"X-Empty", b""),
    ]  # fmt: skip
    assert server.transport.disconnecting


@pytest.mark.parametrize("split", [1, 10_000])
def test_nothing_behind_a_close_is_looked_at(split: int) -> None:
    """After a last request the rest is not parsed, nor answered."""
    server = Server()
    server.feed(b"GET http://a/ HTTP/1.0\r\n\r\nGET http://b/ HTTP/1.1\r\n\r\n\x00", split)
    assert len(server.exchanges) == 1
    assert server.transport.value() == b"answer\n"


def test_broken_chunk_reaches_whoever_takes_the_body() -> None:
    """A bad chunk ends the body with an error, never neatly."""
    server = Server()
    server.feed(b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 99)
    server.feed(b"3\r\nabc\r\nzz\r\n", 99)
    assert server.sinks[0].body == b"abc"
    assert isinstance(server.sinks[0].ends[0], ClientError)


def test_body_cut_short_by_the_client() -> None:
    """A client that leaves in the middle of its body is an error for whoever takes it."""
    server = Server()
    server.feed(b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", 99)
    server.connection.connectionLost(Failure(ConnectionDone()))
    assert isinstance(server.sinks[0].ends[0], ClientError)


def test_reading_stops_while_requests_wait() -> None:
    """What cannot be answered yet is not read either."""
    server = Server()
    server.factory.answer = server.exchanges.append
    server.feed(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n" * 2, 10_000)
    assert len(server.exchanges) == 1
    assert server.transport.producerState == "paused"
    server.exchanges[0].finish()
    assert len(server.exchanges) == 2
    assert server.transport.producerState == "producing"


def test_slow_head() -> None:
    """A head that is not complete after 10 seconds: 408."""
    server = Server()
    server.connection.dataReceived(b"GET http://a/ HTTP/1.1\r\n")
    server.pass_time(5)
    assert server.exchanges == []
    server.pass_time(10)
    assert server.exchanges[0].error is not None
    assert server.exchanges[0].error.status == 408


def test_dribbled_head() -> None:
    """A byte now and then does not prolong it."""
    server = Server()
    for char in b"GET http://a/":
        server.connection.dataReceived(bytes([char]))
        server.pass_time(2.5)
    assert [exchange.error and exchange.error.status for exchange in server.exchanges] == [408]


def test_idle_connection() -> None:
    """Between requests a connection is kept for 60 seconds."""
    server = Server()
    server.feed(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 99)
    server.pass_time(55)
    assert not server.transport.disconnecting
    server.pass_time(10)
    assert server.transport.disconnecting
    server.pass_time(5)
    assert server.aborted
    assert server.factory.connections == set()


def test_bytes_that_the_kernel_still_has() -> None:
    """A client that reads slowly is alive while the kernel passes bytes on to it."""
    ours, theirs = socket.socketpair()
    transport = TcpConnection(ours, Protocol(), Clock())  # type: ignore[arg-type]
    transport.connected = 1
    assert unsent_bytes(transport) == 0
    ours.send(b"x" * 5000)
    waiting = unsent_bytes(transport)
    assert waiting >= 5000
    theirs.recv(10_000)
    assert unsent_bytes(transport) < waiting
    assert unsent_bytes(StringTransport()) == 0
    ours.close()
    theirs.close()


class Stuck:
    """An answer whose client takes nothing, or a little."""

    blocked = True
    sent = 0


def test_client_that_stops_reading() -> None:
    """60 seconds without a byte taken end it; a slow but living reader is never ended."""
    server = Server()
    server.factory.answer = server.exchanges.append
    server.feed(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 99)
    stuck = server.exchanges[0].delivery = Stuck()
    for _ in range(10):
        server.pass_time(50)
        stuck.sent += 1
    assert not server.aborted
    server.pass_time(70)
    assert server.aborted


# A connection to an origin


class Client:
    """A client connection, and what became of its requests."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.released: list[ClientConnection] = []
        self.received = 0
        self.connection = ClientConnection(
            "origin.example", self.clock, self.released.append, self._count
        )
        self.transport = StringTransport()
        self.transport.abortConnection = self.abort  # type: ignore[method-assign]
        self.aborted = False
        self.connection.makeConnection(self.transport)

    def _count(self, count: int) -> None:
        self.received += count

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            self.connection.connectionLost(Failure(ConnectionLost()))

    def ask(self, method: bytes = b"GET") -> list[Any]:
        """A list that will hold the response or the error."""
        results: list[Any] = []
        asked: Deferred[Response] = self.connection.ask(b"head", method)
        asked.addCallbacks(results.append, lambda reason: results.append(reason.value))
        return results

    def feed(self, data: bytes, split: int = 10_000) -> None:
        for start in range(0, len(data), split):
            self.connection.dataReceived(data[start : start + split])

    def lose(self, reason: type[Exception] = ConnectionDone) -> None:
        self.connection.connectionLost(Failure(reason()))


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Framing.LENGTH, b"hello"),
    (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     Framing.LENGTH, b""),
    (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n",
     Framing.CHUNKED, b"abcde"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", Framing.NONE, b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", Framing.NONE, b""),
]  # fmt: skip


@pytest.mark.parametrize("split", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(("answer", "framing", "body"), ANSWERS)
def test_any_split_gives_the_same_answer(
    answer: bytes, framing: Framing, body: bytes, split: int
) -> None:
    """However it arrives, head and body are the same, and the connection is free after it."""
    client = Client()
    for _ in range(2):
        results, sink = client.ask(), Sink()
        for start in range(0, len(answer), split):
            client.feed(answer[start : start + split])
            if results and not results[0].taken:
                results[0].deliver(sink)
        assert (results[0].framing, sink.body, sink.ends) == (framing, body, [None])
    assert client.released == [client.connection] * 2
    assert client.received == 2 * len(body)
    assert client.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("behind", "kept"),
    [(b"", True), (b"body that must not be", False), (b"HTTP/1.1 200 OK\r\n\r\n", False)],
)
def test_head_answer(behind: bytes, kept: bool) -> None:
    """HEAD has no body whatever its fields say; if one comes, the connection is of no use."""
    client = Client()
    results = client.ask(b"HEAD")
    client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + behind)
    assert results[0].framing is Framing.NONE
    assert bool(client.released) is kept


def test_close_is_an_end_only_in_order() -> None:
    """Without a length the end of the connection is the end; if it breaks, it is an error."""
    for reason, proper in ((ConnectionDone, True), (ConnectionLost, False)):
        client, sink = Client(), Sink()
        results = client.ask()
        client.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
        results[0].deliver(sink)
        client.lose(reason)
        assert sink.body == b"hello"
        assert (sink.ends == [None]) is proper
        assert len(sink.ends) == 1


def test_body_cut_short() -> None:
    """Fewer bytes than announced are an error that says how many."""
    client, sink = Client(), Sink()
    results = client.ask()
    client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    results[0].deliver(sink)
    client.lose()
    assert str(sink.ends[0]) == "origin.example closed the connection after 5 bytes of the body."


def test_nothing_is_read_until_somebody_takes_it() -> None:
    """A body waits in the kernel, not in memory."""
    client = Client()
    results = client.ask()
    client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    assert client.transport.producerState == "paused"
    sink = Sink()
    results[0].deliver(sink)
    assert client.transport.producerState == "producing"
    client.feed(b"world")
    assert (sink.body, sink.ends) == (b"helloworld", [None])


def test_no_answer_for_a_minute() -> None:
    """60 seconds without a head: 504."""
    client = Client()
    results = client.ask()
    client.clock.advance(59)
    assert results == []
    client.clock.advance(2)
    assert isinstance(results[0], UpstreamTimeout)
    assert str(results[0]) == "origin.example did not answer within 60 seconds."
    assert client.aborted


def test_stall_and_no_total() -> None:
    """60 seconds without a byte end a body; a slow one may take for ever."""
    client, sink = Client(), Sink()
    results = client.ask()
    client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    results[0].deliver(sink)
    for _ in range(200):
        client.clock.advance(50)
        client.feed(b"x")
    assert sink.ends == []
    client.clock.advance(61)
    assert isinstance(sink.ends[0], UpstreamTimeout)
    assert client.clock.getDelayedCalls() == []


def test_waiting_for_a_slow_client_is_no_stall() -> None:
    """While we do not read, the origin's silence says nothing."""
    client, sink = Client(), Sink()
    results = client.ask()
    client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    results[0].deliver(sink)
    results[0].pauseProducing()
    for _ in range(10):
        client.clock.advance(55)
    results[0].resumeProducing()
    client.clock.advance(55)
    client.feed(b"helloworld")
    assert sink.ends == [None]


def test_closed_before_an_answer() -> None:
    """On a used connection that may be asked again elsewhere, on a fresh one it is a fault."""
    client = Client()
    first = client.ask()
    client.lose()
    assert type(first[0]) is UpstreamError
    client = Client()
    client.ask()
    client.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
    second = client.ask()
    client.lose()
    assert type(second[0]) is StaleConnection


def test_cancelling_closes() -> None:
    """Who asked does not want it any more: the connection goes."""
    client = Client()
    asked = client.connection.ask(b"head", b"GET")
    failures: list[Any] = []
    asked.addErrback(failures.append)
    asked.cancel()
    assert client.aborted
    assert len(failures) == 1
    assert client.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 60_000,
     b"HTTP/1.1 100 Continue\r\n\r\n" * 30, b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx"],
)  # fmt: skip
def test_hostile_heads(answer: bytes) -> None:
    """Heads without end, floods of interim answers, bare line feeds: an error, and closed."""
    client = Client()
    results = client.ask()
    for start in range(0, len(answer), 60_000):
        if not client.aborted:
            client.feed(answer[start : start + 60_000])
    assert isinstance(results[0], UpstreamError)
    assert client.aborted


def test_data_that_nobody_asked_for() -> None:
    """An idle connection on which something arrives is closed."""
    client = Client()
    client.ask()
    client.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
    client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert client.aborted
