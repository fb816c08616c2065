"""The wire: bytes to heads and back, framing, limits, keep-alive, pipelining (RFC 9112).

``server`` is a connection that a client opened (``exchange`` is one request on it,
``limits`` what it may, ``liveness`` whether it is still there), ``client`` one that we
opened to an origin (``upload`` is what we send, ``response`` what comes back).  Both parse
with httptools (llhttp); both stop reading when nobody takes the data.
"""
