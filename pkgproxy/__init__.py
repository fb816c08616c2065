"""A caching forward HTTP proxy for package downloads.

Three promises, in this order: never wrong bytes; every request is satisfied; one download.

The rooms, from the bottom up; an import may only point to a lower rank:

====  ===========================================================================
rank  room
====  ===========================================================================
0     ``message``: the vocabulary as values; no I/O
1     ``http1``: bytes to heads and back; ``filters`` (with ``builtin``): URL to action;
      ``access``: who may ask; ``store``: bytes on disk; ``barrier``: who leads a key,
      who follows; ``deliver``: a body to a client's socket
2     ``download``: one transfer that feeds all; ``upstream``: asking origins
3     ``cache``: the read path
4     ``proxy``: what a listening port does with a request
5     ``tap``: options and wiring
====  ===========================================================================

A request walks: ``http1.server`` parses it, ``proxy`` sorts it, ``cache`` looks it up in
``store``; if it is not there one client leads at the ``barrier`` and asks ``upstream``,
whose answer becomes a ``download``; ``deliver`` sends what is in the file to everybody
who waits.

The one idea: a cached file and a download in progress are the same thing to a reader, a
file of which ``size`` bytes may be read now (``message.body.Body``).
"""

__version__ = "0.1.0"
