"""One small reader per wire, each over a client library that others wrote.

All readers have one face: iterate to get `Message`, `Gap` and `Drain`; `cursor` is what the client
would give back after a cut; a reader that is opened without a cursor starts at the head, and what
is published after the constructor returned is delivered. A connection that breaks raises `Cut`,
one that the server ends well ends the iteration.
"""

import base64
import contextlib
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace

import httpx
import httpx_sse
import websockets.exceptions
import websockets.sync.client

from harness import DEADLINE, topic_url

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
FOLLOWING_SECONDS_MAX = 45
POLLERS_PACE = 0.005  # seconds between two short polls: what polling is, not a wait


@dataclass(frozen=True)
class Message:
    topic: str | None  # None where the wire does not say (raw WebSocket, SSE)
    data: object  # str; bytes of a binary message; what JSON decodes to
    cursor: str | None  # None on a raw WebSocket
    event: str | None = None
    content_type: str | None = None


@dataclass(frozen=True)
class Gap:
    topic: str
    count: int | None
    cursor: str


@dataclass(frozen=True)
class Drain:
    retry_ms: int


class Cut(Exception):
    """The connection broke before the server ended it."""


@contextlib.contextmanager
def cuts_named():
    """Turns each library's word for a broken connection into `Cut`; time-outs stay time-outs."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        raise TimeoutError(f"nothing arrived in time: {error!r}") from error
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise TimeoutError("nothing arrived in time") from error
        raise Cut(repr(error)) from error
    except (
        OSError,
        EOFError,
        http.client.HTTPException,
        httpx.TransportError,
        websockets.exceptions.InvalidMessage,
    ) as error:
        raise Cut(repr(error)) from error
    except websockets.exceptions.ConnectionClosed as error:
        if error.rcvd is None:
            raise Cut(repr(error)) from error
        raise


def envelope(line):
    """A line of NDJSON or `tidings.json`, or an element of a poll's `messages` (clause 2.3)."""
    data = line["data"]
    if line.get("encoding") == "base64":
        data = base64.b64decode(data, validate=True)
    cursor = line.get("cursor", line["id"])
    return Message(line["topic"], data, cursor, line.get("event"), line.get("content_type"))


class Reader:
    def __init__(self, base, topics, after=None):
        self.base = base
        self.topics = topics
        self.cursor = after
        with cuts_named():
            self.open()

    def __iter__(self):
        with contextlib.closing(self.items()) as items:
            while True:
                with cuts_named():
                    item = next(items, None)
                if item is None:
                    return
                if not isinstance(item, Drain):
                    self.cursor = item.cursor
                yield item

    def take(self, count):
        """The next `count` messages; anything else on the way is a failure."""
        taken = []
        for item in self:
            assert isinstance(item, Message), item
            taken.append(item)
            if len(taken) == count:
                return taken
        raise AssertionError(f"the server ended the stream after {len(taken)} of {count}")

    def take_and_stop(self, count):
        """At least `count` messages, up to where `cursor` is exact: a poll's batch is not split."""
        taken = self.take(count)
        while not self.is_between_batches():
            taken += self.take(1)
        return taken

    def is_between_batches(self):
        return True

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Poll(Reader):
    """Short and long poll with urllib, a new connection each time."""

    wait = None

    def open(self):
        if self.cursor is None:
            # Clause 8.1: the one poll that starts at the head and does not wait.
            self.cursor = self.ask(after=None, wait=0)["cursor"]
        self.ready = []

    def ask(self, **query):
        url = topic_url(self.base, *self.topics, **query)
        with DIRECT.open(url, timeout=DEADLINE) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            body = json.loads(answer.read())
            assert answer.headers["ETag"] == f'"{body["cursor"]}"'
            return body

    def items(self):
        while True:
            if not self.ready:
                self.fetch()
            if self.ready:
                yield self.ready.pop(0)

    def fetch(self):
        end = time.monotonic() + DEADLINE
        while not self.ready:
            if time.monotonic() > end:
                raise TimeoutError("no message in any poll")
            body = self.ask(after=self.cursor, wait=self.wait)
            gaps = [Gap(gap["topic"], gap["count"], self.cursor) for gap in body.get("gap", [])]
            messages = [envelope(line) for line in body["messages"]]
            if len(self.topics) > 1:
                # Clause 2.3: an `id` is for one topic, and only the body has a cursor for all.
                messages = [replace(message, cursor=self.cursor) for message in messages]
            self.ready = gaps + messages
            if self.ready:
                self.ready[-1] = replace(self.ready[-1], cursor=body["cursor"])
            elif self.wait is None:
                time.sleep(POLLERS_PACE)

    def is_between_batches(self):
        return not self.ready


class ShortPoll(Poll):
    name = "poll"


class LongPoll(Poll):
    name = "long-poll"
    wait = 5


class Streaming(Reader):
    """What SSE and NDJSON share: one httpx response that does not end."""

    def open(self):
        self.client = httpx.Client(timeout=DEADLINE, trust_env=False)
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(self.client)
        try:
            self.connect(topic_url(self.base, *self.topics))
        except BaseException:
            self.close()
            raise

    def close(self):
        self.stack.close()


class EventStream(Streaming):
    """Server-Sent Events with httpx-sse, which hands out events without data, too."""

    name = "sse"

    def connect(self, url):
        headers = {"Last-Event-ID": self.cursor} if self.cursor else {}
        source = self.stack.enter_context(
            httpx_sse.connect_sse(self.client, "GET", url, headers=headers)
        )
        assert source.response.status_code == 200, source.response.status_code
        self.retry = None
        self.events = source.iter_sse()
        while True:
            event = next(self.events, None)
            if event is None:
                raise EOFError("ended before the opening was whole")
            self.retry = event.retry or self.retry
            if event.id:
                break
        assert event.data == "", "the opening must dispatch nothing (clause 9.1)"
        self.cursor = event.id

    def items(self):
        for event in self.events:
            if event.event == "tidings:gap":
                gap = json.loads(event.data)
                yield Gap(gap["topic"], gap["count"], event.id)
            elif event.event == "tidings:drain":
                self.retry = event.retry
                yield Drain(json.loads(event.data)["retry_ms"])
            elif event.id != self.cursor:
                named = None if event.event in ("", "message") else event.event
                yield Message(None, event.data, event.id, named)


class NdjsonStream(Streaming):
    """NDJSON with httpx; lines end with LF alone (httpx's own `iter_lines` splits on more)."""

    name = "ndjson"

    def connect(self, url):
        headers = {"Accept": "application/x-ndjson"}
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        self.response = self.stack.enter_context(self.client.stream("GET", url, headers=headers))
        assert self.response.status_code == 200, self.response.status_code
        self.lines = self.split(self.response.iter_raw())
        opening = next(self.lines, None)
        if opening is None:
            raise EOFError("ended before the opening was whole")
        assert opening["type"] == "open", opening
        self.cursor = opening["cursor"]

    @staticmethod
    def split(blocks):
        rest = b""
        for block in blocks:
            *lines, rest = (rest + block).split(b"\n")
            yield from (json.loads(line) for line in lines if line)

    def items(self):
        for line in self.lines:
            yield control_or_envelope(line)


def control_or_envelope(line):
    match line.get("type"):
        case None:
            return envelope(line)
        case "gap":
            return Gap(line["topic"], line["count"], line["cursor"])
        case "drain":
            return Drain(line["retry_ms"])
        case other:
            raise AssertionError(f"a line of type {other}: {line}")


class WebSocket(Reader):
    subprotocols = None

    def open(self):
        url = topic_url(self.base, *self.topics, after=self.cursor)
        self.stack = contextlib.ExitStack()
        self.socket = self.stack.enter_context(
            websockets.sync.client.connect(
                url.replace("http", "ws", 1),
                subprotocols=self.subprotocols,
                open_timeout=DEADLINE,
                close_timeout=1,
                ping_interval=None,
                max_size=None,
                proxy=None,
            )
        )
        try:
            self.greet()
        except BaseException:
            self.close()
            raise

    def greet(self):
        pass

    def frames(self):
        """Frames until the server closes; why it did is then in `close_code` and `close_reason`."""
        while True:
            try:
                yield self.socket.recv(timeout=DEADLINE)
            except websockets.exceptions.ConnectionClosed as closed:
                if closed.rcvd is None:
                    raise
                self.close_code, self.close_reason = closed.rcvd.code, closed.rcvd.reason
                return

    def items(self):
        for frame in self.frames():
            yield self.item(frame)
        if self.close_code == 1012:
            yield Drain(int(re.fullmatch(r"retry_ms=(\d+)", self.close_reason)[1]))

    def close(self):
        self.stack.close()


class RawWebSocket(WebSocket):
    """`websockets` without a subprotocol: payloads only, so the client learns no cursor."""

    name = "websocket"

    def item(self, frame):
        return Message(None, frame, None)


class JsonWebSocket(WebSocket):
    """`websockets` with the subprotocol tidings.json."""

    name = "tidings.json"
    subprotocols = ["tidings.json"]

    def greet(self):
        opening = self.reply()
        assert opening["type"] == "open", opening
        self.cursor = opening.get("cursor")

    def item(self, frame):
        return control_or_envelope(json.loads(frame))

    def command(self, **members):
        """Sends one command and returns the next frame, which a quiet topic makes its answer."""
        self.socket.send(json.dumps(members))
        return self.reply()

    def reply(self):
        return json.loads(self.socket.recv(timeout=DEADLINE))


def following(wire, base, topics, after, learn=lambda message: message.cursor):
    """What an application sees that comes back after every cut with the last cursor it learned."""
    cursor = after
    end = time.monotonic() + FOLLOWING_SECONDS_MAX
    while time.monotonic() < end:
        try:
            with wire(base, topics, cursor) as reader:
                for item in reader:
                    cursor = learn(item)
                    yield item
        except Cut:
            continue
    raise TimeoutError(f"{wire.name} did not get through in {FOLLOWING_SECONDS_MAX} s")


WITH_CURSOR = [ShortPoll, LongPoll, EventStream, NdjsonStream, JsonWebSocket]
ALL = [*WITH_CURSOR, RawWebSocket]


def wire_name(value):
    """How pytest shows a wire in a test's name."""
    return getattr(value, "name", None)
