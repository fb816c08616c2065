"""Bytes and metadata on disk. The tree is the database.

Plain files below the root, one for each key (``names``), with what describes them in an
extended attribute (``metadata``).  Partials live in ``.pkgproxy/partial`` below the same
root; no host begins with a dot, so nobody can ask for one.

It is called by the cache and by downloads, and imports only ``message``.
"""

from __future__ import annotations

import hashlib
import os
import stat
from mimetypes import MimeTypes
from pathlib import Path

from twisted.logger import Logger

from pkgproxy.message.errors import StoreError
from pkgproxy.message.heads import Representation
from pkgproxy.message.memory import Memory
from pkgproxy.store import metadata
from pkgproxy.store.entry import Entry, guess
from pkgproxy.store.metadata import Metadata
from pkgproxy.store.names import path_of
from pkgproxy.store.partial import Partial, open_locked, open_new

PRIVATE = ".pkgproxy"

_Stamp = tuple[int, int, int, int]


class Store:
    """A cache directory."""

    _log = Logger()

    def __init__(self, root: Path) -> None:
        self.root = os.path.abspath(root)
        self._partials = os.path.join(self.root, PRIVATE, "partial")
        self._paths: Memory[str, str] = Memory()
        self._known: Memory[str, tuple[_Stamp, Representation]] = Memory()
        self._types = MimeTypes()

    def prepare(self) -> None:
        """Create the directories. Raises StoreError if nothing can be stored here."""
        try:
            os.makedirs(self._partials, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Cannot create {self._partials}: {error.strerror}.") from error
        if not os.access(self._partials, os.W_OK | os.X_OK):
            raise StoreError(f"Cannot write to {self._partials}.")

    def look_up(self, key: str) -> Entry | None:
        """The whole body stored for a key, open; or None. The caller releases it."""
        path = self.path(key)
        if path is None:
            return None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None  # absent; or unreadable, which a fetch makes good
        entry = self._examine(fd, path)
        if entry is None:
            os.close(fd)
        return entry

    def path(self, key: str) -> str | None:
        """The file for a key; None if its name is longer than the kernel takes."""
        path = self._paths.get(key)
        if path is None:
            below = path_of(key)
            if below is not None:
                path = self._paths.put(key, f"{self.root}/{below}")
        return path

    def _examine(self, fd: int, path: str) -> Entry | None:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        representation = self._representation(fd, path, status)
        if representation.length != status.st_size:
            self._log.warn("{path} is not as long as it was; it is fetched again", path=path)
            return None
        return Entry(fd, status.st_size, representation)

    def _representation(self, fd: int, path: str, status: os.stat_result) -> Representation:
        # A change of the attribute or of the content changes ctime.
        stamp = (status.st_ino, status.st_dev, status.st_ctime_ns, status.st_size)
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        found = metadata.read(fd)
        representation = found.representation if found else guess(path, status, self._types)
        return self._known.put(path, (stamp, representation))[1]

    def freshen(self, key: str, entry: Entry, representation: Representation) -> None:
        """Record that the origin vouched for an entry (RFC 9111 §4.3.4)."""
        entry.representation = representation
        # The file's change time may not move within one tick of the kernel's clock.
        self._known.forget(self.path(key) or "")
        try:
            metadata.write(entry.fileno(), Metadata(key, representation))
        except OSError as error:
            # Only Age is less exact than it could be.
            self._log.debug("{key} not freshened: {error}", key=key, error=error)

    def remove(self, key: str) -> None:
        """Forget what is stored for a key, if anything is. Raises StoreError."""
        try:
            os.unlink(self.path(key) or "")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            pass  # nothing was stored
        except OSError as error:
            raise StoreError(f"Cannot remove the file of {key}: {error.strerror}.") from error

    def begin(self, key: str, representation: Representation) -> Partial:
        """An empty partial for a key. Raises StoreError if it cannot be had."""
        if self.path(key) is None:
            raise StoreError("The URL is too long for a file name.")
        try:
            fd, path = self._create(key)
        except OSError as error:
            raise StoreError(f"Cannot create a file in the cache: {error.strerror}.") from error
        partial = Partial(fd, path, key, representation)
        try:
            partial.reserve()
            partial.describe()
        except StoreError:
            partial.discard()
            partial.close()
            raise
        return partial

    def _create(self, key: str) -> tuple[int, str]:
        os.makedirs(self._partials, exist_ok=True)
        path = self._partial_path(key)
        try:
            return open_new(path), path
        except FileExistsError:
            old = open_locked(path)
        if old is None:
            # Another process with this root downloads the same; it will not be disturbed.
            path = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
        else:
            # A download that failed may still have readers there: a new file, not that one.
            os.unlink(path)
            os.close(old)
        return open_new(path), path

    def _partial_path(self, key: str) -> str:
        return os.path.join(self._partials, hashlib.sha256(key.encode("ascii")).hexdigest()[:32])

    def resume(self, key: str) -> Partial | None:
        """A partial that an earlier download left and that can be continued."""
        path = self._partial_path(key)
        try:
            fd = open_locked(path)
        except OSError:
            return None
        if fd is None:
            return None
        found = metadata.read(fd)
        if found is not None and found.key == key and _continues(fd, found.representation):
            return Partial(fd, path, key, found.representation)
        os.close(fd)
        return None

    def commit(self, key: str, partial: Partial) -> None:
        """Make a partial the stored body of its key. Raises StoreError."""
        path = self.path(key)
        if path is None:
            raise StoreError("The URL is too long for a file name.")
        partial.commit(path)


def _continues(fd: int, representation: Representation) -> bool:
    """Whether a range request can ask for the rest and be sure that it fits."""
    length = representation.length
    known = length is not None and 0 < os.fstat(fd).st_size < length
    return known and representation.strong_validator() is not None
