"""The ``twistd`` options and the service: reads options, builds, wires."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options as BaseOptions

from pkgproxy import __version__
from pkgproxy.access import DEFAULT_CLIENTS, ClientNetworks, parse_networks
from pkgproxy.cache import Cache
from pkgproxy.cache.answer import Counters
from pkgproxy.filters import Rules, load_rules
from pkgproxy.http1.limits import TICK
from pkgproxy.http1.server import ServerFactory
from pkgproxy.message.errors import RulesError, StoreError
from pkgproxy.proxy import Proxy
from pkgproxy.store import Store
from pkgproxy.upstream import HostConnector, Upstream

DEFAULT_ADDRESS = ":9999"

_HOST_PORT = re.compile(r"(?:(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]*):)([0-9]{1,5})")


class CannotStart(SystemExit, Exception):
    """Ends the start with one line instead of a traceback.

    As an Exception it is reported by twistd's daemon to the process that waits for it; as
    a SystemExit its text is all that the terminal shows.
    """


class Options(BaseOptions):
    """The command line of ``twistd pkgproxy``."""

    synopsis = "[options]"
    longdesc = (
        "A caching forward HTTP proxy for package downloads. Point http_proxy, or apt's "
        "Acquire::http::Proxy, at its address."
    )

    def __init__(self) -> None:
        super().__init__()
        self["addresses"] = []
        self["networks"] = []
        self["root"] = None
        self["filters"] = None

    def opt_address(self, text: str) -> None:
        """Where to listen: HOST:PORT, :PORT, [::1]:PORT, or a Twisted endpoint such as unix:/run/pkgproxy.sock. May be repeated. [default: :9999, IPv4 and IPv6]"""  # noqa: E501
        self["addresses"].append(text)

    def opt_root(self, text: str) -> None:
        """The cache directory, created if it is missing. [default: $CACHE_DIRECTORY, else $XDG_CACHE_HOME/pkgproxy, else ~/.cache/pkgproxy]"""  # noqa: E501
        if not text:
            raise CannotStart("pkgproxy: --root: the name of the directory is empty")
        self["root"] = Path(text).absolute()

    def opt_filters(self, text: str) -> None:
        """The rules file: one regex a line, never stored, or an action (cache, auto, revalidate, pass, deny) and a regex. [default: the built-in rules only]"""  # noqa: E501
        self["filters"] = Path(text).absolute()

    def opt_allow(self, text: str) -> None:
        """A network in CIDR notation whose hosts may use the proxy. May be repeated. [default: loopback, RFC 1918, link-local and unique local addresses]"""  # noqa: E501
        self["networks"].append(text)

    def opt_version(self) -> None:
        """Print pkgproxy's version and end."""
        sys.stdout.write(f"pkgproxy {__version__}\n")
        raise SystemExit(0)

    opt_a = opt_address
    opt_r = opt_root
    opt_f = opt_filters

    def postOptions(self) -> None:
        """Check what can be checked before the start. Raises CannotStart."""
        try:
            addresses = self["addresses"] or [DEFAULT_ADDRESS]
            self["endpoints"] = [(text, endpoint(text)) for text in addresses]
            networks = self["networks"] or DEFAULT_CLIENTS
            self["clients"] = ClientNetworks(parse_networks(networks))
            self["rules"] = load_rules(self["filters"]) if self["filters"] else Rules()
        except ValueError as error:
            raise CannotStart(f"pkgproxy: {error}") from None
        except RulesError as error:
            raise CannotStart(str(error)) from None
        self["root"] = self["root"] or default_root(dict(os.environ))

    def parseArgs(self, *words: str) -> None:
        """There are none beside the options."""
        if words:
            raise CannotStart(f"pkgproxy: {words[0]!r} is not an option; see --help")


def default_root(environ: dict[str, str]) -> Path:
    """Where the cache is when nothing says where: systemd's place, else the user's."""
    for name, below in (("CACHE_DIRECTORY", ""), ("XDG_CACHE_HOME", "pkgproxy")):
        value = environ.get(name, "").partition(":")[0]
        if value:
            return Path(value, below).absolute()
    return Path(environ.get("HOME") or "~", ".cache", "pkgproxy").expanduser().absolute()


def endpoint(text: str) -> str:
    """The Twisted endpoint description for an --address. Raises ValueError."""
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        if re.match("[a-z0-9]+:.", text):
            return text  # an endpoint; whether there is such a one is seen when it is made
        raise ValueError(f"--address {text}: expected HOST:PORT, :PORT (as :9999) or an endpoint")
    host, port = match[1].strip("[]"), int(match[2])
    if port > 65535:
        raise ValueError(f"--address {text}: the port is not between 0 and 65535")
    if not host:
        # One socket for both families where the kernel has IPv6, else IPv4.
        return f"tcp6:{port}:interface=\\:\\:" if _has_ipv6() else f"tcp:{port}"
    escaped = host.replace(":", "\\:")
    return f"tcp{6 if ':' in host else ''}:{port}:interface={escaped}"


def _has_ipv6() -> bool:
    try:
        return bool(Path("/proc/net/if_inet6").read_text())
    except OSError:
        return False


class ProxyService(MultiService):
    """Everything that runs, and its beginning and end."""

    def __init__(self, options: Options, reactor: Any) -> None:
        super().__init__()
        self._log = Logger(namespace="pkgproxy")
        self.setName("pkgproxy")
        self._reactor = reactor
        self._root = options["root"]
        self._rules = options["rules"]
        self._endpoints: list[tuple[str, str]] = options["endpoints"]
        self._ports: list[IListeningPort] = []
        counters = Counters()
        connector = HostConnector(reactor)
        self._store = Store(self._root)
        self._upstream = Upstream(reactor, connector, counters.received)
        cache = Cache(self._store, self._upstream, counters, time.time)
        self._proxy = Proxy(
            self._rules, options["clients"], cache, counters, connector, reactor, time.time
        )
        self._factory = ServerFactory(self._proxy.answer, reactor.seconds)
        TimerService(TICK, self._factory.tick).setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Bind the ports, while that is still allowed. Raises CannotStart."""
        super().privilegedStartService()
        for address, description in self._endpoints:
            failures: list[Failure] = []
            waiting = maybeDeferred(self._listen, description)
            waiting.addCallbacks(self._ports.append, failures.append)
            if failures:
                error = getattr(failures[0].value, "socketError", failures[0].value)
                reason = getattr(error, "strerror", None) or error
                if isinstance(error, IndexError):
                    reason = "no such socket was inherited"
                # twistd's daemon shows no more than 100 bytes of it.
                raise CannotStart(f"cannot listen at {address}: {reason}")

    def _listen(self, description: str) -> Deferred[IListeningPort]:
        waiting: Deferred[IListeningPort] = serverFromString(self._reactor, description).listen(
            self._factory
        )
        return waiting

    def startService(self) -> None:
        """Say where everything is; a root that cannot be written is not the end."""
        if not self._ports:
            self.privilegedStartService()  # twist knows no privileges
        super().startService()
        try:
            self._store.prepare()
            self._log.info("Cache root at {root}", root=str(self._root))
        except StoreError as error:
            self._log.warn("NOTHING WILL BE STORED: {error}", error=error)
        self._log.info("Rules: {count} of yours, then the built-in ones", count=self._rules.count)
        for port in self._ports:
            self._log.info("Listening at {address}", address=shown(port.getHost()))

    def stopService(self) -> Deferred[Any]:
        """Stop listening and end all connections."""
        stopping: list[Deferred[Any]] = [maybeDeferred(super().stopService)]
        stopping += [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports = []
        for connection in tuple(self._factory.connections):
            connection.transport.abortConnection()
        self._upstream.close()
        self._proxy.close()
        return gatherResults(stopping)


def shown(address: object) -> str:
    """An address as one would write it in a URL, or a socket's path."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        return os.fsdecode(getattr(address, "name", None) or str(address))
    if host == "::":
        return f"[::]:{port} (IPv4 too)"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def makeService(options: Options) -> ProxyService:
    """The service for some options; the name is twistd's."""
    return ProxyService(options, global_reactor)
