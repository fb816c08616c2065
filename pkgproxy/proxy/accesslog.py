"""One line for each request, written behind the requests.

An event of twisted.logger costs 20 µs, a third of a hit. So above a thousand requests a
second the lines of a tenth of a second share an event, and its time.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

FLUSH = 0.1  # seconds that a line may wait
_FEW = 100  # so many lines in that time have an event each
_MANY = 1000  # lines that do not wait for the time


class AccessLog:
    """Client, method, URL, status, body bytes, seconds, cache status."""

    def __init__(self, clock: IReactorTime) -> None:
        self._log = Logger(namespace="pkgproxy")
        self._clock = clock
        self._lines: list[str] = []
        self._closed = False
        self._timer: IDelayedCall | None = None

    def add(self, line: str) -> None:
        """Take a line; it is written soon."""
        self._lines.append(line)
        if self._closed or len(self._lines) >= _MANY:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(FLUSH, self.flush)

    def close(self) -> None:
        """Write what there is, and each further line at once."""
        self._closed = True
        self.flush()

    def flush(self) -> None:
        """Write what there is."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        lines, self._lines = self._lines, []
        for line in lines if len(lines) <= _FEW else ["\n".join(lines)]:
            self._log.info("{line}", line=line)
