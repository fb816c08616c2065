"""Starting and ending the program, as its users do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest

from pkgproxy import __version__
from pkgproxy.tap import default_root, endpoint
from tests.process import PATIENCE, ROOT, Process, environment, start, twistd


def run(command: list[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command, cwd=cwd, env=environment(**more), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip


class Quiet(SimpleHTTPRequestHandler):
    """A static server without a log."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def files(tmp_path: Path) -> Iterator[str]:
    """A plain web server and the URL of a file there."""
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "hello_1.0_all.deb").write_bytes(b"hello")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: Quiet(*args, directory=str(directory))
    )
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hello_1.0_all.deb"
    server.shutdown()
    server.server_close()
    thread.join()


def test_foreground(tmp_path: Path, files: str) -> None:
    """twistd -n pkgproxy -r cache -f filters.txt: says where everything is, serves, ends."""
    process = start(tmp_path, "-r", "cache", "-f", str(ROOT / "examples" / "filters.txt"))
    for _ in range(2):
        with process.get(files) as reply:
            assert reply.read() == b"hello"
    assert process.line(r"Cache root at (.*)")[1] == str(tmp_path / "cache")
    assert int(process.line(r"Rules: (\d+) of yours")[1]) > 9
    process.line(r"127.0.0.1 GET http\S+hello_1.0_all.deb 200 5 \d\.\d{3} hit")
    assert process.stop() == -signal.SIGTERM
    assert not any("Traceback" in line for line in process.lines)


@pytest.mark.parametrize(
    "command",
    [["-m", "pkgproxy"], ["-c", "from twisted.application.twist._twist import Twist; "
      "import sys; Twist.main(sys.argv)", "--log-format=text", "pkgproxy"]],
    ids=["python -m", "twist"],
)  # fmt: skip
def test_other_ways_to_start(tmp_path: Path, files: str, command: list[str]) -> None:
    """python -m pkgproxy and twist pkgproxy do the same."""
    arguments = [*command, "-r", "cache", "-a", "127.0.0.1:0"]
    process = Process([sys.executable, "-u", *arguments], tmp_path)
    with process.get(files) as reply:
        assert reply.read() == b"hello"
    process.stop()
    assert (tmp_path / "cache").is_dir()


def test_daemon(tmp_path: Path, files: str) -> None:
    """As a daemon relative paths mean what the caller meant."""
    (tmp_path / "filters.txt").write_text("/x\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = twistd("--logfile=log", "pkgproxy", "-r", "cache", "-f", "filters.txt",
                     "-a", f"127.0.0.1:{port}")  # fmt: skip
    assert run(command, tmp_path).returncode == 0
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(f"GET {files} HTTP/1.0\r\n\r\n".encode())
            assert client.makefile("rb").read().endswith(b"\r\n\r\nhello")
        assert "hello_1.0_all.deb" in str(list((tmp_path / "cache").rglob("*")))
    finally:
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        os.set_blocking(descriptor, True)
        import select

        assert select.select([descriptor], [], [], PATIENCE)[0]
        os.close(descriptor)


def test_port_in_use(tmp_path: Path) -> None:
    """One clear line and a non-zero status, in the foreground and as a daemon."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for arguments in (["-n", "--pidfile="], ["--logfile=log"]):
            done = run(twistd(*arguments, "pkgproxy", "-r", "c", "-a", address), tmp_path)
            assert done.returncode == 1
            said = done.stdout + done.stderr
            assert f"cannot listen at {address}: Address already in use" in said
            assert "Traceback" not in said
    assert not (tmp_path / "twistd.pid").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-f", "absent.txt"], "absent.txt:0: cannot be read: No such file or directory"),
        (["-f", "bad.txt"], "bad.txt:2: bad regex: "),
        (["-a", "nonsense"], "--address nonsense: expected HOST:PORT"),
        (["-a", ":70000"], "--address :70000: the port"),
        (["-a", "tcp:abc"], "cannot listen at tcp:abc: "),
        (["-a", "strange:x"], "cannot listen at strange:x: "),
        (["-a", "systemd:domain=INET:index=0"], "cannot listen at systemd:domain=INET:index=0: "),
        (["--allow", "10.0.0.0/99"], "pkgproxy: --allow 10.0.0.0/99: "),
        (["-r", ""], "pkgproxy: --root: the name of the directory is empty"),
        (["word"], "pkgproxy: 'word' is not an option"),
        (["--nonsense"], "option --nonsense not recognized"),
    ],
)
def test_bad_options(tmp_path: Path, arguments: list[str], says: str) -> None:
    """A bad value ends the start, and the last line says which and why."""
    (tmp_path / "bad.txt").write_text("# fine\n(\n")
    done = run(twistd("-n", "--pidfile=", "pkgproxy", *arguments), tmp_path)
    assert done.returncode == 1
    assert says in (done.stdout + done.stderr).strip().splitlines()[-1]


def test_version_and_help(tmp_path: Path) -> None:
    """--version is ours; --help names each option with its default."""
    assert run(twistd("pkgproxy", "--version"), tmp_path).stdout == f"pkgproxy {__version__}\n"
    text = run(twistd("pkgproxy", "--help"), tmp_path).stdout
    for option in ("-a, --address=", "-r, --root=", "-f, --filters=", "--allow="):
        assert option in text
    assert text.count("[default:") == 4


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/pkgproxy"}, "/var/cache/pkgproxy"),
        ({"CACHE_DIRECTORY": "/a:/b", "XDG_CACHE_HOME": "/x"}, "/a"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/pkgproxy"),
        ({"HOME": "/h"}, "/h/.cache/pkgproxy"),
    ],
)
def test_default_root(environ: dict[str, str], root: str) -> None:
    """systemd's place, else the user's."""
    assert str(default_root(environ)) == root


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("127.0.0.1:8", "tcp:8:interface=127.0.0.1"),
        ("localhost:8", "tcp:8:interface=localhost"),
        ("[::1]:8", r"tcp6:8:interface=\:\:1"),
        ("unix:/run/p.sock", "unix:/run/p.sock"),
        ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
    ],
)
def test_addresses(text: str, description: str) -> None:
    """HOST:PORT, [::1]:PORT, or any endpoint of Twisted."""
    assert endpoint(text) == description


def test_default_address_is_both_families(tmp_path: Path, files: str) -> None:
    """:PORT listens to IPv4 and IPv6; an IPv4 client is known by its own address."""
    process = Process(
        twistd("-n", "--pidfile=", "pkgproxy", "-r", "c", "-a", ":0", "-a", "unix:p.sock"),
        tmp_path,
    )
    with process.get(files) as reply:
        assert reply.read() == b"hello"
    process.line(r"(?<!:)127\.0\.0\.1 GET http")
    hosts = ["::1", "127.0.0.1"] if os.path.exists("/proc/net/if_inet6") else ["127.0.0.1"]
    for host in hosts:
        with socket.create_connection((host, process.port), PATIENCE) as client:
            client.sendall(b"GET /debug/vars HTTP/1.0\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "p.sock"))
        client.sendall(f"GET {files} HTTP/1.0\r\n\r\n".encode())
        assert client.makefile("rb").read().endswith(b"hello")
    process.stop()


def test_unwritable_root_is_a_loud_warning(tmp_path: Path, files: str) -> None:
    """It proxies without storing, and says so."""
    (tmp_path / "file").write_bytes(b"")
    process = start(tmp_path, "-r", "file/cache")
    with process.get(files) as reply:
        assert reply.read() == b"hello"
    process.line("NOTHING WILL BE STORED: Cannot create")
    process.stop()


def test_wheel_has_the_plugin(tmp_path: Path) -> None:
    """The wheel in a fresh environment: twistd -n pkgproxy --help works from elsewhere."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=True)
    python = str(fresh / "bin" / "python")
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    # The dependencies are this environment's; lines of a .pth are not searched for more
    # of them, so an editable install of ours stays out of sight.
    ours = [p for p in sys.path if p.endswith("site-packages")]
    Path(site, "dependencies.pth").write_text("\n".join(ours))
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    run_twistd = "from twisted.scripts.twistd import run; run()"
    done = subprocess.run(
        [python, "-c", run_twistd, "-n", "pkgproxy", "--help"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={n: v for n, v in os.environ.items() if n != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--address=" in done.stdout


def test_one_fast_client_does_not_stop_the_others(tmp_path: Path, files: str) -> None:
    """Who takes a large file as fast as it comes gets his share of each turn, not all of it."""
    process = start(tmp_path, "-r", "cache")
    process.line("Listening at")
    large = tmp_path / "cache" / "example.org" / "large_1.0_all.deb"
    large.parent.mkdir(parents=True)
    with large.open("wb") as file:
        file.truncate(8 << 30)
    with process.get(files) as reply:
        reply.read()
    ended = Event()
    taken = []

    def drain() -> None:
        with socket.create_connection(("127.0.0.1", process.port), PATIENCE) as client:
            client.sendall(b"GET http://example.org/large_1.0_all.deb HTTP/1.0\r\n\r\n")
            buffer = bytearray(1 << 22)
            while not ended.is_set() and (count := client.recv_into(buffer)):
                taken.append(count)

    thread = Thread(target=drain)
    thread.start()
    slowest = 0.0
    for _ in range(50):
        began = monotonic()
        with process.get(files) as reply:
            assert reply.read() == b"hello"
        slowest = max(slowest, monotonic() - began)
    still_busy = sum(taken) < 8 << 30
    ended.set()
    thread.join()
    process.stop()
    assert taken
    assert still_busy
    assert slowest < 0.5
