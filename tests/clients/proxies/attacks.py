"""Requests that hide another one: what two servers in a row have read differently before.

By the number of the row in docs/security.md, and a word: the bytes. `HIDDEN` publishes to the topic
that every proxy in fronts.py refuses, so it arrives only where somebody was deceived.
"""

HIDDEN = b"POST /topics/smuggled HTTP/1.1\r\nHost: tidings\r\nContent-Length: 6\r\n\r\nhidden"
# The end of a chunked body, then HIDDEN: for one who reads chunks the request ends in its middle.
ENDED = b"0\r\n\r\n" + HIDDEN


def post(*lines, body=b"", line=b"POST /topics/front HTTP/1.1"):
    return b"\r\n".join([line, b"Host: tidings", *lines, b"", body])


def length(body):
    return b"Content-Length: %d" % len(body)


def chunk(data, size=None):
    size = b"%x" % len(data) if size is None else size
    return size + b"\r\n" + data + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked"


def chunked(body):
    return post(CHUNKED, body=body)


def encoding(value):
    """A Transfer-Encoding that only some take for chunked, beside a length that covers all."""
    return post(length(ENDED), b"Transfer-Encoding: " + value, body=ENDED)


def field(line):
    """A line that some read as `Transfer-Encoding: chunked`, beside a length that covers all."""
    return post(length(ENDED), line, body=ENDED)


def lengths(*values):
    """Content-Length lines; one who takes any of them for 0 sees HIDDEN next."""
    return post(*(b"Content-Length: " + value for value in values), body=HIDDEN)


def with_body(method):
    line = method + b" /topics/front HTTP/1.1"
    return post(length(HIDDEN), body=HIDDEN, line=line)


ALL_OF_IT = b"%d" % len(HIDDEN)
HANDSHAKE = (
    *(b"Connection: Upgrade", b"Upgrade: websocket"),
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SOCKET = b"GET /topics/front HTTP/1.1"

REQUEST_LINES = {
    "012 bare CR in the request line": b"GET /healthz HTTP/1.1\rX: y\r\nHost: tidings\r\n\r\n"
    + HIDDEN,
    "012 LF ends the request line": b"GET /healthz HTTP/1.1\nHost: tidings\r\n\r\n" + HIDDEN,
    "017 HTTP/0.9": b"GET /healthz\r\n" + HIDDEN,
    "019 empty lines first": b"\r\n\r\n" + post(length(HIDDEN), body=HIDDEN),
}

FIELDS = {
    "031 space before the colon": field(b"Transfer-Encoding : chunked"),
    "031 tab before the colon": field(b"Transfer-Encoding\t: chunked"),
    "032 empty name": field(b": x\r\nTransfer-Encoding: chunked"),
    "033 no colon": field(b"Transfer-Encoding chunked"),
    "034 NUL in a name": field(b"Transfer-Encoding\0: chunked"),
    "034 brackets in a name": field(b"Transfer[Encoding]: chunked"),
    "034 high byte in a name": field(b"Transfer\xadEncoding: chunked"),
    "034 underscore": field(b"Transfer_Encoding: chunked"),
    "035 folded value": field(b"Transfer-Encoding:\r\n chunked"),
    "035 folded into another": field(b"X: y\r\n Transfer-Encoding: chunked"),
    "036 white space first": post(line=b"POST /topics/front HTTP/1.1\r\n X: y") + HIDDEN,
    "037 bare CR in a value": field(b"X: y\rTransfer-Encoding: chunked"),
    "037 bare LF in a value": field(b"X: y\nTransfer-Encoding: chunked"),
    "037 NUL in a value": field(b"X: y\0\r\nTransfer-Encoding\0: chunked"),
    "040 CR CR LF": field(b"X: y\r\r\nTransfer-Encoding: chunked"),
    "040 CR CR LF ends the head": b"GET /healthz HTTP/1.1\r\nHost: tidings\r\n\r\r\n" + HIDDEN,
    "041 LF everywhere": field(b"X: y").replace(b"\r\n", b"\n"),
    "041 LF ends the head": b"GET /healthz HTTP/1.1\r\nHost: tidings\n\n" + HIDDEN,
}

LENGTHS = {
    "052 two lengths": lengths(ALL_OF_IT, b"0"),
    "052 two lengths, the other way": lengths(b"0", ALL_OF_IT),
    "052 a list": lengths(ALL_OF_IT + b", 0"),
    "052 twice the same": lengths(ALL_OF_IT, ALL_OF_IT),
    "052 a list of the same": lengths(ALL_OF_IT + b", " + ALL_OF_IT),
    "053 plus": lengths(b"+" + ALL_OF_IT),
    "053 minus": lengths(b"-0"),
    "053 hexadecimal": lengths(b"0x%x" % len(HIDDEN)),
    "053 fraction": lengths(ALL_OF_IT + b".0"),
    "053 two numbers": lengths(ALL_OF_IT + b" 0"),
    "053 underscore": lengths(b"7_1"),
    "053 letters": lengths(b"abc"),
    "053 empty": lengths(b""),
    "053 leading zeros": lengths(b"000" + ALL_OF_IT),
    "053 vertical tab": lengths(b"\x0b" + ALL_OF_IT),
    "054 2^63": lengths(b"%d" % 2**63),
    "054 2^64": lengths(b"%d" % 2**64),
    "054 2^64 and the length": lengths(b"%d" % (2**64 + len(HIDDEN))),
    "054 2^32 and the length": lengths(b"%d" % (2**32 + len(HIDDEN))),
}

ENCODINGS = {
    "051 length and chunked": field(CHUNKED),
    "051 chunked and length": post(CHUNKED, length(ENDED), body=ENDED),
    "051 length within chunked": post(
        b"Content-Length: 4", CHUNKED, body=chunk(HIDDEN) + b"0\r\n\r\n"
    ),
    "056 chunked, gzip": encoding(b"chunked, gzip"),
    "056 chunked, identity": encoding(b"chunked, identity"),
    "057 gzip": encoding(b"gzip"),
    "057 identity": encoding(b"identity"),
    "057 xchunked": encoding(b"xchunked"),
    "057 chunkedx": encoding(b"chunkedx"),
    "057 quoted": encoding(b'"chunked"'),
    "057 parameter": encoding(b"chunked;a=b"),
    "057 comma first": encoding(b",chunked"),
    "057 empty": encoding(b""),
    "057 unknown alone": post(b"Transfer-Encoding: xchunked", body=ENDED),
    "057 identity alone": post(b"Transfer-Encoding: identity", body=ENDED),
    "057 empty alone": post(b"Transfer-Encoding:", body=ENDED),
    "058 twice": post(CHUNKED, CHUNKED, body=chunk(HIDDEN) + b"0\r\n\r\n"),
    "058 twice in a list": post(CHUNKED + b", chunked", body=chunk(HIDDEN) + b"0\r\n\r\n"),
    "058 second line unknown": post(CHUNKED, b"Transfer-Encoding: x", body=ENDED),
    "059 vertical tab": encoding(b"\x0bchunked"),
    "059 no-break space": encoding(b"\xa0chunked"),
    "059 next line": encoding(b"chunked\x85"),
    "060 HTTP/1.0": post(CHUNKED, body=ENDED, line=b"POST /topics/front HTTP/1.0"),
    "060 HTTP/1.0, kept": post(
        *(b"Connection: keep-alive", length(ENDED), CHUNKED),
        body=ENDED,
        line=b"POST /topics/front HTTP/1.0",
    ),
    "061 upper case": post(b"TRANSFER-ENCODING: CHUNKED", body=chunk(HIDDEN) + b"0\r\n\r\n"),
    "046 named in Connection": post(
        b"Connection: Transfer-Encoding, Content-Length", CHUNKED, body=chunk(HIDDEN) + b"0\r\n\r\n"
    ),
    "046 length named in Connection": post(
        b"Connection: Content-Length", length(HIDDEN), body=HIDDEN
    ),
}

# A chunk whose size some read as 0 or as less, so that HIDDEN follows; or that hides the end.
CHUNKS = {
    "061 hidden in a chunk": chunked(chunk(HIDDEN) + b"0\r\n\r\n"),
    "062 no size": chunked(b"\r\n\r\n" + HIDDEN),
    "062 extension without a size": chunked(b";a=b\r\n\r\n" + HIDDEN),
    "062 space for a size": chunked(b" \r\n\r\n" + HIDDEN),
    "063 0x": chunked(chunk(HIDDEN, b"0x%x" % len(HIDDEN)) + b"0\r\n\r\n"),
    "063 plus": chunked(chunk(HIDDEN, b"+%x" % len(HIDDEN)) + b"0\r\n\r\n"),
    "063 minus": chunked(chunk(HIDDEN, b"-0") + b"0\r\n\r\n"),
    "063 underscore": chunked(chunk(HIDDEN, b"0_5") + b"0\r\n\r\n"),
    "063 letter behind": chunked(chunk(HIDDEN, b"%xg" % len(HIDDEN)) + b"0\r\n\r\n"),
    "063 space first": chunked(chunk(HIDDEN, b" %x" % len(HIDDEN)) + b"0\r\n\r\n"),
    "063 space behind": chunked(chunk(HIDDEN, b"%x " % len(HIDDEN)) + b"0\r\n\r\n"),
    "064 2^64": chunked(chunk(HIDDEN, b"1" + b"0" * 16)),
    "064 2^64 and the size": chunked(chunk(HIDDEN, b"1%016x" % len(HIDDEN)) + b"0\r\n\r\n"),
    "064 2^32 and the size": chunked(chunk(HIDDEN, b"1%08x" % len(HIDDEN)) + b"0\r\n\r\n"),
    "064 all ones": chunked(chunk(HIDDEN, b"f" * 16)),
    "065 zeros first": chunked(chunk(HIDDEN, b"0" * 16 + b"%x" % len(HIDDEN)) + b"0\r\n\r\n"),
    "066 LF behind the size": chunked(b"5\nhello\r\n0\r\n\r\n" + HIDDEN),
    "066 LF behind the data": chunked(b"5\r\nhello\n0\r\n\r\n" + HIDDEN),
    "066 LF behind the last": chunked(b"5\r\nhello\r\n0\n\n" + HIDDEN),
    "067 LF in an extension": chunked(b"5;a\nhello\r\n0\r\n\r\n" + HIDDEN),
    # One who ends the line at LF reads two chunks and the end of the body; one at CRLF, a chunk.
    "067 LF in an extension, two ways": chunked(
        b"2;\nxx\r\n%x\r\n0\r\n\r\n" % (len(HIDDEN) + 5) + HIDDEN + b"\r\n0\r\n\r\n"
    ),
    "067 CR in an extension": chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "067 NUL in an extension": chunked(b"5;\0\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "068 CR X behind the size": chunked(b"5\rXhello\r\n0\r\n\r\n" + HIDDEN),
    "068 no CRLF behind the data": chunked(b"5\r\nhelloXX0\r\n\r\n" + HIDDEN),
    "068 more data than the size": chunked(b"5\r\nhello, and more\r\n0\r\n\r\n" + HIDDEN),
    "069 long extension": chunked(b"5;a=" + b"b" * 20_000 + b"\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "071 extension in quotes": chunked(b'5;a="b;c";d\r\nhello\r\n0\r\n\r\n'),
    "072 length in a trailer": chunked(b"5\r\nhello\r\n0\r\nContent-Length: 70\r\n\r\n") + HIDDEN,
    "072 bad trailer": chunked(b"5\r\nhello\r\n0\r\nX : y\r\n\r\n" + HIDDEN),
    "072 LF in a trailer": chunked(b"5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n" + HIDDEN),
}

BODIES = {
    "073 the body ends early": post(b"Content-Length: 500", body=HIDDEN),
    "073 the chunk ends early": chunked(b"1f4\r\n" + HIDDEN),
    "074 GET": with_body(b"GET"),
    "074 HEAD": with_body(b"HEAD"),
    "074 DELETE": with_body(b"DELETE"),
    "074 OPTIONS": with_body(b"OPTIONS"),
    "074 GET, chunked": post(CHUNKED, body=chunk(HIDDEN) + b"0\r\n\r\n", line=SOCKET),
    "075 404 before the body": post(length(HIDDEN), body=HIDDEN, line=b"POST /nowhere HTTP/1.1"),
    "075 405 before the body": post(length(HIDDEN), body=HIDDEN, line=b"POST /healthz HTTP/1.1"),
    "075 415 before the body": post(b"Content-Encoding: gzip", length(HIDDEN), body=HIDDEN),
    "075 413 before the body": post(
        CHUNKED, body=chunk(b"x" * 1_100_000) + chunk(HIDDEN) + b"0\r\n\r\n"
    ),
    "075 400, body of the longest that is dropped": post(
        length(HIDDEN * 1000), body=HIDDEN * 1000, line=b"POST /topics/%00 HTTP/1.1"
    ),
    "076 behind a malformed one": post(b"Content-Length: x") + HIDDEN,
    "077 CRLF behind the body": post(b"Content-Length: 5", body=b"hello\r\n"),
    "085 expectation": post(b"Expect: 100-continue", length(HIDDEN), body=HIDDEN),
    "085 expectation on GET": post(
        b"Expect: 100-continue", length(HIDDEN), body=HIDDEN, line=SOCKET
    ),
    "085 unknown expectation": post(b"Expect: x", length(HIDDEN), body=HIDDEN),
    "085 twice": post(
        b"Expect: 100-continue", b"Expect: 100-continue", length(HIDDEN), body=HIDDEN
    ),
}

UPGRADES = {
    "078 handshake with a body": post(
        *HANDSHAKE, b"Sec-WebSocket-Version: 13", length(HIDDEN), body=HIDDEN, line=SOCKET
    ),
    "078 handshake with chunks": post(
        *(*HANDSHAKE, b"Sec-WebSocket-Version: 13", CHUNKED),
        body=chunk(HIDDEN) + b"0\r\n\r\n",
        line=SOCKET,
    ),
    "078 behind a handshake": post(*HANDSHAKE, b"Sec-WebSocket-Version: 13", line=SOCKET) + HIDDEN,
    "078 behind a refused handshake": post(*HANDSHAKE, b"Sec-WebSocket-Version: 77", line=SOCKET)
    + HIDDEN,
    "078 refused handshake with a body": post(
        *HANDSHAKE, b"Sec-WebSocket-Version: 77", length(HIDDEN), body=HIDDEN, line=SOCKET
    ),
    "078 POST with Upgrade": post(
        b"Connection: Upgrade", b"Upgrade: websocket", length(HIDDEN), body=HIDDEN
    ),
    "079 h2c": post(
        *(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        line=SOCKET,
    )
    + HIDDEN,
    "079 h2c with a body": post(
        *(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        length(HIDDEN),
        body=HIDDEN,
    ),
}

ALL = {**REQUEST_LINES, **FIELDS, **LENGTHS, **ENCODINGS, **CHUNKS, **BODIES, **UPGRADES}
