"""Several topics on one connection, with one cursor for all (clauses 1.3 and 3.4)."""

import pytest

from harness import get, head_cursor, publish, publish_all, topic_url
from wires import ALL, WITH_CURSOR, Gap, wire_name


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_all_topics_are_heard(server, topics, wire):
    with wire(server.base, topics) as reader:
        for topic in topics:
            publish(server.base, topic, topic)
        assert sorted(message.data for message in reader.take(3)) == topics


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_each_topic_is_in_its_own_order(server, topics, wire):
    head = head_cursor(server.base, *topics)
    for number in range(20):
        for topic in topics:
            publish(server.base, topic, f"{topic}:{number}")
    with wire(server.base, topics, after=head) as reader:
        read = [message.data for message in reader.take(60)]
    for topic in topics:
        mine = [text for text in read if text.startswith(topic + ":")]
        assert mine == [f"{topic}:{number}" for number in range(20)]


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_a_cursor_may_come_back_with_the_topics_in_another_order(server, topics, wire):
    for topic, count in zip(topics, (1, 2, 3)):
        publish_all(server.base, topic, ["seen"] * count)
    cursor = head_cursor(server.base, *topics)
    publish(server.base, topics[1], "new")
    with wire(server.base, topics[::-1], after=cursor) as reader:
        assert [message.data for message in reader.take(1)] == ["new"]


@pytest.mark.parametrize("wire", WITH_CURSOR, ids=wire_name)
def test_a_cursor_for_another_number_of_topics_is_of_another_epoch(server, topics, wire):
    for topic in topics:
        publish(server.base, topic, topic)
    cursor = head_cursor(server.base, *topics)
    with wire(server.base, topics[:2], after=cursor) as reader:
        items = []
        for item in reader:
            items.append(item)
            if len(items) == 4:
                break
    gaps = [item for item in items if isinstance(item, Gap)]
    assert sorted((gap.topic, gap.count) for gap in gaps) == [(name, None) for name in topics[:2]]
    assert sorted(item.data for item in items if not isinstance(item, Gap)) == topics[:2]


def test_a_topic_that_is_given_twice_counts_once(server, topic):
    cursor = head_cursor(server.base, topic, topic)
    assert cursor == head_cursor(server.base, topic)


def test_too_many_topics_are_refused(server):
    names = [f"many {number}" for number in range(129)]
    assert get(server.base, topic_url("", *names))[0] == 400
    assert get(server.base, topic_url("", *names[:128]))[0] == 200


def test_a_percent_encoded_comma_is_refused(server):
    assert get(server.base, "/topics/a%2Cb")[0] == 400
