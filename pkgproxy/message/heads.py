"""Request and response heads, and how an answer says where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from pkgproxy.message.fields import LATEST, Field, Fields, format_date, parse_date

_YEAR = 365 * 86_400  # seconds

PSEUDONYM = b"pkgproxy"
VIA = b"1.1 " + PSEUDONYM


@dataclass(slots=True)
class RequestHead:
    """What came before a request's body. ``version`` is ``"1.0"`` or ``"1.1"``."""

    method: bytes
    target: bytes
    version: str
    fields: Fields


@dataclass(slots=True)
class ResponseHead:
    """What came before a response's body."""

    status: int
    fields: Fields
    reason: bytes = b""
    version: str = "1.1"


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """One member of a Cache-Status field (RFC 9211 §2)."""

    hit: bool = False
    fwd: str = ""
    fwd_status: int = 0
    stored: bool = False
    collapsed: bool = False
    detail: str = ""
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", self._render())

    def __str__(self) -> str:
        return self._text

    def _render(self) -> str:
        parts = ["hit"] if self.hit else []
        if self.fwd:
            parts.append(f"fwd={self.fwd}")
        if self.fwd_status:
            parts.append(f"fwd-status={self.fwd_status}")
        parts += [name for name in ("stored", "collapsed") if getattr(self, name)]
        if self.detail:
            parts.append(f"detail={self.detail}")
        return "; ".join(parts)

    def field(self) -> Field:
        """The whole header field."""
        return b"Cache-Status", PSEUDONYM + b"; " + str(self).encode("ascii")


HIT = CacheStatus(hit=True)

#: Fields that describe one message or its delivery, not the representation.
_OF_THE_MESSAGE = (b"age", b"cache-status", b"content-length", b"content-range",
                   b"accept-ranges", b"date", b"via")  # fmt: skip


@dataclass(slots=True)
class Representation:
    """What is known of a stored or arriving body besides its bytes (RFC 9110 §3.2).

    ``date`` is when the origin made it and ``checked`` when it last vouched for it, both in
    seconds since 1970.  ``length`` is the expected size in bytes, None
    while it is unknown.  ``changes`` is whether the origin says that it changes soon.
    """

    fields: Fields
    date: float
    checked: float
    length: int | None = None
    changes: bool = False
    _block: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, head: ResponseHead, now: float, *, changes: bool = False) -> Representation:
        """What a response head says, received at ``now``."""
        date = parse_date(head.fields.get(b"date"))
        if date is None or not 0 <= date < LATEST:
            date = now  # some clocks are that wrong
        length = head.fields.get(b"content-length")
        kept = Fields(head.fields.end_to_end(*_OF_THE_MESSAGE))
        checked = now - upstream_age(head.fields)
        return cls(kept, date, checked, int(length) if length else None, changes)

    @property
    def etag(self) -> bytes | None:
        """The entity tag as the origin wrote it, or None."""
        return self.fields.get(b"etag")

    @property
    def last_modified(self) -> bytes | None:
        """The origin's Last-Modified as it wrote it, or None."""
        return self.fields.get(b"last-modified")

    def strong_validator(self) -> bytes | None:
        """What If-Range may hold: a strong ETag, a strong date if there is no ETag at all
        (RFC 9110 §13.1.5), else nothing.
        """
        if self.etag is not None:
            return None if self.etag.startswith(b"W/") else self.etag
        return self.last_modified if self.has_strong_date() else None

    def has_strong_date(self) -> bool:
        """Whether Last-Modified tells versions apart: a file that was sent in the second
        it was modified may have been modified again in that second (RFC 9110 §8.8.2.2).
        """
        modified = parse_date(self.last_modified)
        return modified is not None and self.date - modified >= 1

    def block(self) -> bytes:
        """The header lines that are the same for each answer, built once."""
        if not self._block:
            self._block = field_lines([*self.fields, *self.of_each_answer()])
        return self._block

    def of_each_answer(self) -> list[Field]:
        """Fields that are not stored and yet the same in each answer."""
        date = format_date(self.date)
        return [(b"Date", date), (b"Accept-Ranges", b"bytes"), (b"Via", VIA)]

    def age(self, now: float) -> int:
        """Whole seconds since the origin last vouched for it (RFC 9111 §5.1)."""
        return max(0, int(now - self.checked))


def upstream_age(fields: Fields) -> int:
    """Seconds for which an answer was in other caches before (RFC 9111 §5.1)."""
    value = fields.get(b"age") or b""
    return min(int(value[:10]), _YEAR) if value.isdigit() else 0


def field_lines(fields: list[Field]) -> bytes:
    """Header lines, each with its CRLF."""
    return b"".join([b"%b: %b\r\n" % item for item in fields])


def _status_lines() -> dict[int, bytes]:
    return {s.value: b"HTTP/1.1 %d %b\r\n" % (s, s.phrase.encode("ascii")) for s in HTTPStatus}


STATUS_LINES = _status_lines()


def status_line(status: int, reason: bytes = b"") -> bytes:
    """A status line; a known status needs no reason."""
    if reason or status not in STATUS_LINES:
        return b"HTTP/1.1 %d %b\r\n" % (status, reason)
    return STATUS_LINES[status]
