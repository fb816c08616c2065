"""The tree is the database: plain files that a person may copy in, look at, or remove."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pkgproxy.message.errors import StoreError
from pkgproxy.message.fields import Field, Fields
from pkgproxy.message.heads import Representation
from pkgproxy.message.memory import Memory
from pkgproxy.store import Store

NOW = 1_700_000_000.0
KEY = "example.org/pool/x_1.0.deb"
DATA = b"0123456789"
ETAG: Field = (b"ETag", b'"one"')
MODIFIED: Field = (b"Last-Modified", b"Sun, 06 Nov 1994 08:49:37 GMT")
KIND: Field = (b"Content-Type", b"application/x-deb")

#: Another process that has a partial locked until its standard input ends.
HOLD = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    store = Store(tmp_path / "cache")
    store.prepare()
    return store


def refusing(number: int) -> Callable[..., int]:
    """A system call that fails."""

    def refuse(*args: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


def described(*fields: Field, length: int | None = None) -> Representation:
    return Representation(Fields(fields), NOW, NOW, length)


def keep(store: Store, key: str, data: bytes, *fields: Field) -> None:
    """What a download that ends well does."""
    partial = store.begin(key, described(*fields, length=len(data)))
    partial.write(data)
    store.commit(key, partial)
    partial.close()


def leave(store: Store, data: bytes, *fields: Field, length: int | None = len(DATA)) -> None:
    """What a download that broke leaves behind."""
    partial = store.begin(KEY, described(*fields, length=length))
    partial.write(data)
    partial.close()


def found(store: Store, key: str = KEY) -> tuple[bytes, Representation] | None:
    entry = store.look_up(key)
    if entry is None:
        return None
    data = os.pread(entry.fileno(), entry.size + 1, 0)
    assert (entry.length, entry.ended, entry.failure) == (len(data), True, None)
    entry.release()
    return data, entry.representation


def body(store: Store, key: str = KEY) -> bytes | None:
    answer = found(store, key)
    return None if answer is None else answer[0]


def file_of(store: Store, key: str = KEY) -> Path:
    path = store.path(key)
    assert path is not None
    return Path(path)


def copy_in(store: Store, key: str, data: bytes) -> Path:
    path = file_of(store, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def partials(store: Store) -> list[Path]:
    return sorted((Path(store.root) / ".pkgproxy/partial").iterdir())


def test_kept(store: Store) -> None:
    """What was stored is found again, with all that was known of it, by another process too."""
    assert found(store) is None
    keep(store, KEY, DATA, ETAG, KIND, MODIFIED)
    assert file_of(store) == Path(store.root) / KEY
    for reader in (store, store, Store(Path(store.root))):
        answer = found(reader)
        assert answer is not None
        assert answer[0] == DATA
        it = answer[1]
        assert (it.fields.items, it.date, it.checked) == ([ETAG, KIND, MODIFIED], NOW, NOW)
    assert partials(store) == []


@pytest.mark.parametrize(
    ("fields", "mtime"),
    [
        ([MODIFIED], 784_111_777.0),
        ([], NOW),
        ([(b"Last-Modified", b"yesterday")], NOW),
        ([(b"Last-Modified", b"Sun, 06 Nov 1904 08:49:37 GMT")], 0.0),
    ],
)
def test_mtime(store: Store, fields: list[Field], mtime: float) -> None:
    """A file's time is the origin's Last-Modified, or when it came."""
    keep(store, KEY, DATA, *fields)
    assert file_of(store).stat().st_mtime == mtime


def test_invisible_until_whole(store: Store) -> None:
    """Nothing partial is ever found, nor lies where people look."""
    partial = store.begin(KEY, described())
    partial.write(DATA)
    assert found(store) is None
    assert [p for p in Path(store.root).iterdir() if p.name != ".pkgproxy"] == []
    store.commit(KEY, partial)
    assert body(store) == DATA
    partial.close()
    partial.close()


def test_discarded(store: Store) -> None:
    """What is of no use is gone; doing so twice is no harm."""
    partial = store.begin(KEY, described(length=len(DATA)))
    partial.discard()
    partial.discard()
    partial.close()
    assert partials(store) == []


@pytest.mark.parametrize("data", [DATA[:-1], b"", DATA + b"x"])
def test_other_length(store: Store, data: bytes) -> None:
    """A file that is not as long as it was is no hit, and is replaced by the next download."""
    keep(store, KEY, DATA, ETAG)
    assert body(store) == DATA
    copy_in(store, KEY, data)
    before = os.listdir("/proc/self/fd")
    assert found(store) is None
    assert os.listdir("/proc/self/fd") == before
    keep(store, KEY, DATA, ETAG)
    assert body(store) == DATA


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_no_file(store: Store, make: Callable[[Path], None]) -> None:
    """A directory or a pipe in a file's place is no hit, and nothing waits for it."""
    path = file_of(store)
    path.parent.mkdir(parents=True)
    make(path)
    before = os.listdir("/proc/self/fd")
    assert found(store) is None
    assert os.listdir("/proc/self/fd") == before


def test_readers_are_not_disturbed(store: Store) -> None:
    """Who reads a file goes on reading it, whatever becomes of its name."""
    keep(store, KEY, DATA)
    entry = store.look_up(KEY)
    assert entry is not None
    keep(store, KEY, b"other")
    assert body(store) == b"other"
    shutil.rmtree(store.root)
    assert os.pread(entry.fileno(), entry.size, 0) == DATA
    entry.release()
    assert found(store) is None


def test_removed_while_it_runs(store: Store) -> None:
    """``rm -rf`` costs what was stored, and nothing else."""
    partial = store.begin(KEY, described(length=len(DATA)))
    partial.write(DATA[:5])
    shutil.rmtree(store.root)
    partial.write(DATA[5:])
    assert os.pread(partial.fileno(), 100, 0) == DATA
    with suppress(StoreError):
        store.commit(KEY, partial)
    partial.discard()
    partial.close()
    assert body(store) in (None, DATA)
    keep(store, KEY, DATA)
    assert body(store) == DATA


def test_removed_and_begun_elsewhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``rm -rf`` another process may begin the same file: what it has of it so far
    must not become the stored file because the first one is done.
    """
    monkeypatch.setattr(os, "setxattr", refusing(errno.ENOTSUP))
    first = store.begin(KEY, described(length=len(DATA)))
    first.write(DATA)
    shutil.rmtree(store.root)
    second = Store(Path(store.root)).begin(KEY, described(length=len(DATA)))
    second.write(DATA[:3])
    with suppress(StoreError):
        store.commit(KEY, first)
    assert body(store) in (None, DATA)
    first.close()
    second.close()


def test_root_below_a_file(tmp_path: Path) -> None:
    """A root that cannot be written is said at once, and turns the cache off, no more."""
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file" / "cache")
    with pytest.raises(StoreError, match=f"{tmp_path}/file/cache.*: Not a directory"):
        store.prepare()
    with pytest.raises(StoreError, match="Not a directory"):
        store.begin(KEY, described())
    assert store.look_up(KEY) is None
    assert store.resume(KEY) is None


def test_place_is_taken(store: Store) -> None:
    """What cannot be put into its place is an error, and the clients still have their bytes."""
    partial = store.begin(KEY, described())
    partial.write(DATA)
    file_of(store).mkdir(parents=True)
    with pytest.raises(StoreError, match="Is a directory"):
        store.commit(KEY, partial)
    assert os.pread(partial.fileno(), 100, 0) == DATA
    partial.close()


def test_writing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take fewer bytes than it is given; a full disk is an error of the store,
    and what was written before it counts.
    """
    pwrite = os.pwrite
    partial = store.begin(KEY, described())
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:3], offset))
    partial.write(DATA)
    monkeypatch.setattr(os, "pwrite", refusing(errno.ENOSPC))
    with pytest.raises(StoreError, match="No space left"):
        partial.write(DATA)
    assert partial.size == len(DATA)
    assert os.pread(partial.fileno(), 100, 0) == DATA
    partial.close()


def test_files_and_directories(store: Store) -> None:
    """Of two URLs one may go on where the other ends: both are stored."""
    keys = ["h/a", "h/a/", "h/a/b", "h/a/b.c", "h/a/b.c/d", "h/a?", "h/"]
    for order in (keys, keys[::-1]):
        for key in order:
            keep(store, key, key.encode())
        assert [body(store, key) for key in keys] == [key.encode() for key in keys]
        shutil.rmtree(store.root)


def test_long_names(store: Store) -> None:
    """A name longer than a file's may be is stored; a URL longer than a path is not."""
    long, too_long = "example.org/" + "x" * 1000, "example.org/" + "x" * 5000
    keep(store, long, DATA)
    assert body(store, long) == DATA
    assert store.look_up(too_long) is None
    assert store.resume(too_long) is None
    with pytest.raises(StoreError, match="too long"):
        store.begin(too_long, described())


def test_memory_is_bounded(store: Store) -> None:
    """However many files there are, the memory of them is small, and right."""
    store._paths, store._known = Memory(3), Memory(3)
    for key in [f"h/{number}.deb" for number in range(10)]:
        keep(store, key, key.encode())
        assert [body(store, key) for _ in range(2)] == [key.encode()] * 2
    assert max(len(store._paths._values), len(store._known._values)) <= 3


@pytest.mark.parametrize(
    ("fields", "size", "length", "resumed"),
    [
        ([ETAG], 4, 10, True),
        ([MODIFIED], 4, 10, True),
        ([ETAG], 9, 10, True),
        ([(b"ETag", b'W/"one"')], 4, 10, False),
        ([KIND], 4, 10, False),
        ([ETAG], 4, None, False),
        ([ETAG], 0, 10, False),
        ([ETAG], 10, 10, False),
    ],
)
def test_resume(
    store: Store, fields: list[Field], size: int, length: int | None, resumed: bool
) -> None:
    """A partial is continued only if it is known of what version it is and how long that is."""
    leave(store, DATA[:size], *fields, length=length)
    before = os.listdir("/proc/self/fd")
    partial = Store(Path(store.root)).resume(KEY)
    assert (partial is not None) is resumed
    if partial is None:
        assert os.listdir("/proc/self/fd") == before
        return
    assert (partial.size, partial.representation.fields.items) == (size, fields)
    partial.write(DATA[size:])
    store.commit(KEY, partial)
    partial.close()
    assert body(store) == DATA


def test_begin_anew(store: Store) -> None:
    """A new download does not continue what lies there, nor what is another URL's."""
    leave(store, DATA, ETAG, length=20)
    keep(store, KEY, b"new")
    assert body(store) == b"new"
    leave(store, DATA, ETAG, length=20)
    other = "example.org/other.deb"
    assert store.resume(other) is None
    Path(store._partial_path(KEY)).rename(store._partial_path(other))
    assert store.resume(other) is None


def test_lock(store: Store) -> None:
    """Two downloads of one file never write into the same partial."""
    first = store.begin(KEY, described(ETAG, length=len(DATA)))
    first.write(DATA[:4])
    other = Store(Path(store.root))
    assert other.resume(KEY) is None
    second = other.begin(KEY, described(length=5))
    second.write(b"other")
    first.write(DATA[4:])
    other.commit(KEY, second)
    assert body(store) == b"other"
    store.commit(KEY, first)
    assert body(store) == DATA
    first.close()
    second.close()
    assert partials(store) == []


def test_lock_too_late(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial that another process finished between our open and our lock is not ours."""
    leave(store, DATA[:4], ETAG)
    (path,) = partials(store)
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: path.rename(path.with_name("gone")))
    assert store.resume(KEY) is None


def test_lock_of_another_process(store: Store) -> None:
    """A partial that another process has locked is left alone until that one is gone."""
    leave(store, DATA[:4], ETAG)
    (path,) = partials(store)
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert store.resume(KEY) is None
        keep(store, KEY, b"other")
        assert path.read_bytes() == DATA[:4]
    partial = store.resume(KEY)
    assert partial is not None
    partial.close()
