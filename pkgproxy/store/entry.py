"""A stored file, open for reading: a body that is whole."""

from __future__ import annotations

import os
from mimetypes import MimeTypes

from twisted.internet.defer import Deferred, succeed

from pkgproxy.message.fields import Fields, format_date
from pkgproxy.message.heads import Representation

_ENCODINGS = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


class Entry:
    """What look_up found. It holds a descriptor until released.

    A rename over the file, or its removal, does not touch a reader that has it open.
    """

    __slots__ = ("_fd", "failure", "length", "representation", "size")

    ended = True

    def __init__(self, fd: int, size: int, representation: Representation) -> None:
        self._fd = fd
        self.length: int | None = size
        self.size = size
        self.representation = representation
        self.failure: Exception | None = None

    def __repr__(self) -> str:
        return f"<Entry fd={self._fd} size={self.size}>"

    def fileno(self) -> int:
        """The open file."""
        return self._fd

    def more(self, offset: int) -> Deferred[None]:
        """All of it may be read already."""
        return succeed(None)

    def release(self) -> None:
        """Close the file."""
        os.close(self._fd)


def guess(path: str, status: os.stat_result, types: MimeTypes) -> Representation:
    """What is known of a file that has no metadata: its time and its name."""
    kind, encoding = types.guess_type(path.rpartition("/")[2].partition("?")[0].removesuffix("#"))
    if encoding is not None:
        kind = _ENCODINGS.get(encoding)
    modified = min(max(0.0, status.st_mtime), status.st_ctime)
    fields = Fields(
        [
            (b"Content-Type", (kind or "application/octet-stream").encode("ascii")),
            (b"Last-Modified", format_date(modified)),
        ]
    )
    return Representation(fields, status.st_ctime, status.st_ctime, status.st_size)
