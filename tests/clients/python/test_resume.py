"""A cut connection costs nothing: the client comes back with its cursor and goes on."""

import random

import pytest

from harness import CuttingProxy, head_cursor, publish_all
from wires import ALL, WITH_CURSOR, Cut, EventStream, LongPoll, RawWebSocket, following, wire_name


def numbers(messages):
    return [int(message.data) for message in messages]


def as_texts(numbers):
    return [str(number) for number in numbers]


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_a_reader_that_was_cut_resumes_where_it_was(server, proxy, topic, wire):
    head = head_cursor(server.base, topic)
    with wire(proxy.base, [topic], after=head) as reader:
        publish_all(server.base, topic, as_texts(range(10)))
        before = reader.take(10)
        proxy.cut()
        publish_all(server.base, topic, as_texts(range(10, 20)))
        cursor = reader.cursor
    with wire(proxy.base, [topic], after=cursor) as reader:
        assert numbers(before + reader.take(10)) == list(range(20))


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_a_reader_that_was_cut_before_its_first_message_resumes(server, proxy, topic, wire):
    with wire(proxy.base, [topic]) as reader:
        proxy.cut()
        cursor = reader.cursor
    publish_all(server.base, topic, ["missed"])
    with wire(proxy.base, [topic], after=cursor) as reader:
        assert [message.data for message in reader.take(1)] == ["missed"]


@pytest.mark.parametrize("wire", [wire for wire in ALL if wire.name != "poll"], ids=wire_name)
def test_an_open_reader_sees_the_cut(server, proxy, topic, wire):
    """Shows that the proxy really cuts: without it the tests above could not fail."""
    head = head_cursor(server.base, topic)
    with wire(proxy.base, [topic], after=head) as reader:
        publish_all(server.base, topic, as_texts(range(2)))
        reader.take(1 if wire is not LongPoll else 2)
        proxy.budget = lambda: 0
        proxy.cut()
        with pytest.raises(Cut):
            for _ in reader:
                pass


def test_a_raw_websocket_resumes_by_the_id_that_the_publisher_was_given(server, proxy, topic):
    head = head_cursor(server.base, topic)
    ids = publish_all(server.base, topic, as_texts(range(10)))
    with RawWebSocket(proxy.base, [topic], after=head) as reader:
        before = reader.take(5)
        proxy.cut()
    with RawWebSocket(proxy.base, [topic], after=ids[4]) as reader:
        assert numbers(before + reader.take(5)) == list(range(10))


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_a_cut_at_any_byte_loses_and_repeats_nothing(server, topic, wire):
    head = head_cursor(server.base, topic)
    ids = publish_all(server.base, topic, as_texts(range(40)))
    # Small enough to cut in heads, chunk sizes and half messages; the floor lets polls get through.
    chance = random.Random(f"any byte of {wire.name}")
    with CuttingProxy(server.base, budget=lambda: chance.randint(1, 6000)) as proxy:
        read = []
        learn = lambda message: ids[int(message.data)]  # noqa: E731
        for message in following(wire, proxy.base, [topic], head, learn):
            read.append(message)
            if len(read) == len(ids):
                break
        assert numbers(read) == list(range(40))


def test_an_event_stream_gets_through_in_small_steps(server, topic):
    head = head_cursor(server.base, topic)
    publish_all(server.base, topic, as_texts(range(100)))
    chance = random.Random("small steps")
    with CuttingProxy(server.base, budget=lambda: chance.randint(500, 900)) as proxy:
        read = []
        for message in following(EventStream, proxy.base, [topic], head):
            read.append(message)
            if len(read) == 100:
                break
        assert numbers(read) == list(range(100))
        assert proxy.cuts > 3
