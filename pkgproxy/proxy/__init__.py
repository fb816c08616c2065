"""What a listening port does with a request: forward it, tunnel it, answer it itself.

``pages`` are its own answers, ``tunnel`` is CONNECT, ``accesslog`` the line at the end.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pkgproxy.access import ClientNetworks, check_tunnel
from pkgproxy.cache import Cache
from pkgproxy.cache.answer import Answer, Asked, Counters, Kept, Relayed
from pkgproxy.deliver.delivery import Delivery
from pkgproxy.deliver.plan import plan
from pkgproxy.deliver.relay import Relay
from pkgproxy.filters import Rules
from pkgproxy.http1.exchange import Exchange
from pkgproxy.http1.response import Framing, Response
from pkgproxy.message.errors import ClientError, ProxyError
from pkgproxy.message.fields import Field, format_date
from pkgproxy.message.heads import VIA, CacheStatus, field_lines, status_line
from pkgproxy.message.memory import Memory
from pkgproxy.message.target import Target, parse_authority, parse_target
from pkgproxy.proxy.accesslog import AccessLog
from pkgproxy.proxy.pages import Page, own_page, plain
from pkgproxy.proxy.tunnel import TunnelEnd, join
from pkgproxy.upstream import Connector, connected


class Proxy:
    """Answers exchanges."""

    _log = Logger()

    def __init__(
        self,
        rules: Rules,
        clients: ClientNetworks,
        cache: Cache,
        counters: Counters,
        connector: Connector,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._clients = clients
        self._cache = cache
        self._counters = counters
        self._connector = connector
        self._clock = clock
        self._now = now
        self._access_log = AccessLog(clock)
        self._targets: Memory[bytes, Target] = Memory()
        self.in_progress = 0

    def close(self) -> None:
        """Write what is still to be written."""
        self._access_log.close()

    # From request to answer

    def answer(self, exchange: Exchange) -> None:
        """Answer a request whose turn it is."""
        exchange.started = self._clock.seconds()
        self.in_progress += 1
        try:
            self._route(exchange)
        except ProxyError as error:
            self._refuse(exchange, error)
        except Exception:  # noqa: BLE001  # the outermost edge: a fault of ours, for the log
            self._failed(Failure(), exchange)

    def _route(self, exchange: Exchange) -> None:
        if exchange.error is not None:
            raise exchange.error
        client = exchange.client
        if not self._clients.allows(client):
            exchange.keep_alive = False
            raise ClientError(f"{client} may not use this proxy (see its option --allow).", 403)
        if exchange.tunnel:
            self._tunnel(exchange)
        elif exchange.head.target.startswith((b"/", b"*")):
            self._own(exchange, exchange.head.target)
        else:
            self._forward(exchange)

    def _is_own(self, target: Target, exchange: Exchange) -> bool:
        """Whether an absolute URL names the address at which we were asked."""
        here = exchange.transport.getHost()
        host = getattr(here, "host", "").removeprefix("::ffff:")
        return bool(host) and (target.address, target.port) == (host, here.port)

    def _own(self, exchange: Exchange, path: bytes) -> None:
        host = (exchange.head.fields.get(b"host") or b"localhost").decode("latin-1")
        page = own_page(path.decode("latin-1"), host, self._counters, self.in_progress)
        self._send_page(exchange, page, "")

    def _forward(self, exchange: Exchange) -> None:
        target = self._target(exchange.head.target)
        body = exchange.body if exchange.has_body else None
        asked = Asked(exchange.head, target, self._rules.match(target.url), body, exchange.interim)
        found = self._cache.hit(asked)
        if found is not None:
            self._answered(found, exchange)
            return
        if self._is_own(target, exchange):
            self._own(exchange, target.resource)
            return
        waiting = Deferred.fromCoroutine(self._cache.answer(asked))
        exchange.on_gone = waiting.cancel
        waiting.addCallback(self._answered, exchange)
        waiting.addErrback(self._failed, exchange)

    def _target(self, raw: bytes) -> Target:
        target = self._targets.get(raw)
        if target is None:
            target = self._targets.put(raw, parse_target(raw))
        return target

    def _answered(self, answer: Answer, exchange: Exchange) -> None:
        """An answer for a client that is still there: leaving would have cancelled it."""
        exchange.on_gone = None
        try:
            if isinstance(answer, Kept):
                self._deliver(exchange, answer)
            else:
                self._relay(exchange, answer)
        except Exception:
            if exchange.delivery is None:  # else it is the delivery's to give it back
                answer.give_back()
            raise

    def _failed(self, reason: Failure, exchange: Exchange) -> None:
        if reason.check(CancelledError):
            self._finish(exchange, "client left")
        elif isinstance(reason.value, ProxyError):
            self._refuse(exchange, reason.value)
        else:
            self._log.failure("{exchange}", reason, exchange=exchange)
            if exchange.delivery is not None:
                # The head is out: whatever we said now would be taken for the body.
                exchange.gone()
                exchange.abort()
                return
            self._refuse(exchange, ProxyError("This proxy has a fault; its log says more."))

    # From answer to client

    def _deliver(self, exchange: Exchange, answer: Kept) -> None:
        """A body that is stored or arriving, or what of it was asked for."""
        stored = answer.representation
        planned = plan(exchange.head, stored, answer.body, answer.status, stored.age(self._now()))
        growing = planned.parts is None
        framing, chunked = self._framing(exchange, growing)
        head = planned.head + framing + exchange.connection_line() + b"\r\n"
        exchange.status = planned.status
        delivery = Delivery(exchange.transport, answer.body, head, planned.parts, chunked=chunked)
        self._send(exchange, delivery, str(answer.status), answer.status.stored)

    def _framing(self, exchange: Exchange, growing: bool) -> tuple[bytes, bool]:
        """How a body without a length ends for this client (RFC 9112 §6.3)."""
        if not growing:
            return b"", False
        if exchange.head.version == "1.1":
            return b"Transfer-Encoding: chunked\r\n", True
        exchange.keep_alive = False
        return b"", False

    def _relay(self, exchange: Exchange, answer: Relayed) -> None:
        """An upstream's answer, as it comes."""
        response = answer.response
        growing = response.framing in (Framing.CHUNKED, Framing.CLOSE)
        framing, chunked = self._framing(exchange, growing)
        fields = self._relayed_fields(response)
        fields.append(answer.status.field())
        if not exchange.body.ended:
            exchange.keep_alive = False
        head = status_line(response.head.status, response.head.reason)
        head += field_lines(fields) + framing + exchange.connection_line() + b"\r\n"
        exchange.status = response.head.status
        exchange.transport.write(head)
        relay = Relay(exchange.transport, response, chunked=chunked)
        self._send(exchange, relay, str(answer.status), True, answer.over)

    def _relayed_fields(self, response: Response) -> list[Field]:
        """What of an upstream's head is for the client; its length in our own words, as the
        origin may have named that field in Connection.
        """
        told = response.head.fields
        fields = told.end_to_end(b"via", b"content-length")
        if b"date" not in told:
            fields.append((b"Date", format_date(self._now())))
        via, length = told.get(b"via"), told.get(b"content-length")
        if length is not None:
            fields.append((b"Content-Length", length))
        return [*fields, (b"Via", via + b", " + VIA if via else VIA)]

    def _send(
        self,
        exchange: Exchange,
        delivery: Delivery | Relay,
        status: str,
        fetched: bool,
        over: Callable[[], None] | None = None,
    ) -> None:
        """Send a body; ``fetched`` if its bytes were fetched for this client."""

        def settle() -> None:
            if not fetched:
                self._counters.cache_bytes += delivery.sent
            if over is not None:
                over()

        def done(error: Exception | None) -> None:
            settle()
            if error is None:
                self._finish(exchange, status)
                exchange.finish()
            else:
                self._cut(exchange, status, error)

        def gone() -> None:
            delivery.stop()
            settle()
            self._finish(exchange, f"{status}; client left")

        exchange.on_gone = gone
        exchange.delivery = delivery
        delivery.start(done)

    def _cut(self, exchange: Exchange, status: str, error: Exception) -> None:
        """The head is out: only a broken connection tells that the rest is missing."""
        self._counters.errors += 1
        self._finish(exchange, f"{status}; cut: {error}")
        exchange.abort()

    def _refuse(self, exchange: Exchange, error: ProxyError) -> None:
        """A sentence that names the cause."""
        if error.status >= 500:
            self._counters.errors += 1
        self._send_page(exchange, plain(error.status, f"{error}\n"), f"error: {error}")

    def _send_page(self, exchange: Exchange, page: Page, note: str) -> None:
        head = (
            b"%bContent-Type: %b\r\nContent-Length: %d\r\nDate: %b\r\n"
            b"Cache-Control: no-store\r\nVia: %b\r\nCache-Status: pkgproxy; detail=%b\r\n%b\r\n"
            % (
                status_line(page.status), page.kind, len(page.text), format_date(self._now()),
                VIA, b"own-answer", exchange.connection_line(),
            )
        )  # fmt: skip
        exchange.status = page.status
        text = b"" if exchange.head.method == b"HEAD" else page.text
        exchange.own_bytes = len(text)
        exchange.transport.write(head + text)
        self._finish(exchange, note or "own page")
        exchange.finish()

    def _finish(self, exchange: Exchange, status: str) -> None:
        """Account for an answer that is over, one way or another."""
        self.in_progress -= 1
        delivery = exchange.delivery
        sent = delivery.sent if delivery is not None else exchange.own_bytes
        self._access_log.add(
            "%s %s %s %d %d %.3f %s"
            % (
                exchange.client or "-", exchange.head.method.decode("ascii"),
                exchange.head.target.decode("latin-1") or "-", exchange.status, sent,
                self._clock.seconds() - exchange.started, status,
            )
        )  # fmt: skip

    # CONNECT

    def _tunnel(self, exchange: Exchange) -> None:
        host, port = parse_authority(exchange.head.target.decode("latin-1"), None)
        check_tunnel(port)
        name = f"{host}:{port}"
        target = Target("http", host, port, b"", name, name)
        there = TunnelEnd()
        opening = connected(self._connector, self._clock, target, there)
        waiting = Deferred.fromCoroutine(opening)
        exchange.on_gone = waiting.cancel
        waiting.addCallback(lambda _: self._join(exchange, there))
        waiting.addErrback(self._failed, exchange)

    def _join(self, exchange: Exchange, there: TunnelEnd) -> None:
        here = TunnelEnd()
        exchange.status, exchange.delivery, exchange.on_gone = 200, here, None
        status = CacheStatus(fwd="bypass", detail="tunnel")
        head = status_line(200, b"Connection established") + field_lines([status.field()])
        exchange.transport.write(head + b"\r\n")
        early = exchange.take_over(here)
        join(here, there, lambda: self._finish(exchange, str(status)))
        if early:
            here.dataReceived(early)
