"""Header fields as they came: ordered, repeated, in their own spelling (RFC 9110 §5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

Field = tuple[bytes, bytes]

#: Fields for one connection only (RFC 9110 §7.6.1), those that a proxy consumes
#: (§11.7), and Trailer, because trailers are not passed on.
HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip


#: Seconds since 1970 after which a date has more than four digits for its year.
LATEST = 253_402_300_800


class Fields:
    """A header section. Names given to look-ups are in lower case."""

    __slots__ = ("_index", "items")

    def __init__(self, items: Iterable[Field] = ()) -> None:
        self.items = list(items)
        self._index: dict[bytes, bytes] | None = None

    def __iter__(self) -> Iterator[Field]:
        return iter(self.items)

    def __contains__(self, name: bytes) -> bool:
        return self.get(name) is not None

    def __repr__(self) -> str:
        return f"Fields({self.items!r})"

    def get(self, name: bytes) -> bytes | None:
        """The value, several lines joined by a comma (RFC 9110 §5.3), or None."""
        if self._index is None:
            self._index = self._build()
        return self._index.get(name)

    def _build(self) -> dict[bytes, bytes]:
        index: dict[bytes, bytes] = {}
        for name, value in self.items:
            lower = name.lower()
            index[lower] = index[lower] + b", " + value if lower in index else value
        return index

    def tokens(self, name: bytes) -> frozenset[bytes]:
        """The members of a comma-separated list, in lower case, without parameters."""
        value = self.get(name)
        if value is None:
            return frozenset()
        members = (member.split(b";")[0].strip().lower() for member in value.split(b","))
        return frozenset(member for member in members if member)

    def end_to_end(self, *without: bytes) -> list[Field]:
        """What a proxy passes on: neither hop-by-hop nor named by Connection."""
        dropped = HOP_BY_HOP.union(self.tokens(b"connection"), without)
        return [item for item in self.items if item[0].lower() not in dropped]


def directives(value: bytes | None) -> dict[bytes, bytes | None]:
    """Cache-Control directives in lower case, with their arguments unquoted (RFC 9111 §5.2)."""
    found: dict[bytes, bytes | None] = {}
    for member in (value or b"").split(b","):
        name, equals, argument = member.strip().partition(b"=")
        if name:
            found[name.lower()] = argument.strip(b' "') if equals else None
    return found


def parse_date(value: bytes | None) -> float | None:
    """Seconds since 1970 of an HTTP date in any of its three forms, else None."""
    if value is None:
        return None
    try:
        date = parsedate_to_datetime(value.decode("ascii"))
        # The form of asctime names no zone; it means UTC all the same.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def format_date(seconds: float) -> bytes:
    """An IMF-fixdate (RFC 9110 §5.6.7)."""
    return formatdate(seconds, usegmt=True).encode("ascii")
