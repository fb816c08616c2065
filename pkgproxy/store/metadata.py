"""What describes a stored body, as one extended attribute of its file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from pkgproxy.message.fields import LATEST, Fields
from pkgproxy.message.heads import Representation

ATTRIBUTE = "user.pkgproxy"

#: ext4 keeps all attributes of a file in one block of 4096 bytes.
_LARGEST = 2500

#: What is kept when the whole header section does not fit.
_ESSENTIAL = frozenset(
    {b"cache-control", b"content-disposition", b"content-encoding", b"content-language",
     b"content-type", b"etag", b"expires", b"last-modified"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metadata:
    """A representation and the key it belongs to."""

    key: str
    representation: Representation


def encode(metadata: Metadata) -> bytes:
    """JSON, small enough for an extended attribute."""
    value = _encode(metadata, list(metadata.representation.fields))
    if len(value) <= _LARGEST:
        return value
    essential = [i for i in metadata.representation.fields if i[0].lower() in _ESSENTIAL]
    return _encode(metadata, essential)


def _encode(metadata: Metadata, fields: list[tuple[bytes, bytes]]) -> bytes:
    stored = metadata.representation
    value = {
        "key": metadata.key,
        "length": stored.length,
        "date": stored.date,
        "checked": stored.checked,
        "changes": stored.changes,
        "fields": [[part.decode("latin-1") for part in item] for item in fields],
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def decode(value: bytes) -> Metadata:
    """The reverse of encode. Raises ValueError for anything else."""
    try:
        raw = json.loads(value)
        fields = Fields((n.encode("latin-1"), v.encode("latin-1")) for n, v in raw["fields"])
        length = raw["length"]
        representation = Representation(
            fields,
            _time(raw["date"]),
            _time(raw["checked"]),
            None if length is None else int(length),
            bool(raw["changes"]),
        )
        return Metadata(str(raw["key"]), representation)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"not metadata of ours: {error}") from error


def _time(value: float) -> float:
    """Seconds since 1970 that a date can say. Raises ValueError."""
    if not 0 <= value < LATEST:
        raise ValueError(f"{value} is no time")
    return float(value)


def write(fd: int, metadata: Metadata) -> None:
    """Attach to an open file. Raises OSError where there are no extended attributes."""
    os.setxattr(fd, ATTRIBUTE, encode(metadata))


def read(fd: int) -> Metadata | None:
    """What is attached to an open file, or None."""
    try:
        return decode(os.getxattr(fd, ATTRIBUTE))
    except (OSError, ValueError):
        return None
