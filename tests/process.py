"""The program as a user starts it: a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

#: Seconds until a process must have done what it is waited for.
PATIENCE = 30


def environment(**more: str) -> dict[str, str]:
    """Ours, with the checkout importable and no proxy of the machine's."""
    kept = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def twistd(*arguments: str) -> list[str]:
    """A command line for twistd."""
    run = "from twisted.scripts.twistd import run; run()"
    return [sys.executable, "-c", run, *arguments]


class Process:
    """A server that writes its log to its standard output."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env or environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grown:
                self.lines.append(line.rstrip("\n"))
                self._grown.notify_all()
        self.process.stdout.close()

    def line(self, pattern: str) -> re.Match[str]:
        """The first line of the log in which a regex is found; waits for it."""
        seen: list[re.Match[str]] = []

        def found() -> bool:
            seen.extend(m for m in (re.search(pattern, line) for line in self.lines) if m)
            return bool(seen)

        with self._grown:
            assert self._grown.wait_for(found, PATIENCE), "\n".join(self.lines)
        return seen[0]

    @property
    def port(self) -> int:
        """The port that was really bound."""
        return int(self.line(r"Listening at \S+:(\d+)(?: |$)")[1])

    @property
    def url(self) -> str:
        """What a client is told."""
        return f"http://127.0.0.1:{self.port}/"

    def counters(self) -> dict[str, int]:
        """What /debug/vars says."""
        with open_directly(f"{self.url}debug/vars") as reply:
            counters: dict[str, int] = json.load(reply)
        return counters

    def settle(self) -> int:
        """Wait until all that was answered so far is in the log; the number of its lines."""
        mark = f"/settled-{len(self.lines)}-{self.counters()['inProgress']}"
        with contextlib.suppress(urllib.error.HTTPError):
            open_directly(self.url + mark[1:])
        self.line(mark)
        return len(self.lines)

    def get(self, url: str) -> Any:
        """A GET through this proxy."""
        handler = urllib.request.ProxyHandler({"http": self.url})
        return urllib.request.build_opener(handler).open(url, timeout=PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        return status


def open_directly(url: str) -> Any:
    """A GET without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(url, timeout=PATIENCE)


def start(cwd: Path, *arguments: str, env: dict[str, str] | None = None) -> Process:
    """twistd in the foreground on a free port of loopback."""
    return Process(
        twistd("-n", "--pidfile=", "pkgproxy", "-a", "127.0.0.1:0", *arguments), cwd, env
    )
