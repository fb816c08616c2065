"""One transfer from upstream: it grows a partial, wakes its followers, and commits.

It belongs to no client: the first one leaving does not end it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from pkgproxy.message.body import BodySource
from pkgproxy.message.errors import StoreError, UpstreamError
from pkgproxy.store import Store
from pkgproxy.store.partial import Partial

#: With all clients gone a download goes on if no more than this is missing, bytes,
#: or at least half is here.
WORTH_FINISHING = 64 * 1024 * 1024


class State(Enum):
    """Where a download stands."""

    STREAMING = "streaming"
    FINISHED = "finished"
    FAILED = "failed"


#: One-way: what may follow what.
MOVES = {
    State.STREAMING: frozenset({State.FINISHED, State.FAILED}),
    State.FINISHED: frozenset(),
    State.FAILED: frozenset(),
}


class Download:
    """A body that still arrives; also a sink for the upstream's bytes.

    ``over`` is called once, when nobody can join any more: after the commit, or after
    the failure.
    """

    _log = Logger()

    def __init__(
        self,
        store: Store,
        key: str,
        partial: Partial,
        source: BodySource,
        over: Callable[[Download], None],
    ) -> None:
        self.representation = partial.representation
        self.failure: Exception | None = None
        #: Whether an older body is stored under the key, and what the origin answered.
        self.replaces = False
        self.fwd_status = 200
        #: Whether the origin may still be hoped to serve ranges of it.
        self.ranged = True
        self.state = State.STREAMING
        self._store = store
        self._key = key
        self._partial = partial
        self._source = source
        self._over = over
        self._readers = 0
        self._closed = False
        self._waiting: dict[int, Deferred[None]] = {}
        self._count = 0

    def __repr__(self) -> str:
        return (
            f"<Download {self._key} {self.state.value} {self.size}/{self.length}"
            f" readers={self._readers}>"
        )

    # What a reader sees

    @property
    def length(self) -> int | None:
        """All bytes there will be, once known."""
        return self.representation.length

    @property
    def size(self) -> int:
        """Bytes that are in the file."""
        return self._partial.size

    @property
    def ended(self) -> bool:
        """Finished or failed."""
        return self.state is not State.STREAMING

    def fileno(self) -> int:
        """The partial's descriptor; the same after the commit."""
        return self._partial.fileno()

    def more(self, offset: int) -> Deferred[None]:
        """Fires when there are bytes past ``offset``, or at the end."""
        if self.size > offset or self.ended:
            return succeed(None)
        number = self._count = self._count + 1
        waiting: Deferred[None] = Deferred(lambda _: self._drop(number))
        self._waiting[number] = waiting
        return waiting

    def _drop(self, number: int) -> None:
        self._waiting.pop(number, None)

    def attach(self) -> Download:
        """One more reader, who will release it."""
        if self._closed:
            raise RuntimeError(f"{self!r} is closed")
        self._readers += 1
        return self

    def release(self) -> None:
        """One reader less; the last one decides whether to go on."""
        self._readers -= 1
        if self._readers:
            return
        if self.ended:
            self._close()
        elif not self._worth_finishing():
            self._log.info(
                "{key}: stopped after {size} of {length} bytes, as all clients left",
                key=self._key, size=self.size, length=self.length or "unknown",
            )  # fmt: skip
            self._fail(UpstreamError("All clients left."))
            self._source.stopProducing()

    def _worth_finishing(self) -> bool:
        if self.length is None:
            return False
        missing = self.length - self.size
        return missing <= WORTH_FINISHING or missing <= self.size

    # What arrives

    def start(self) -> None:
        """Let the body come."""
        self._source.deliver(self)

    def data(self, data: bytes) -> None:
        """Bytes from upstream go to the file, then to whoever waits for them."""
        if self.ended:
            return
        if self.length is not None and self.size + len(data) > self.length:
            self._give_up(UpstreamError("The origin sent more than it announced."))
            return
        try:
            self._partial.write(data)
        except StoreError as error:
            self._log.warn("{key}: {error}", key=self._key, error=error)
            self._give_up(error)
            return
        self._wake()

    def end(self, error: Exception | None) -> None:
        """The origin is done. Only a body known to be whole is committed."""
        if self.ended:
            return
        if error is None and self.length is not None and self.size != self.length:
            error = UpstreamError(f"The origin sent {self.size} of {self.length} bytes.")
        if error is not None:
            self._fail(error)
            return
        self.representation.length = self.size
        try:
            self._store.commit(self._key, self._partial)
        except StoreError as problem:
            # The clients are served from the open file all the same.
            self._log.warn("{key}: {error}", key=self._key, error=problem)
            self._partial.discard()
        self._become(State.FINISHED)

    def _give_up(self, error: Exception) -> None:
        """What is in the file is of no use to anybody."""
        self._partial.discard()
        self._fail(error)
        self._source.stopProducing()

    def _fail(self, error: Exception) -> None:
        self.failure = error
        if self.length is None or self.representation.strong_validator() is None:
            self._partial.discard()  # it could never be resumed
        self._partial.keep()
        self._become(State.FAILED)

    def _become(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise RuntimeError(f"{self!r} cannot become {state.value}")
        self.state = state
        # First nobody can join any more, then the readers learn of the end: one of them
        # may ask again at once.
        self._over(self)
        self._wake()
        if not self._readers:
            self._close()

    def _wake(self) -> None:
        # Empty the table first: a reader that has caught up waits again at once.
        waiting, self._waiting = self._waiting, {}
        for reader in waiting.values():
            if not reader.called:  # cancelled by one that was woken before it
                reader.callback(None)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._partial.close()
