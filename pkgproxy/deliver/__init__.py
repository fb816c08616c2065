"""A body, or ranges of it, to the client's socket; relays for what is not stored.

``plan`` decides status, head and parts of an answer from what the request says of ranges
and conditions; ``delivery`` sends parts, by sendfile where it can, each as soon as its
bytes are readable; ``relay`` passes on an upstream's body that is not stored.

Hit, joined download, range and streaming miss share this one path.
"""
