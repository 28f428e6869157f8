"""The same cursor works on every wire: a client hops and misses nothing (clause 3.1)."""

import random
import threading

import pytest

from harness import head_cursor, publish_all
from wires import ALL, WITH_CURSOR, RawWebSocket, wire_name


def data(messages):
    return [message.data for message in messages]


def by_topic(payloads):
    """Payloads are "a3": topic a, number 3. Order matters within a topic only."""
    sorted_out = {}
    for payload in payloads:
        sorted_out.setdefault(payload[0], []).append(int(payload[1:]))
    return sorted_out


@pytest.mark.parametrize("second", ALL, ids=wire_name)
@pytest.mark.parametrize("first", ALL, ids=wire_name)
def test_a_client_hops_mid_stream(server, topic, first, second):
    head = head_cursor(server.base, topic)
    payloads = [str(number) for number in range(12)]
    ids = publish_all(server.base, topic, payloads[:8])
    with first(server.base, [topic], after=head) as reader:
        before = data(reader.take(5))
        # A raw WebSocket gives no cursor: its client knows the ids from the publisher.
        cursor = ids[4] if first is RawWebSocket else reader.cursor
    publish_all(server.base, topic, payloads[8:])
    with second(server.base, [topic], after=cursor) as reader:
        assert before + data(reader.take(7)) == payloads


@pytest.mark.parametrize("second", ALL, ids=wire_name)
@pytest.mark.parametrize("first", WITH_CURSOR, ids=wire_name)
def test_a_client_of_several_topics_hops_mid_stream(server, topics, first, second):
    head = head_cursor(server.base, *topics)
    for letter, topic in zip("abc", topics):
        publish_all(server.base, topic, [f"{letter}{number}" for number in range(6)])
    with first(server.base, topics, after=head) as reader:
        before = data(reader.take_and_stop(8))
        cursor = reader.cursor
    for letter, topic in zip("abc", topics):
        publish_all(server.base, topic, [f"{letter}{number}" for number in range(6, 9)])
    with second(server.base, topics, after=cursor) as reader:
        read = by_topic(before + data(reader.take(27 - len(before))))
    assert read == {letter: list(range(9)) for letter in "abc"}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_that_hops_at_random_while_others_publish_misses_nothing(server, topics, seed):
    head = head_cursor(server.base, *topics)
    publishers = [
        threading.Thread(
            target=publish_all,
            args=(server.base, topic, [f"{letter}{number}" for number in range(200)]),
        )
        for letter, topic in zip("abc", topics)
    ]
    for publisher in publishers:
        publisher.start()
    chance = random.Random(seed)
    cursor, read = head, []
    while len(read) < 600:
        with chance.choice(WITH_CURSOR)(server.base, topics, after=cursor) as reader:
            read += data(reader.take_and_stop(min(chance.randint(1, 50), 600 - len(read))))
            cursor = reader.cursor
    for publisher in publishers:
        publisher.join()
    assert by_topic(read) == {letter: list(range(200)) for letter in "abc"}
