"""Sends parts of a body to a client, each as soon as its bytes are readable."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from pkgproxy.deliver.plan import Part
from pkgproxy.message.body import Body
from pkgproxy.message.errors import ProxyError, StoreError, UpstreamError

#: Bytes that one client gets in one turn of the reactor: enough to make the cost of a turn
#: small, few enough to be fair to the others. A fast client never fills its socket.
SLICE = 1024 * 1024

#: Bytes per read where sendfile cannot be used (TLS).
READ_SIZE = 64 * 1024

#: Called once: None when the last byte was given to the transport, else what went wrong.
Done = Callable[[Exception | None], None]


class Delivery:
    """A head and parts on their way to a transport.

    ``sent`` counts bytes of the body; ``blocked`` is true while the client is slow.
    """

    _log = Logger()

    def __init__(
        self,
        transport: Any,
        body: Body,
        head: bytes,
        parts: list[Part] | None,
        *,
        chunked: bool = True,
    ) -> None:
        self._body = body
        self._parts = iter(parts) if parts is not None else self._growing(chunked)
        self._exhausted = False
        self._start = self._stop = 0
        self._literal = head
        self._waiting: Deferred[None] | None = None
        self._ended = False
        self._running = False
        self.sent = 0
        self._outlet: _Sendfile | _Copy
        # A TLS transport is a Connection too once startTLS was called on it.
        plain = isinstance(transport, Connection) and not transport.TLS
        self._outlet = _Sendfile(transport, self) if plain else _Copy(transport, self)

    @property
    def blocked(self) -> bool:
        """Whether the transport takes no more for now."""
        return self._outlet.blocked

    def start(self, done: Done) -> None:
        """Send; ``done`` may be called before this returns."""
        self._done = done
        self.run()

    def run(self) -> None:
        """Send what can be sent now. The outlet calls it again when it can take more."""
        if self._running or self._ended or self._waiting is not None:
            return
        self._running = True
        self._budget = SLICE
        try:
            while self._step():
                pass
        except ProxyError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001  # called by the reactor: nobody else would
            self._log.failure("sending failed")
            self._end(error)
        finally:
            self._running = False

    def _step(self) -> bool:
        """One piece; False when there is nothing to do for now, or any more."""
        if self._start == self._stop and not self._exhausted:
            self._take()
        if self._literal:
            # The kernel may hold a head back for the bytes that follow at once.
            data, self._literal = self._literal, b""
            self._outlet.literal(data, self._start < min(self._stop, self._body.size))
            return True
        if self._start < self._stop:
            return self._send_span()
        if self._exhausted:
            self._end(None)
            return False
        return self._waiting is None

    def renew(self) -> None:
        """Begin another turn."""
        self._budget = SLICE

    def _take(self) -> None:
        """Collect what is to be sent as it is, up to and with the next span."""
        while self._waiting is None:
            part = next(self._parts, None)
            if part is None:
                self._exhausted = True
                return
            if not isinstance(part, bytes):
                self._start, self._stop = part
                return
            self._literal += part

    def _send_span(self) -> bool:
        stop = min(self._stop, self._body.size)
        if self._start >= stop:
            if self._body.ended:
                raise self._body.failure or UpstreamError("The body is shorter than announced.")
            self._wait(self._start)
            return self._waiting is None
        wanted = min(self._budget, stop - self._start)
        count = self._outlet.span(self._body.fileno(), self._start, wanted)
        self._start += count
        self._budget -= count
        self.sent += count
        if count < wanted or not self._budget:
            return self._outlet.full()
        return True

    def _growing(self, chunked: bool) -> Iterator[Part]:
        """The parts of a body whose length is not known yet; with the chunked coding, or
        to be ended by closing the connection.
        """
        position = 0
        while not self._body.ended or position < self._body.size:
            size = self._body.size
            if size == position:
                self._wait(size)
                yield b""
                continue
            yield b"%x\r\n" % (size - position) if chunked else b""
            yield position, size
            yield b"\r\n" if chunked else b""
            position = size
        if self._body.failure is not None:
            raise self._body.failure
        yield b"0\r\n\r\n" if chunked else b""

    def _wait(self, offset: int) -> None:
        self._waiting = waiting = self._body.more(offset)
        waiting.addCallbacks(self._woken, self._cancelled)

    def _woken(self, _: None) -> None:
        self._waiting = None
        self.run()

    def _cancelled(self, reason: Failure) -> None:
        reason.trap(CancelledError)

    def _end(self, error: Exception | None) -> None:
        if self._ended:
            return
        self.stop()
        self._done(error)

    def stop(self) -> None:
        """Send nothing more; ``done`` is not called."""
        self._ended = True
        self._outlet.close()
        self._body.release()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


@implementer(IPushProducer)
class _Sendfile:
    """Straight from the file to a plain socket.

    On the way of a small answer nothing is registered with the reactor: the head goes
    out with MSG_MORE, the file behind it.  Only when the socket is full does this become
    the transport's producer, to be told when it is not.
    """

    def __init__(self, transport: Any, delivery: Delivery) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.getHandle()
        self._delivery = delivery
        self._registered = False
        self.blocked = False

    def _buffered(self) -> bool:
        # Not public in Twisted, and there is no other way to know that our bytes would
        # not overtake those that wait there.
        return bool(self._transport.dataBuffer or self._transport._tempDataBuffer)

    def literal(self, data: bytes, more: bool) -> None:
        """Send some bytes; what the socket does not take at once waits in the transport."""
        count = 0
        if not self._buffered():
            try:
                count = self._socket.send(data, socket.MSG_MORE if more else 0)
            except BlockingIOError:
                pass
            except OSError as error:
                raise _gone(error) from error
        if count < len(data):
            self._transport.write(data[count:])

    def span(self, fd: int, offset: int, count: int) -> int:
        """Send bytes of a file; 0 means that the delivery will be run again."""
        if self._buffered():
            return 0
        try:
            sent = os.sendfile(self._socket.fileno(), fd, offset, count)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _gone(error) from error
        if not sent:
            raise StoreError("A stored file became shorter while it was being sent.")
        return sent

    def full(self) -> bool:
        """Go on when the socket takes more, and after others had their turn."""
        self.blocked = True
        if not self._registered:
            self._registered = True
            self._transport.registerProducer(self, True)
        # The transport asks for more only if it believes that it paused us.
        self._transport.producerPaused = True
        self._transport.startWriting()
        return False

    def resumeProducing(self) -> None:
        """The socket takes more, and the transport has nothing of its own left."""
        self.blocked = False
        self._delivery.run()

    def pauseProducing(self) -> None:
        """The transport's buffer is full; span() looks for itself."""

    def stopProducing(self) -> None:
        """The connection is gone; its protocol says so too."""

    def close(self) -> None:
        """Leave the transport."""
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()


@implementer(IPushProducer)
class _Copy:
    """Read and write, for a transport that is not a plain socket."""

    def __init__(self, transport: Any, delivery: Delivery) -> None:
        self._transport = transport
        self._delivery = delivery
        self._registered = False
        self.blocked = False

    def literal(self, data: bytes, more: bool) -> None:
        """Give some bytes to the transport."""
        self._transport.write(data)

    def span(self, fd: int, offset: int, count: int) -> int:
        """Give bytes of a file to the transport; 0 means it is full."""
        if not self._registered:
            self._registered = True
            self._transport.registerProducer(self, True)
        if self.blocked:
            return 0
        try:
            data = os.pread(fd, min(count, READ_SIZE), offset)
        except OSError as error:
            raise StoreError(f"A stored file cannot be read: {error.strerror}.") from error
        if not data:
            raise StoreError("A stored file became shorter while it was being sent.")
        self._transport.write(data)
        return len(data)

    def full(self) -> bool:
        """Reads are smaller than what is wanted; only the transport says when it is full."""
        self._delivery.renew()
        return not self.blocked

    def pauseProducing(self) -> None:
        """The transport is full."""
        self.blocked = True

    def resumeProducing(self) -> None:
        """The transport takes more."""
        self.blocked = False
        self._delivery.run()

    def stopProducing(self) -> None:
        """The connection is gone; its protocol says so too."""
        self.blocked = True

    def close(self) -> None:
        """Leave the transport."""
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()


def _gone(error: OSError) -> ProxyError:
    """The client went away, or the disk did."""
    if error.errno == errno.EIO:
        return StoreError("A stored file cannot be read: Input/output error.")
    return ProxyError(f"The client's connection broke: {error.strerror}.")
