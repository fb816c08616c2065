"""A body on its way in: a private file that nobody can ask for until it is whole."""

from __future__ import annotations

import fcntl
import os
import time

from twisted.logger import Logger

from pkgproxy.message.errors import StoreError
from pkgproxy.message.fields import parse_date
from pkgproxy.message.heads import Representation
from pkgproxy.store import metadata
from pkgproxy.store.metadata import Metadata


class Partial:
    """An open, locked file in the private directory. Ends by commit, keep or discard.

    The lock keeps a second process with the same root away from it.  The descriptor stays
    open until close, as readers of the download may still need it.
    """

    _log = Logger()

    def __init__(self, fd: int, path: str, key: str, representation: Representation) -> None:
        self._fd = fd
        self._path = path
        self._key = key
        self.representation = representation
        self.size = os.fstat(fd).st_size

    def __repr__(self) -> str:
        return f"<Partial {self._key} size={self.size}>"

    def fileno(self) -> int:
        """The open file, for readers."""
        return self._fd

    def write(self, data: bytes) -> None:
        """Append. Raises StoreError, after which the size is that of the last success."""
        view = memoryview(data)
        offset = self.size
        try:
            while view:
                count = os.pwrite(self._fd, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise StoreError(f"Cannot write to the cache: {error.strerror}.") from error
        self.size = offset

    def describe(self) -> None:
        """Attach the metadata. Raises StoreError if the body makes no sense without it."""
        try:
            metadata.write(self._fd, Metadata(self._key, self.representation))
        except OSError as error:
            # The file would be served later without saying how it is coded.
            if b"content-encoding" in self.representation.fields:
                raise StoreError("No room for metadata in the cache.") from error

    def commit(self, path: str) -> None:
        """Make the whole body visible at ``path``, in one step. Raises StoreError."""
        self.representation.length = self.size
        self.describe()
        modified = parse_date(self.representation.last_modified)
        try:
            if not self._is_there():
                raise StoreError(f"Cannot store {path}: its partial was removed meanwhile.")
            os.utime(self._fd, (time.time(), self._clamped(modified)))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.rename(self._path, path)
        except OSError as error:
            raise StoreError(f"Cannot store {path}: {error.strerror}.") from error

    def _is_there(self) -> bool:
        """Whether the name is still ours: after rm -rf another process may have begun a
        file there, which must neither be published nor removed.
        """
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _clamped(self, modified: float | None) -> float:
        return self.representation.checked if modified is None else max(0.0, modified)

    def discard(self) -> None:
        """Remove the file; what it holds is of no use."""
        try:
            if self._is_there():
                os.unlink(self._path)
        except OSError as error:
            self._log.warn("{path} cannot be removed: {error}", path=self._path, error=error)

    def close(self) -> None:
        """Give up the descriptor and with it the lock. More than once is no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def open_locked(path: str, flags: int) -> int | None:
    """Open a file that no other process has locked; None if one has."""
    fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between open and flock another process may have renamed the file away.
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except OSError:
        pass  # locked elsewhere, or gone: in both cases it is not ours
    os.close(fd)
    return None
