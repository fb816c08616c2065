"""apt with a state of its own, and a small Debian repository made for a test."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.process import environment


class Apt:
    """A fresh client: nothing downloaded yet, nothing installed."""

    def __init__(self, directory: Path, proxy: str, sources: Path | None = None) -> None:
        for part in ("state/lists/partial", "cache/archives/partial"):
            (directory / part).mkdir(parents=True)
        (directory / "status").touch()
        self.directory = directory
        options = {
            "Dir::State": directory / "state",
            "Dir::State::status": directory / "status",
            "Dir::Cache": directory / "cache",
            "Acquire::http::Proxy": proxy,
            "Acquire::Retries": "0",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
        }
        if sources is not None:
            options |= {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "-"}
        self._options = [f"-o{name}={value}" for name, value in options.items()]

    def run(self, *arguments: str, timeout: float = 300) -> str:
        """apt-get with these arguments; its output. Raises AssertionError."""
        done = subprocess.run(
            ["apt-get", "-q", "-y", *self._options, *arguments],
            capture_output=True, text=True, timeout=timeout, check=False,
            env=environment(LC_ALL="C", DEBIAN_FRONTEND="noninteractive"),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, *packages: str) -> list[str]:
        """Download packages and what they need; apt checks their hashes. Their files."""
        self.run("install", "--download-only", "--no-install-recommends", *packages)
        archives = (self.directory / "cache" / "archives").glob("*.deb")
        return sorted(path.name for path in archives)


class Repository:
    """A repository of small packages, served over loopback."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.requests: list[tuple[str, str, int]] = []
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self._published = 1_600_000_000
        self._connections: list[socket.socket] = []

    def add(self, name: str, version: str, size: int = 20_000) -> None:
        """Build a package into the pool."""
        tree = self.directory / "build" / f"{name}_{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
            f"Maintainer: Test <test@example.org>\nDescription: {name}\n"
        )
        (tree / "payload").write_bytes((name + version).encode() * (size // 10))
        pool = self.directory / "www" / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        file = pool / f"{name}_{version}_all.deb"
        build = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(file)]
        subprocess.run(build, check=True, capture_output=True)

    def publish(self) -> None:
        """Write the indexes as they are now."""
        www = self.directory / "www"
        binary = www / "dists" / "stable" / "main" / "binary-amd64"
        binary.mkdir(parents=True, exist_ok=True)
        packages = self._ftparchive("packages", "pool")
        (binary / "Packages").write_bytes(packages)
        subprocess.run(["gzip", "-kf", str(binary / "Packages")], check=True)
        release = ["-o", "APT::FTPArchive::Release::Suite=stable",
                   "-o", "APT::FTPArchive::Release::Components=main",
                   "-o", "APT::FTPArchive::Release::Architectures=amd64"]  # fmt: skip
        suite = www / "dists" / "stable"
        for name in ("Release", "InRelease"):
            (suite / name).unlink(missing_ok=True)
        (suite / "Release").write_bytes(self._ftparchive(*release, "release", "dists/stable"))
        self._gpg("--clearsign", "-o", str(suite / "InRelease"), str(suite / "Release"))
        # Last-Modified knows whole seconds only, and two of these may fall into one.
        self._published += 1
        for file in suite.rglob("*"):
            os.utime(file, (self._published, self._published))

    def _gpg(self, *arguments: str) -> None:
        home = self.directory / "gpg"
        home.mkdir(mode=0o700, exist_ok=True)
        command = ["gpg", "--homedir", str(home), "--batch", "--yes", "--passphrase", ""]
        subprocess.run([*command, *arguments], check=True, capture_output=True)

    def make_key(self) -> None:
        """The key that signs."""
        self._gpg("--quick-gen-key", "test@example.org", "ed25519", "sign")
        self._gpg("--export", "-o", str(self.directory / "key.gpg"))

    def forget_key(self) -> None:
        """End the agent that gpg left running."""
        kill = ["gpgconf", "--homedir", str(self.directory / "gpg"), "--kill", "all"]
        subprocess.run(kill, check=True, capture_output=True)

    def _ftparchive(self, *arguments: str) -> bytes:
        return subprocess.run(
            ["apt-ftparchive", *arguments],
            cwd=self.directory / "www", check=True, capture_output=True,
        ).stdout  # fmt: skip

    def sources(self) -> Path:
        """A sources.list that names this repository."""
        file = self.directory / "sources.list"
        file.write_text(
            f"deb [signed-by={self.directory}/key.gpg arch=amd64] "
            f"http://127.0.0.1:{self._port}/ stable main\n"
        )
        return file

    def start(self) -> None:
        """Serve; the second time at the same port."""
        www, requests = str(self.directory / "www"), self.requests
        connections = self._connections

        class Recording(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_request(self, code: object = "-", size: object = "-") -> None:
                requests.append((self.command, self.path, int(str(getattr(code, "value", code)))))

            def log_message(self, format: str, *args: object) -> None:
                pass

            def setup(self) -> None:
                super().setup()
                connections.append(self.connection)

        self._server = ThreadingHTTPServer(
            ("127.0.0.1", self._port), lambda *args: Recording(*args, directory=www)
        )
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and end those there are."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()
