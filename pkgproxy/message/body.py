"""The one idea: a stored file and a download in progress are the same thing to a reader."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred


class Body(Protocol):
    """A file of which ``size`` bytes may be read now.

    A stored entry has ``size == length`` and is ``ended`` from the start.  Whoever is
    given a body calls ``release`` once when done with it.
    """

    @property
    def length(self) -> int | None:
        """All bytes there will be; None while that is unknown."""

    @property
    def size(self) -> int:
        """Bytes that may be read now."""

    @property
    def ended(self) -> bool:
        """No more bytes will come: it is whole, or it failed."""

    @property
    def failure(self) -> Exception | None:
        """Why it will never be whole."""

    def fileno(self) -> int:
        """A descriptor to read from at any offset below ``size``."""

    def more(self, offset: int) -> Deferred[None]:
        """Fires when bytes past ``offset`` may be read, or the body ended.

        Each caller gets a Deferred of its own and may cancel it.
        """

    def release(self) -> None:
        """The reader needs it no more."""


class BodySink(Protocol):
    """Whoever takes a body from a connection, piece by piece."""

    def data(self, data: bytes) -> None:
        """Some bytes, in order."""

    def end(self, error: Exception | None) -> None:
        """Nothing more comes; called once. Without an error the body is whole."""


class BodySource(Protocol):
    """A body that arrives on a connection and can be slowed down: a push producer."""

    def deliver(self, sink: BodySink) -> None:
        """Begin to pass the body on. Once."""

    def pauseProducing(self) -> None:
        """Stop reading from the connection."""

    def resumeProducing(self) -> None:
        """Go on."""

    def stopProducing(self) -> None:
        """Nobody wants the rest."""


class Nowhere:
    """A sink for a body that nobody wants."""

    def data(self, data: bytes) -> None:
        """Drop it."""

    def end(self, error: Exception | None) -> None:
        """Nothing to do."""
