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

#: With less free space nothing is begun: a body without a length may need as much.
_LEAST_ROOM = 1024 * 1024  # bytes


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

    def reserve(self) -> None:
        """Raise StoreError if there is certainly no room for the whole body."""
        try:
            disk = os.fstatvfs(self._fd)
        except OSError as error:
            raise StoreError(f"Cannot ask for free space: {error.strerror}.") from error
        room = disk.f_bavail * disk.f_frsize
        if room < max(self.representation.length or 0, _LEAST_ROOM):
            raise StoreError(f"No room in the cache: {room} bytes are free.")

    def describe(self) -> None:
        """Attach the metadata. Raises StoreError if the body makes no sense without it."""
        try:
            metadata.write(self._fd, Metadata(self._key, self.representation))
        except OSError as error:
            # Later nobody would know how the file is coded, or that it changes.
            if self.representation.changes or b"content-encoding" in self.representation.fields:
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

    def keep(self) -> None:
        """Leave the file to whoever resumes it, also while readers of ours remain."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up the descriptor and with it the lock. More than once is no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def open_new(path: str) -> int:
    """Create and lock a file that is not there yet. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def open_locked(path: str) -> int | None:
    """Open and lock a file; None if somebody has it locked. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between open and flock another process may have renamed the file away.
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except OSError:
        pass  # locked elsewhere, or gone: in both cases it is not ours
    os.close(fd)
    return None
