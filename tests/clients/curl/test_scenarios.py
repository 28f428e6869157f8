"""curl as a subscriber: cut, hop, gap, several topics, drain."""

import json

import pytest

from command import Curl
from harness import Server, publish, publish_all

EVENT_STREAM = ("-H", "Accept: text/event-stream")
NDJSON = ("-H", "Accept: application/x-ndjson")


def after(cursor):
    return ("-H", f"Last-Event-ID: {cursor}")


def ndjson(stream, count):
    return [json.loads(stream.line()) for _ in range(count)]


def events(stream, count):
    """Events as the lists of their fields, heartbeats and the opening left out."""
    read, fields = [], []
    while len(read) < count:
        line = stream.line()
        if line == "":
            if any(name == "data" for name, _ in fields):
                read.append(fields)
            fields = []
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields.append((name, value.removeprefix(" ")))
    return read


def values(event, name):
    return [value for field, value in event if field == name]


def test_a_killed_curl_is_followed_by_one_that_resumes(server, curl, topic):
    start = publish(server.base, topic, "zero")
    with curl.open(*NDJSON, *after(start), f"BASE/topics/{topic}") as stream:
        publish(server.base, topic, "one")
        opening, one = ndjson(stream, 2)
        assert (opening["cursor"], one["data"]) == (start, "one")
    publish(server.base, topic, "two")
    with curl.open(*NDJSON, *after(one["id"]), f"BASE/topics/{topic}") as stream:
        assert ndjson(stream, 2)[1]["data"] == "two"


def test_curl_hops_from_poll_to_ndjson_to_event_stream_and_back(server, curl, topic):
    names = [f"{topic}-a", f"{topic}-b"]
    url = "BASE/topics/" + ",".join(names)
    for name in names:
        publish(server.base, name, f"{name} 1")
    polled = json.loads(curl(url).body)
    assert sorted(message["data"] for message in polled["messages"]) == [f"{n} 1" for n in names]
    for name in names:
        publish(server.base, name, f"{name} 2")
    with curl.open(*NDJSON, *after(polled["cursor"]), url) as stream:
        opening, first = ndjson(stream, 2)
    with curl.open(*EVENT_STREAM, *after(first["cursor"]), url) as stream:
        [second] = events(stream, 1)
    assert sorted([first["data"], *values(second, "data")]) == [f"{name} 2" for name in names]
    [cursor] = values(second, "id")
    assert json.loads(curl(*after(cursor), url).body)["messages"] == []


def test_an_event_stream_says_how_many_messages_were_trimmed(topic):
    with Server("--log-messages", 10) as server:
        start = publish(server.base, topic, "zero")
        publish_all(server.base, topic, [str(number) for number in range(25)])
        with Curl(server).open(*EVENT_STREAM, *after(start), f"BASE/topics/{topic}") as stream:
            gap, *messages = events(stream, 11)
    assert values(gap, "event") == ["tidings:gap"]
    assert json.loads(values(gap, "data")[0]) == {"topic": topic, "count": 15}
    assert [values(message, "data") for message in messages] == [[str(n)] for n in range(15, 25)]


def test_a_poll_says_that_the_server_was_restarted(topic):
    with Server() as server:
        cursor = publish(server.base, topic, "one")
        server.restart()
        publish(server.base, topic, "two")
        answer = json.loads(Curl(server)(*after(cursor), f"BASE/topics/{topic}").body)
    assert answer["gap"] == [{"topic": topic, "count": None}]
    assert [message["data"] for message in answer["messages"]] == ["two"]


def test_bytes_are_published_from_a_file_and_come_back_as_base64(curl, topic):
    upload = ("-H", "Content-Type: image/png", "--data-binary", "@-", f"BASE/topics/{topic}")
    assert curl(*upload, stdin=b"\x89PNG\r\n\x1a\n\0").status == 201
    [message] = json.loads(curl(f"BASE/topics/{topic}").body)["messages"]
    assert message["data"] == "iVBORw0KGgoA"
    assert (message["encoding"], message["content_type"]) == ("base64", "image/png")


@pytest.mark.parametrize("accept", [EVENT_STREAM, NDJSON], ids=["sse", "ndjson"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_at_a_drain_curl_is_told_and_ends_without_an_error(topic, accept, version):
    with Server("--drain-spread", 1) as server:
        with Curl(server).open(version, *accept, f"BASE/topics/{topic}") as stream:
            stream.line()
            server.terminate()
            rest = stream.rest()
            assert b"drain" in rest and b"retry" in rest
        assert server.wait() == 0
