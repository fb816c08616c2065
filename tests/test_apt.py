"""Real apt through the proxy: the second client gets its packages from disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apt import Apt, Repository
from tests.process import Process, start

NAMES = [f"pkg{number}" for number in range(20)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    """A proxy as a process."""
    process = start(tmp_path, "-r", "cache")
    yield process
    process.stop()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """Twenty packages."""
    repository = Repository(tmp_path / "repository")
    repository.directory.mkdir()
    repository.make_key()
    for name in NAMES:
        repository.add(name, "1.0+b1")
    repository.publish()
    repository.start()
    yield repository
    repository.stop()
    repository.forget_key()


def package_requests(repository: Repository) -> list[str]:
    return [path for _, path, _ in repository.requests if path.endswith(".deb")]


def test_second_client_is_served_from_disk(
    tmp_path: Path, server: Process, repository: Repository
) -> None:
    """Update and download twice with fresh clients: each package is asked upstream once, each
    index the second time only whether it changed.
    """
    sources = repository.sources()
    first = Apt(tmp_path / "one", server.url, sources)
    first.run("update")
    assert len(first.install(*NAMES)) == 20
    before, asked = server.counters(), len(repository.requests)
    second = Apt(tmp_path / "two", server.url, sources)
    second.run("update")
    assert len(second.install(*NAMES)) == 20
    after = server.counters()
    assert len(package_requests(repository)) == 20
    assert after["hits"] - before["hits"] >= 20
    assert after["statsDownBytes"] - before["statsDownBytes"] < 5000
    later = repository.requests[asked:]
    assert {(path, status) for _, path, status in later if status != 404} == {
        ("/dists/stable/InRelease", 304), ("/dists/stable/main/binary-amd64/Packages.gz", 304),
    }  # fmt: skip
    server.line(r"GET \S+pkg0_1\.0%2bb1_all\.deb 200 \d+ \S+ hit")


def test_changed_index_is_seen_at_once(
    tmp_path: Path, server: Process, repository: Repository
) -> None:
    """A new package in the repository is there at the next apt-get update."""
    client = Apt(tmp_path / "one", server.url, repository.sources())
    client.run("update")
    repository.add("fresh", "2.0")
    repository.publish()
    client.run("update")
    assert any(name.startswith("fresh_2.0") for name in client.install("fresh"))


def test_origin_is_down(tmp_path: Path, server: Process, repository: Repository) -> None:
    """Without the origin update and the download of stored packages still work, marked stale."""
    sources = repository.sources()
    first = Apt(tmp_path / "one", server.url, sources)
    first.run("update")
    first.install(*NAMES)
    repository.stop()
    second = Apt(tmp_path / "two", server.url, sources)
    second.run("update")
    assert len(second.install(*NAMES)) == 20
    assert server.counters()["stale"] > 0
    server.line(r"InRelease 200 .*detail=stale-if-error")


@pytest.mark.registry
def test_the_machines_own_sources(tmp_path: Path, server: Process) -> None:
    """With the sources that this machine is configured for: at least 20 packages, twice; the
    second time all hits and not one package byte from upstream.
    """
    packages = ("openssh-client", "curl", "less")
    first = Apt(tmp_path / "one", server.url)
    first.run("update")
    files = first.install(*packages)
    assert len(files) >= 20
    seen = server.settle()
    second = Apt(tmp_path / "two", server.url)
    second.run("update")
    updated = server.counters()
    assert second.install(*packages) == files
    after = server.counters()
    assert after["statsDownBytes"] == updated["statsDownBytes"]
    assert after["misses"] == updated["misses"]
    assert after["hits"] - updated["hits"] == len(files)
    server.settle()
    later = [line for line in server.lines[seen:] if ".deb " in line]
    assert len(later) == len(files)
    assert all(line.endswith(" hit") for line in later)
    indexes = [line for line in server.lines[seen:] if "InRelease" in line]
    # Where the source sends validators they are used; some send a length only.
    assert indexes
    assert all(re.search(r"fwd=request; fwd-status=(304|200)", line) for line in indexes)
