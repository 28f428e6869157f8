"""Every wire through every proxy, set up as docs/operating.md says: at once, and after a restart."""

import contextlib
import itertools
import time

import fronts
import httpx
import pytest
import wires

from harness import Server, get, head_cursor, publish, publish_all, topic_url

# What an answer may take from one end to the other, publishing included, in seconds.
AT_ONCE = 1.0
# The first one comes after 12 s at the earliest.
BEFORE_A_HEARTBEAT = 5.0
STREAMS = [wires.EventStream, wires.NdjsonStream, wires.RawWebSocket, wires.JsonWebSocket]


# Without the lines for Upgrade, nginx has no WebSocket.
PAIRS = [
    pytest.param(front, wire, id=f"{front.name}-{wire.name}")
    for front, wire in itertools.product(fronts.ALL, wires.ALL)
    if front.passes_websocket or not issubclass(wire, wires.WebSocket)
]
through_every_proxy = pytest.mark.parametrize("front, wire", PAIRS, indirect=["front"])


@through_every_proxy
def test_what_is_published_through_a_proxy_arrives_through_it_at_once(front, wire, topic):
    after = None if wire is wires.RawWebSocket else head_cursor(front.base, topic)
    with wire(front.base, [topic], after) as reader:
        for number in range(5):
            began = time.monotonic()
            publish(front.base, topic, f"message {number}")
            (message,) = reader.take(1)
            took = time.monotonic() - began
            assert message.data == f"message {number}"
            assert took < AT_ONCE, f"{took:.2f} s from publishing to arrival"


RESUMING = [pair for pair in PAIRS if pair.values[1] in wires.WITH_CURSOR]


@pytest.mark.parametrize("front, wire", RESUMING, indirect=["front"])
def test_a_client_resumes_when_the_proxy_was_restarted(server, front, wire, topic):
    after = head_cursor(front.base, topic)
    with contextlib.closing(wires.following(wire, front.base, [topic], after)) as items:
        publish_all(front.base, topic, ["1", "2", "3"])
        seen = list(itertools.islice(items, 3))
        front.stop()
        publish_all(server.base, topic, ["4", "5", "6"])
        front.start()
        seen += itertools.islice(items, 3)
    assert [item.data for item in seen] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("file", ["nginx.conf", "haproxy.cfg", "Caddyfile"])
def test_the_page_quotes_the_configuration_that_is_tested(file):
    page = (fronts.REPOSITORY / "docs/operating.md").read_text()
    assert f"\n{(fronts.DEPLOY / file).read_text()}```\n" in page


def test_connections_to_the_server_are_kept_for_other_clients(front, relay):
    relay.forget()
    for _ in range(20):
        assert get(front.base, "/healthz")[0] == 200
    if front.keeps_connections:
        # A few, where the proxy has threads.
        assert relay.connections <= 10
    else:
        assert relay.connections == 20


# HAProxy notices it when it passes on the next heartbeat.
ATTENTIVE = [fronts.Nginx, fronts.Caddy, fronts.Node]


@pytest.mark.parametrize("front", ATTENTIVE, indirect=True, ids=lambda kind: kind.name)
@pytest.mark.parametrize("wire", STREAMS, ids=wires.wire_name)
def test_a_client_that_leaves_takes_its_stream_with_it_before_the_next_heartbeat(
    front, relay, wire, topic
):
    with wire(front.base, [topic]):
        pass
    asked = [name for name, sent in relay.sent.items() if topic.encode() in sent]
    assert len(asked) == 1
    fronts.await_true(lambda: relay.left, lambda: relay.left.issuperset(asked), BEFORE_A_HEARTBEAT)


@pytest.fixture(scope="module")
def restless_server():
    with Server("--heartbeat", "0.4", "--ping", "0.4") as server:
        yield server


@pytest.mark.parametrize("kind", fronts.ALL, ids=lambda kind: kind.name)
def test_attack_147_through_proxies_events_arrive_at_once_and_silence_is_survived(
    restless_server, kind, topic, tmp_path
):
    streams = [wires.EventStream, wires.NdjsonStream]
    if kind.passes_websocket:
        streams += [wires.RawWebSocket, wires.JsonWebSocket]
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(fronts.Relay(restless_server.port))
        # The proxy gives up when tidings has been silent for 2 s.
        front = stack.enter_context(kind(tmp_path, relay.port, read_timeout=2))
        readers = [stack.enter_context(wire(front.base, [topic])) for wire in streams]
        sent = [answer.lower() for answer in relay.answered.values()]
        assert sum(b"x-accel-buffering: no\r\n" in answer for answer in sent) == 2
        # At most 0.4 s and at least 0.32 s lie between two heartbeats: 20 of them are 6 s or more.
        fronts.await_true(lambda: relay.pieces, lambda: beats(relay) >= 20, seconds=30)
        for reader in readers:
            began = time.monotonic()
            publish(front.base, topic, reader.name)
            for other in readers:
                assert other.take(1)[0].data == reader.name
            assert time.monotonic() - began < AT_ONCE
        head = head_of_stream(front, topic)
        assert head.headers["Cache-Control"] == "no-cache, no-transform"


def beats(relay):
    """What the connection that has heard least from tidings has heard."""
    return min(relay.pieces.values())


def head_of_stream(front, topic):
    """The head of an event stream, as it comes out of a proxy."""
    url = topic_url(front.base, topic)
    with httpx.stream("GET", url, headers={"Accept": "text/event-stream"}, trust_env=False) as one:
        return one
