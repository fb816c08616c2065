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


def can_half_close(transport: Any) -> bool:
    """Whether one direction can be closed alone. TLS passes the attempt on to the socket
    beneath it, before what it still has to send.
    """
    return isinstance(transport, Connection) and not transport.TLS


def _socket_of(transport: Any) -> Connection | None:
    """The connection beneath all layers, while it is one."""
    while not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
        if transport is None:
            return None
    return transport if transport.connected else None


def unsent_bytes(transport: Any) -> int:
    """Bytes of answers that the client has not acknowledged, buffered here or in the kernel;
    0 for what is no socket.
    """
    connection = _socket_of(transport)
    if connection is None:
        return 0
    queued = int.from_bytes(ioctl(connection.fileno(), TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)
    return queued + len(connection.dataBuffer) + connection._tempDataLen


def is_dead(transport: Any) -> bool:
    """Whether the kernel knows that the other side is gone."""
    connection = _socket_of(transport)
    if connection is None or not ITCPTransport.providedBy(connection):
        return False
    info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] == _TCP_CLOSE
