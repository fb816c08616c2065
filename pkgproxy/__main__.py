"""``python -m pkgproxy``: twistd in the foreground, without a pid file."""

from __future__ import annotations

import sys

from twisted.scripts import twistd

if __name__ == "__main__":
    sys.argv[:] = ["twistd", "--nodaemon", "--pidfile=", "pkgproxy", *sys.argv[1:]]
    twistd.run()
