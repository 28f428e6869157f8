"""Longer than any proxy waits by default nothing is said; then a message arrives at once, on every wire.

All of it at the same time: the whole takes little more than a minute.
"""

import concurrent.futures
import contextlib
import json
import time

import fronts
import pytest
import wires

from harness import Server, head_cursor, publish, topic_url

# nginx gives up after 60 s of silence; HAProxy as it is told, which is 50 s where nobody thought of it.
IDLE = 61.0
AT_ONCE = 1.0
WAITING = [wires.EventStream, wires.NdjsonStream, wires.RawWebSocket, wires.JsonWebSocket]


def hold_polls(base, topic, after):
    """A client that polls long, each time as long as tidings lets it: what it got, and when."""
    polls = 0
    while True:
        url = topic_url(base, topic, after=after, wait=60)
        with wires.DIRECT.open(url, timeout=IDLE + 10) as answer:
            body = json.loads(answer.read())
        polls += 1
        if body["messages"]:
            return body["messages"], time.monotonic(), polls
        after = body["cursor"]


@pytest.mark.timeout(2 * IDLE)
def test_a_message_after_a_long_silence_arrives_at_once_through_every_proxy(tmp_path):
    topic = "silence"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server())
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor())
        readers, polls = [], []
        after = head_cursor(server.base, topic)
        for kind in [*fronts.DOCUMENTED, fronts.Node]:
            folder = tmp_path / kind.name
            folder.mkdir()
            front = stack.enter_context(kind(folder, server.port))
            for wire in WAITING:
                readers.append((front, stack.enter_context(wire(front.base, [topic]))))
            polls.append(pool.submit(hold_polls, front.base, topic, after))
        quiet_since = time.monotonic()
        fronts.await_true(
            lambda: "a minute is over",
            lambda: time.monotonic() - quiet_since > IDLE,
            seconds=IDLE + 10,
        )
        assert not any(poll.done() for poll in polls), polls
        began = time.monotonic()
        publish(server.base, topic, "after a minute")
        for front, reader in readers:
            assert reader.take(1)[0].data == "after a minute", front.name
            took = time.monotonic() - began
            assert took < AT_ONCE, f"{front.name}, {reader.name}: {took:.2f} s"
        for poll in polls:
            messages, arrived, asked = poll.result()
            assert [message["data"] for message in messages] == ["after a minute"]
            assert asked >= 2, "tidings holds a poll for less than a minute"
            assert arrived - began < AT_ONCE
