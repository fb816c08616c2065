"""The wire: bytes to heads and back, framing, limits, keep-alive, pipelining (RFC 9112).

``server`` is a connection that a client opened, ``client`` one that we opened to an
origin.  Both parse with httptools (llhttp); both stop reading when nobody takes the data.
"""
