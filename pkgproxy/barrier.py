"""The path barrier: of all who want a key, one leads, the others learn what came of it.

In-process for now; the interface promises nothing that another process or host could not
keep.  A Deferred is made for each follower, none is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

T = TypeVar("T")


class Place(Generic[T]):
    """A key that somebody leads; ``T`` is what the leader publishes to its followers."""

    def __init__(self, barrier: LocalBarrier[T], key: str) -> None:
        self._barrier = barrier
        self._key = key
        self._outcome: T | Failure | None = None
        self._waiting: dict[int, Deferred[T]] = {}
        self._count = 0

    def __repr__(self) -> str:
        return f"<Place {self._key} waiting={len(self._waiting)} outcome={self._outcome!r}>"

    def outcome(self) -> Deferred[T]:
        """Fires with what the leader publishes, now if it has; errbacks with its failure.

        May be cancelled, which concerns this follower only.
        """
        if isinstance(self._outcome, Failure):
            return fail(self._outcome)
        if self._outcome is not None:
            return succeed(self._outcome)
        number = self._count = self._count + 1
        waiting: Deferred[T] = Deferred(lambda _: self._drop(number))
        self._waiting[number] = waiting
        return waiting

    def _drop(self, number: int) -> None:
        self._waiting.pop(number, None)

    def publish(self, outcome: T) -> None:
        """Tell the followers, those to come too. Once, by the leader."""
        self._settle(outcome)
        self._tell(lambda follower: follower.callback(outcome))

    def fail(self, reason: Failure) -> None:
        """Tell the followers that nothing will come, and leave."""
        self._settle(reason)
        self.leave()
        self._tell(lambda follower: follower.errback(reason))

    def _settle(self, outcome: T | Failure) -> None:
        if self._outcome is not None:
            raise RuntimeError(f"{self!r} has been settled before")
        self._outcome = outcome

    def _tell(self, tell: Callable[[Deferred[T]], None]) -> None:
        # Empty the table first: a callback may ask again.
        waiting, self._waiting = self._waiting, {}
        for follower in waiting.values():
            if not follower.called:  # cancelled by one that was told before it
                tell(follower)

    def leave(self) -> None:
        """The leader is done: who joins from now on leads anew."""
        self._barrier.forget(self._key, self)


class LocalBarrier(Generic[T]):
    """The barrier of one process."""

    def __init__(self) -> None:
        self._places: dict[str, Place[T]] = {}

    def join(self, key: str) -> tuple[Place[T], bool]:
        """The place of a key, and whether the caller leads it.

        A leader must publish or fail, and leave.
        """
        place = self._places.get(key)
        if place is not None:
            return place, False
        place = self._places[key] = Place(self, key)
        return place, True

    def peek(self, key: str) -> Place[T] | None:
        """The place of a key if somebody leads it."""
        return self._places.get(key)

    def forget(self, key: str, place: Place[T]) -> None:
        """Remove a place, but not the one that came after it."""
        if self._places.get(key) is place:
            del self._places[key]

    def __len__(self) -> int:
        return len(self._places)
