"""sseclient-py over urllib: an SSE client that does not reconnect by itself."""

import json
import urllib.request

import pytest
import sseclient

from harness import DEADLINE, Server, head_cursor, publish, publish_all, topic_url
from wires import DIRECT


def open_stream(server, topics, cursor):
    """An SSE answer over urllib, as sseclient-py wants it: bytes to iterate over."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": cursor}
    asked = urllib.request.Request(topic_url(server.base, *topics), headers=headers)
    return sseclient.SSEClient(DIRECT.open(asked, timeout=DEADLINE))


def take(client, count):
    events = client.events()
    return [next(events) for _ in range(count)]


def test_messages_arrive_with_their_cursors(server, topic):
    head = head_cursor(server.base, topic)
    texts = ["one", "two\nlines", "", " four"]
    published = publish_all(server.base, topic, texts)
    read = take(open_stream(server, [topic], head), 4)
    assert [event.data for event in read] == texts
    assert [event.id for event in read] == published
    assert {event.event for event in read} == {"message"}


def test_the_id_of_an_event_resumes(server, topics):
    head = head_cursor(server.base, *topics)
    for topic in topics:
        publish(server.base, topic, topic)
    client = open_stream(server, topics, head)
    [first] = take(client, 1)
    client.close()
    rest = take(open_stream(server, topics, first.id), 2)
    assert sorted(event.data for event in [first, *rest]) == topics


def test_a_gap_after_trimming_and_after_a_restart_is_an_event(topic):
    with Server("--log-messages", 10) as server:
        first = publish(server.base, topic, "one")
        publish_all(server.base, topic, ["x"] * 25)
        [trimmed] = take(open_stream(server, [topic], first), 1)
        server.restart()
        [restarted] = take(open_stream(server, [topic], trimmed.id), 1)
    assert {trimmed.event, restarted.event} == {"tidings:gap"}
    assert json.loads(trimmed.data) == {"topic": topic, "count": 15}
    assert json.loads(restarted.data) == {"topic": topic, "count": None}


def test_a_drain_is_an_event_with_its_retry_and_then_the_end(topic):
    with Server("--drain-spread", 1) as server:
        cursor = publish(server.base, topic, "one")
        events = open_stream(server, [topic], cursor).events()
        server.terminate()
        drain = next(events)
        assert drain.event == "tidings:drain"
        assert json.loads(drain.data) == {"retry_ms": int(drain.retry)}
        with pytest.raises(StopIteration):
            next(events)
        assert server.wait() == 0
