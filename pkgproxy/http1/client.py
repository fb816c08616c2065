"""A connection that we opened to an origin: one request at a time, its answer as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpResponseParser,
)
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from pkgproxy.http1.response import Framing, Response
from pkgproxy.http1.upload import RequestSource, Upload
from pkgproxy.message.errors import StaleConnection, UpstreamError, UpstreamTimeout
from pkgproxy.message.fields import Field, Fields
from pkgproxy.message.heads import ResponseHead

#: Seconds without a byte: before the head, and between two pieces of the body. There is
#: no limit for the whole.
HEAD_TIMEOUT = 60.0
STALL_TIMEOUT = 60.0

#: Seconds for an orderly close.
CLOSE_TIMEOUT = 5.0

MAX_HEAD = 256 * 1024  # bytes, all header lines of an answer
MAX_INTERIM = 20  # 1xx answers before the final one

#: Bytes asked of the kernel at once; larger reads mean fewer wake-ups of all readers.
READ_SIZE = 256 * 1024

_NO_BODY = frozenset({204, 304})

Interim = Callable[[int, list[Field]], None]


class ClientConnection(Protocol):
    """One connection to an origin, used again while both sides agree.

    ``released`` is called when an answer is over and the connection can take another
    request, ``received`` with the size of each piece of a body.
    """

    transport: Any

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        released: Callable[[ClientConnection], None],
        received: Callable[[int], None],
    ) -> None:
        self._name = name
        self._clock = clock
        self._released = released
        self._received = received
        self.used = False
        self.lost = False
        self._asked: Deferred[Response] | None = None
        self._announce: Response | None = None
        self._response: Response | None = None
        self._upload: Upload | None = None
        self._timer: IDelayedCall | None = None
        self._held = False

    def connectionMade(self) -> None:
        """Ready for the first request."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.bufferSize = READ_SIZE

    # Asking

    def ask(
        self,
        head: bytes,
        method: bytes,
        body: RequestSource | None = None,
        interim: Interim | None = None,
    ) -> Deferred[Response]:
        """Send a request; fires when the answer's head is there.

        Errbacks with UpstreamError, or StaleConnection if the origin had closed a
        connection that was used before.  Cancelling closes the connection.
        """
        self._parser = HttpResponseParser(self)
        self._method, self._interim, self._interims = method, interim, 0
        self._begun = False
        self._silent = self._over = False
        self._head_size = 0
        self._fields: list[Field] = []
        self._reason = b""
        asked: Deferred[Response] = Deferred(lambda _: self._abandon())
        self._asked = asked
        self.transport.write(head)
        if body is not None:
            self._upload = Upload(self, self.transport, body)
            self._upload.begin()
        self._touch()
        if self._timer is None:
            self._timer = self._clock.callLater(HEAD_TIMEOUT, self._check_time)
        return asked

    # Receiving

    def dataReceived(self, data: bytes) -> None:
        """Parse a piece of the answer."""
        if self._asked is None and (self._response is None or self._over):
            self.abort()  # nobody asked for this
            return
        self._begun = True
        if self._response is None:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, UpstreamError):
                raise
            self._fail(cause)
        except HttpParserUpgrade:
            self._fail(self._error("switched protocols without being asked to"))
        except HttpParserError as error:
            # Behind the head of an answer without a body there may be anything.
            if not self._over:
                self._fail(self._error(f"sent a broken answer: {error}"))
        if self._response is None and self._head_size > MAX_HEAD:
            self._fail(self._error(f"sent a head of more than {MAX_HEAD} bytes"))
        self._settle()

    def on_message_begin(self) -> None:
        """An answer begins (httptools)."""
        if self._over:
            self._silent = False
        self._fields, self._reason = [], b""

    def on_status(self, reason: bytes) -> None:
        """A piece of the reason phrase (httptools)."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field, or a trailer field, which is dropped (httptools)."""
        if self._response is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """A whole head (httptools)."""
        if self._over:
            return
        status, fields = self._parser.get_status_code(), Fields(self._fields)
        if status < 200:
            self._got_interim(status, fields)
            return
        version = self._parser.get_http_version()
        head = ResponseHead(status, fields, self._reason, version)
        self._response = self._announce = Response(self, head, self._framing(status, fields))
        self._keep_alive = self._parser.should_keep_alive()
        if self._response.framing is Framing.NONE:
            self._over = True
            self._silent = True
            # llhttp cannot know that this one has no body, and takes it for close-delimited.
            self._keep_alive = version == "1.1" and b"close" not in fields.tokens(b"connection")

    def _got_interim(self, status: int, fields: Fields) -> None:
        self._interims += 1
        if status == 101 or self._interims > MAX_INTERIM:
            raise self._error("sent interim answers that nobody asked for")
        if self._interim is not None:
            self._interim(status, fields.end_to_end())

    def _framing(self, status: int, fields: Fields) -> Framing:
        if self._method == b"HEAD" or status in _NO_BODY:
            return Framing.NONE
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            if coding.strip().lower() != b"chunked":
                raise self._error("used a transfer coding that was not asked for")
            return Framing.CHUNKED
        return Framing.LENGTH if b"content-length" in fields else Framing.CLOSE

    def on_body(self, data: bytes) -> None:
        """A piece of the body (httptools)."""
        if self._over:
            self._silent = False  # a body where there can be none
        elif self._response is not None:
            self._touch()
            self._received(len(data))
            self._response.data(data)

    def on_message_complete(self) -> None:
        """The end of an answer, an interim one too (httptools)."""
        if self._response is not None and not self._over:
            self._over = self._silent = True

    def _settle(self) -> None:
        """Tell what the parser found, now that it has returned."""
        response, news = self._response, self._announce
        if response is None:
            return
        asked, self._asked, self._announce = self._asked, None, None
        # A short answer is over before anybody is told of it, so that whoever asks the same
        # origin next finds its connection free.
        if self._over:
            self._complete(response)
        if news is not None and asked is not None:
            asked.callback(news)
        if not self._over and not response.taken and not self._held:
            self.hold()

    def _complete(self, response: Response) -> None:
        """An answer is over; whether the connection may be used again."""
        self._response = None
        uploading = self._upload is not None and not self._upload.ended
        self._stop_upload()
        self._cancel_timer()
        if uploading:
            self.abort()
        elif self._keep_alive and self._silent and not self.lost:
            self.go_on()
            self.used = True
            self._released(self)
        else:
            self.close()
        response.end(None)

    # Flow and time

    def hold(self) -> None:
        """Stop reading."""
        self._held = True
        self.transport.pauseProducing()

    def go_on(self) -> None:
        """Read again."""
        if self._held:
            self._held = False
            self._touch()
            self.transport.resumeProducing()

    def _touch(self) -> None:
        self._last = self._clock.seconds()

    def uploaded(self) -> None:
        """A piece of the request went out: the origin may take its time anew."""
        self._touch()

    def _check_time(self) -> None:
        limit = HEAD_TIMEOUT if self._response is None else STALL_TIMEOUT
        quiet = 0.0 if self._held else self._clock.seconds() - self._last
        if quiet < limit:
            self._timer = self._clock.callLater(limit - quiet, self._check_time)
            return
        self._timer = None
        what = "did not answer" if self._response is None else "sent nothing more"
        self._fail(UpstreamTimeout(f"{self._name} {what} within {limit:.0f} seconds."))

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    # The end

    def abort(self) -> None:
        """Close at once. Whoever waits is told by connectionLost."""
        self._cancel_timer()
        if not self.lost:
            self.transport.abortConnection()

    def _abandon(self) -> None:
        self._asked = None
        self._stop_upload()
        self.abort()

    def close(self) -> None:
        """Close a connection that nobody uses; in order, but not for ever: TLS waits for
        the other side's last word, which takes reading.
        """
        self.go_on()
        if not self.lost:
            self._timer = self._clock.callLater(CLOSE_TIMEOUT, self.abort)
            self.transport.loseConnection()

    def _error(self, what: str) -> UpstreamError:
        return UpstreamError(f"{self._name} {what}.")

    def _fail(self, error: Exception) -> None:
        """Whoever waits for the answer, or for its rest, gets the error; the connection goes."""
        asked, self._asked = self._asked, None
        response, self._response, self._announce = self._response, None, None
        self._over = True
        self._stop_upload()
        self.abort()
        if asked is not None:
            asked.errback(error)
        elif response is not None:
            response.end(error)

    def _stop_upload(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None and not upload.ended:
            upload.stop()

    def upload_failed(self, error: Exception) -> None:
        """The client did not send the whole body it announced."""
        self._fail(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, which may be the proper end of a body."""
        self.lost = True
        self._cancel_timer()
        response = self._response
        proper = reason.check(ConnectionDone) is not None
        if response is not None and response.framing is Framing.CLOSE and proper:
            self._response = None
            response.end(None)
        elif response is not None:
            sentence = f"closed the connection after {response.received} bytes of the body"
            self._fail(self._error(sentence))
        elif self._asked is not None and self.used and not self._begun:
            self._fail(StaleConnection(f"{self._name} had closed the connection."))
        else:
            self._fail(self._error(_cause(reason)))


def _cause(reason: Failure) -> str:
    """Why a connection ended before its answer, for the client to read."""
    if reason.check(ConnectionDone, ConnectionLost, ConnectionAborted):
        return "closed the connection without an answer"
    details: object = reason.value
    if isinstance(reason.value, SSL.Error) and reason.value.args:
        details = reason.value.args[0]
    if isinstance(details, list) and details:
        details = details[-1][-1]  # OpenSSL: the last of (library, function, reason)
    return f"did not complete the TLS handshake: {details}"
