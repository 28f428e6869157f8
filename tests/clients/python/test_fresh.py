"""Where a client begins that knows no cursor, or one of the words for it (clause 3.3)."""

import concurrent.futures
import json
import re

import pytest

from harness import DEADLINE, Deadline, get, head_cursor, publish, publish_all, topic_url
from wires import ALL, DIRECT, WITH_CURSOR, EventStream, NdjsonStream, wire_name

STREAMS = [wire for wire in ALL if not wire.name.endswith("poll")]


def texts(messages):
    return [message.data for message in messages]


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_a_fresh_reader_hears_what_is_published_after_it_opened(server, topic, wire):
    publish(server.base, topic, "too early")
    with wire(server.base, [topic]) as reader:
        publish_all(server.base, topic, ["one", "two", "three"])
        assert texts(reader.take(3)) == ["one", "two", "three"]


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_a_reader_of_a_topic_that_has_not_begun_hears_its_first_message(server, topic, wire):
    with wire(server.base, [topic]) as reader:
        publish(server.base, topic, "first")
        assert texts(reader.take(1)) == ["first"]


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_earliest_gives_everything_that_is_retained(server, topic, wire):
    publish_all(server.base, topic, ["one", "two"])
    with wire(server.base, [topic], after="earliest") as reader:
        assert texts(reader.take(2)) == ["one", "two"]


@pytest.mark.parametrize("wire", STREAMS, ids=wire_name)
def test_latest_gives_nothing_that_is_already_there(server, topic, wire):
    publish(server.base, topic, "too early")
    with wire(server.base, [topic], after="latest") as reader:
        publish(server.base, topic, "one")
        assert texts(reader.take(1)) == ["one"]


def test_a_short_poll_without_cursor_gives_everything_that_is_retained(server, topic):
    publish_all(server.base, topic, ["one", "two"])
    status, headers, body = get(server.base, topic_url("", topic))
    answer = json.loads(body)
    assert status == 200
    assert [message["data"] for message in answer["messages"]] == ["one", "two"]
    assert headers["ETag"] == f'"{answer["cursor"]}"'
    assert headers["Cache-Control"] == "no-cache"
    assert "more" not in answer and "gap" not in answer


def test_a_short_poll_gives_what_was_published_just_before_it(server, topic):
    for number in range(50):
        published = publish(server.base, topic, str(number))
        answer = json.loads(get(server.base, topic_url("", topic))[2])
        assert answer["messages"][-1]["data"] == str(number)
        assert answer["cursor"] == published


def test_a_poll_with_nothing_new_is_200_with_the_same_cursor(server, topic):
    cursor = publish(server.base, topic, "one")
    known = {"If-None-Match": f'"{cursor}"'}
    status, headers, body = get(server.base, topic_url("", topic), **known)
    assert status == 200
    assert json.loads(body) == {"messages": [], "cursor": cursor}
    assert headers["ETag"] == f'"{cursor}"'


def test_a_poll_says_that_there_is_more(server, topic):
    publish_all(server.base, topic, [str(number) for number in range(301)])
    first = json.loads(get(server.base, topic_url("", topic))[2])
    assert len(first["messages"]) == 300 and first["more"] is True
    second = json.loads(get(server.base, topic_url("", topic, after=first["cursor"]))[2])
    assert [message["data"] for message in second["messages"]] == ["300"]
    assert "more" not in second


def test_a_fresh_long_poll_hears_the_next_message(server, topic):
    """It knows no cursor and nobody knows when it is parked: so publish until it answers."""
    publish(server.base, topic, "too early")

    def poll():
        with DIRECT.open(topic_url(server.base, topic, wait=9), timeout=DEADLINE) as answer:
            return json.loads(answer.read())

    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(poll)
        deadline = Deadline()
        published = {}
        while not answer.done() and deadline.open():
            published[publish(server.base, topic, str(len(published)))] = str(len(published))
            concurrent.futures.wait([answer], timeout=0.02)
        messages = answer.result(DEADLINE)["messages"]
    assert messages
    for message in messages:
        assert published[message["id"]] == message["data"]


def test_a_long_poll_whose_time_is_up_is_200_with_the_same_cursor(server, topic):
    cursor = publish(server.base, topic, "one")
    url = topic_url(server.base, topic, wait=1, after=cursor)
    with DIRECT.open(url, timeout=DEADLINE) as answer:
        assert json.loads(answer.read()) == {"messages": [], "cursor": cursor}


def test_prefer_wait_is_a_long_poll_and_is_echoed(server, topic):
    cursor = publish(server.base, topic, "one")
    path = topic_url("", topic, after=cursor)
    status, headers, body = get(server.base, path, Prefer="wait=1")
    assert status == 200
    assert headers["Preference-Applied"] == "wait=1"
    assert json.loads(body)["cursor"] == cursor


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_last_starts_so_many_messages_before_the_head(server, topic, accept):
    publish_all(server.base, topic, ["one", "two", "three"])
    wire = EventStream if accept == "text/event-stream" else NdjsonStream

    class Last(wire):
        def connect(self, url):
            super().connect(url + "?last=2")

    with Last(server.base, [topic]) as reader:
        assert texts(reader.take(2)) == ["two", "three"]


def test_an_event_stream_opens_with_a_delay_and_its_cursor(server, topic):
    head = publish(server.base, topic, "one")
    with EventStream(server.base, [topic]) as reader:
        assert reader.cursor == head
        assert 0 < reader.retry <= 60_000


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_a_cursor_is_short_and_url_safe(server, topic, wire):
    head = head_cursor(server.base, topic)
    with wire(server.base, [topic], after=head) as reader:
        published = publish(server.base, topic, "one")
        [message] = reader.take(1)
    assert message.cursor == reader.cursor == published
    assert re.fullmatch(r"[A-Za-z0-9.-]{1,32}", published)
