"""A bounded memory of what was computed once for a URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")
K = TypeVar("K", str, bytes)

#: Longer keys are not remembered: 20,000 of them would be a lot of memory.
MAX_KEY = 512  # characters


class Memory(Generic[K, V]):
    """Remembers so many values; when there are more it starts afresh, which is cheaper than
    to know the oldest.
    """

    __slots__ = ("_most", "_values", "get")

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._values: dict[K, V] = {}
        #: The value for a key, or None.
        self.get: Callable[[K], V | None] = self._values.get

    def put(self, key: K, value: V) -> V:
        """Remember a value, and return it."""
        if len(key) <= MAX_KEY:
            if len(self._values) >= self._most:
                self._values.clear()
            self._values[key] = value
        return value

    def forget(self, key: K) -> None:
        """Remember it no more."""
        self._values.pop(key, None)
