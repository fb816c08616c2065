"""The vocabulary as values. No I/O, no reactor; it imports nothing of ours.

=============  ==================================================================
``target``     the absolute URL of a request and the key of its file
``fields``     header sections: ordered, repeated, hop-by-hop
``heads``      request and response heads, Cache-Status, what describes a body
``ranges``     Range and Content-Range
``conditions`` If-None-Match, If-Modified-Since, If-Range
``body``       what a reader sees of a stored file or of a download in progress
``memory``     what was computed once for a URL
``errors``     the error tree
=============  ==================================================================
"""
