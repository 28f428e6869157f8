"""What is gone is said, in-band, with its exact count or with null (clause 4)."""

import pytest

from harness import CuttingProxy, Server, head_cursor, publish, publish_all, request, topic_url
from wires import ALL, WITH_CURSOR, Gap, JsonWebSocket, Message, RawWebSocket, wire_name
from wires import EventStream, NdjsonStream


@pytest.fixture(scope="module")
def small_server():
    """Retains ten messages a topic."""
    with Server("--log-messages", 10) as server:
        yield server


def texts(count, first=0):
    return [str(number) for number in range(first, first + count)]


def take_items(reader, count):
    items = []
    for item in reader:
        items.append(item)
        if len(items) == count:
            return items
    raise AssertionError(f"ended after {items}")


def assert_gap_then(items, topic, count, payloads):
    gap, *messages = items
    assert isinstance(gap, Gap), gap
    assert (gap.topic, gap.count) == (topic, count)
    assert [message.data for message in messages] == payloads


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_trimmed_messages_are_counted_exactly(small_server, topic, wire):
    base = small_server.base
    read_to = publish_all(base, topic, texts(5))[-1]
    publish_all(base, topic, texts(30, first=5))
    with wire(base, [topic], after=read_to) as reader:
        assert_gap_then(take_items(reader, 11), topic, 20, texts(10, first=25))


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_a_client_that_is_cut_behind_a_gap_is_not_told_again(small_server, topic, wire):
    base = small_server.base
    read_to = publish_all(base, topic, texts(5))[-1]
    publish_all(base, topic, texts(30, first=5))
    with wire(base, [topic], after=read_to) as reader:
        take_items(reader, 1 if not wire.name.endswith("poll") else 11)
        cursor = reader.cursor
    publish(base, topic, "35")
    with wire(base, [topic], after=cursor) as reader:
        first = take_items(reader, 1)[0]
    if wire.name.endswith("poll"):
        assert isinstance(first, Message) and first.data == "35"
    else:
        # One more was trimmed since: that one, and not the twenty before it, is news.
        assert isinstance(first, Gap) and first.count == 1


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_of_several_topics_only_the_trimmed_one_has_a_gap(small_server, topics, wire):
    base = small_server.base
    read_to = head_cursor(base, *topics)
    publish_all(base, topics[0], texts(3))
    publish_all(base, topics[1], texts(14))
    with wire(base, topics, after=read_to) as reader:
        items = take_items(reader, 14)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert [(gap.topic, gap.count) for gap in gaps] == [(topics[1], 4)]
    assert sorted(int(item.data) for item in items if isinstance(item, Message)) == sorted(
        [0, 1, 2, *range(4, 14)]
    )


def test_a_raw_websocket_is_closed_with_4001_and_the_count(small_server, topic):
    base = small_server.base
    read_to = publish_all(base, topic, texts(5))[-1]
    publish_all(base, topic, texts(30, first=5))
    with RawWebSocket(base, [topic], after=read_to) as reader:
        assert list(reader) == []
        assert reader.close_code == 4001
        assert reader.close_reason.startswith("gap: 20 messages of ")


@pytest.mark.parametrize("wire", [EventStream, NdjsonStream, JsonWebSocket], ids=wire_name)
def test_a_reader_too_slow_for_the_log_is_told_what_it_lost(small_server, topic, wire):
    """It does not read while far more is published than kernel, library and log can hold."""
    base = small_server.base
    published = 400
    with wire(base, [topic]) as reader:
        publish_all(base, topic, [f"{number} " + "x" * 100_000 for number in range(published)])
        expected, lost = 0, 0
        for item in reader:
            if isinstance(item, Gap):
                assert item.topic == topic and item.count > 0
                lost += item.count
                expected += item.count
            else:
                assert int(item.data.split()[0]) == expected
                expected += 1
            if expected == published:
                break
    assert lost > 0, "the client was not slow enough for this test"


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_after_a_restart_the_count_is_unknown_and_everything_new_is_given(topic, wire):
    with Server() as server:
        read_to = publish_all(server.base, topic, texts(3))[-1]
        server.restart()
        publish_all(server.base, topic, texts(2, first=3))
        with wire(server.base, [topic], after=read_to) as reader:
            assert_gap_then(take_items(reader, 3), topic, None, texts(2, first=3))


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_after_a_restart_a_reader_of_an_empty_topic_is_told_at_once(topic, wire):
    with Server() as server:
        read_to = publish_all(server.base, topic, texts(3))[-1]
        server.restart()
        with wire(server.base, [topic], after=read_to) as reader:
            assert_gap_then(take_items(reader, 1), topic, None, [])
            publish(server.base, topic, "new")
            assert [message.data for message in reader.take(1)] == ["new"]


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_after_a_restart_every_one_of_several_topics_has_a_gap(topics, wire):
    with Server() as server:
        read_to = head_cursor(server.base, *topics)
        server.restart()
        with wire(server.base, topics, after=read_to) as reader:
            gaps = take_items(reader, 3)
    assert sorted((gap.topic, gap.count) for gap in gaps) == [(name, None) for name in topics]


def test_after_a_restart_a_raw_websocket_is_closed_with_4001(topic):
    with Server() as server:
        read_to = publish_all(server.base, topic, texts(3))[-1]
        server.restart()
        with RawWebSocket(server.base, [topic], after=read_to) as reader:
            assert list(reader) == []
            assert reader.close_code == 4001
            assert reader.close_reason.startswith("gap: messages of ")


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_open_readers_of_a_deleted_topic_are_told_and_go_on(server, topic, wire):
    head = publish(server.base, topic, "one")
    with wire(server.base, [topic], after=head) as reader:
        status, _, _ = request(server.base, "DELETE", topic_url("", topic))
        assert status == 200
        assert_gap_then(take_items(reader, 1), topic, None, [])
        publish(server.base, topic, "two")
        assert [message.data for message in reader.take(1)] == ["two"]


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_a_reader_within_the_log_has_no_gap(small_server, topic, wire):
    base = small_server.base
    read_to = publish_all(base, topic, texts(5))[-1]
    publish_all(base, topic, texts(10, first=5))
    with wire(base, [topic], after=read_to) as reader:
        assert [message.data for message in reader.take(10)] == texts(10, first=5)


def test_a_proxy_client_is_told_of_a_restart_behind_the_proxy(topic):
    """The server comes back on another port; only the proxy's address stays."""
    with Server() as first, CuttingProxy(first.base) as proxy:
        read_to = publish(first.base, topic, "one")
        with Server() as second:
            proxy.target = second.base
            publish(second.base, topic, "two")
            with EventStream(proxy.base, [topic], after=read_to) as reader:
                assert_gap_then(take_items(reader, 2), topic, None, ["two"])
