"""Whether the other side of a socket is still there, as the kernel sees it."""

from __future__ import annotations

import socket
import sys
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.tcp import Connection

_TCP_CLOSE = 7  # linux/tcp_states.h


def unsent_bytes(transport: Any) -> int:
    """Bytes of answers that the client has not acknowledged, buffered here or in the kernel;
    0 for what is not a plain socket.
    """
    if not isinstance(transport, Connection) or transport.TLS or not transport.connected:
        return 0
    queued = ioctl(transport.fileno(), TIOCOUTQ, b"\0\0\0\0")
    return int.from_bytes(queued, sys.byteorder) + len(transport.dataBuffer)


def is_dead(transport: Any) -> bool:
    """Whether the kernel knows that the other side is gone."""
    if not isinstance(transport, Connection) or not ITCPTransport.providedBy(transport):
        return False
    if not transport.connected:
        return False
    info = transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] == _TCP_CLOSE
