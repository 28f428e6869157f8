"""What only a WebSocket does: publish, and commands of tidings.json (clause 11)."""

import concurrent.futures
import json

import pytest
import websockets.exceptions
import websockets.sync.client

from harness import DEADLINE, get, publish, publish_all, topic_url
from wires import JsonWebSocket, RawWebSocket, wire_name


def poll(server, topic):
    return json.loads(get(server.base, topic_url("", topic))[2])["messages"]


@pytest.fixture
def commander(server):
    """A tidings.json connection that has no topic yet."""
    with JsonWebSocket(server.base, []) as reader:
        yield reader


def test_what_a_raw_client_sends_is_published_and_echoed_to_it(server, topic):
    with RawWebSocket(server.base, [topic]) as reader:
        reader.socket.send("text")
        reader.socket.send(b"\x00\xff")
        assert [message.data for message in reader.take(2)] == ["text", b"\x00\xff"]
    assert [message.get("encoding") for message in poll(server, topic)] == [None, "base64"]


def test_fragments_are_one_message(server, topic):
    with RawWebSocket(server.base, [topic]) as reader:
        reader.socket.send(["one ", "mess", "", "age"])
        assert [message.data for message in reader.take(1)] == ["one message"]


def test_a_raw_client_of_several_topics_may_not_send(server, topics):
    with RawWebSocket(server.base, topics) as reader:
        reader.socket.send("to whom?")
        assert list(reader) == []
        assert reader.close_code == 1008


def test_the_subprotocol_is_agreed(server, topic):
    with JsonWebSocket(server.base, [topic]) as reader:
        assert reader.socket.subprotocol == "tidings.json"
    with RawWebSocket(server.base, [topic]) as reader:
        assert reader.socket.subprotocol is None


def test_a_connection_without_topics_opens_without_a_cursor(commander):
    assert commander.cursor is None


def test_subscribing_gives_a_cursor_and_then_messages(server, topic, commander):
    answer = commander.command(type="subscribe", topics=[topic], request=7)
    cursor = answer.pop("cursor")
    assert answer == {"type": "subscribed", "topics": [topic], "request": 7}
    published = publish(server.base, topic, "one")
    assert published != cursor
    [message] = commander.take(1)
    assert (message.topic, message.data, message.cursor) == (topic, "one", published)


def test_subscribing_after_a_cursor_replays(server, topic, commander):
    ids = publish_all(server.base, topic, ["one", "two", "three"])
    assert commander.command(type="subscribe", topic=topic, after=ids[0])["type"] == "subscribed"
    assert [message.data for message in commander.take(2)] == ["two", "three"]


def test_subscribing_to_the_last_message_replays_it(server, topic, commander):
    publish_all(server.base, topic, ["one", "two", "three"])
    assert commander.command(type="subscribe", topic=topic, last=1)["type"] == "subscribed"
    assert [message.data for message in commander.take(1)] == ["three"]


def test_nothing_arrives_after_unsubscribed(server, topics, commander):
    one, other, _ = topics
    commander.command(type="subscribe", topics=[one, other])
    answer = commander.command(type="unsubscribe", topic=one)
    assert answer["type"] == "unsubscribed" and answer["topics"] == [one]
    publish(server.base, one, "unheard")
    publish(server.base, other, "heard")
    assert [message.data for message in commander.take(1)] == ["heard"]


def test_the_cursor_of_subscribed_resumes_all_topics_on_another_connection(
    server, topics, commander
):
    commander.command(type="subscribe", topics=topics[:1])
    cursor = commander.command(type="subscribe", topics=topics[1:2])["cursor"]
    for topic in topics[:2]:
        publish(server.base, topic, topic)
    with RawWebSocket(server.base, topics[:2], after=cursor) as reader:
        assert sorted(message.data for message in reader.take(2)) == topics[:2]


def test_a_publish_is_acknowledged_with_its_id(server, topic, commander):
    answer = commander.command(type="publish", topic=topic, data={"a": [1]}, request="r")
    [message] = poll(server, topic)
    assert answer == {"type": "published", "topic": topic, "id": message["id"], "request": "r"}
    assert message["data"] == {"a": [1]}


def test_answers_to_publishes_come_in_their_order(topic, commander):
    for number in range(100):
        line = {"type": "publish", "topic": topic, "data": str(number), "request": number}
        commander.socket.send(json.dumps(line))
    assert [commander.reply()["request"] for _ in range(100)] == list(range(100))


def test_a_repeated_key_is_answered_with_the_first_id(server, topic, commander):
    first = commander.command(type="publish", topic=topic, data="one", key="k")
    again = commander.command(type="publish", topic=topic, data="one", key="k")
    assert first["id"] == again["id"]
    assert len(poll(server, topic)) == 1


def test_ping_is_answered_with_pong(commander):
    assert commander.command(type="ping", request="x") == {"type": "pong", "request": "x"}


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        "[]",
        '{"type":"dance","request":1}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","topics":["a,b"]}',
        '{"type":"publish","topic":"a"}',
    ],
)
def test_a_wrong_command_is_answered_and_the_connection_stays(commander, line):
    commander.socket.send(line)
    answer = commander.reply()
    assert answer["type"] == "error" and 400 <= answer["status"] < 500, answer
    assert answer["title"] and answer["detail"]
    assert commander.command(type="ping") == {"type": "pong"}


def test_a_hundred_errors_are_enough(commander):
    for _ in range(101):
        commander.socket.send("wrong")
    errors = 0
    for frame in commander.frames():
        assert json.loads(frame)["type"] == "error"
        errors += 1
    assert errors in (99, 100, 101)
    assert commander.close_code == 1008


def test_a_binary_frame_is_no_command(commander):
    commander.socket.send(b"{}")
    assert list(commander.frames()) == []
    assert commander.close_code == 1003


def test_a_message_that_is_too_large_closes_with_1009(server, topic):
    with RawWebSocket(server.base, [topic]) as reader:
        reader.socket.send("x" * (64 * 1024 + 1))
        assert list(reader) == []
        assert reader.close_code == 1009


def test_a_protocol_ping_is_answered(server, topic):
    with RawWebSocket(server.base, [topic]) as reader:
        assert reader.socket.ping().wait(DEADLINE)


def test_closing_is_answered(server, topic):
    with RawWebSocket(server.base, [topic]) as reader:
        reader.socket.close()
        assert reader.socket.close_code == 1000


def test_a_foreign_origin_is_refused(server, topic):
    url = topic_url(server.base.replace("http", "ws", 1), topic)
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        with websockets.sync.client.connect(
            url, origin="http://elsewhere.example", open_timeout=DEADLINE, proxy=None
        ):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("wire", [RawWebSocket, JsonWebSocket], ids=wire_name)
def test_what_is_published_once_the_handshake_was_answered_is_delivered(server, topic, wire):
    """A raw client has no cursor: to it, being open must mean being subscribed.

    Many open at once, each of topics that no worker knows yet, and publish at their `open` event.
    """

    def open_and_publish(number):
        names = [f"{topic} {number} {letter}" for letter in "abcd"]
        # The greeting is part of what may come late: so the publishing goes before it.
        class PublishesAtOpen(wire):
            def greet(self):
                for name in names:
                    publish(server.base, name, name)
                super().greet()

        with PublishesAtOpen(server.base, names) as reader:
            return names, sorted(message.data for message in reader.take(len(names)))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for names, read in pool.map(open_and_publish, range(200)):
            assert read == names
