"""SIGTERM ends every wire in its documented way, and then the process with 0 (clause 18)."""

import concurrent.futures
import http.client
import json
import urllib.parse

import pytest

from harness import DEADLINE, Server, head_cursor, publish, publish_all, topic_url
from wires import Drain, EventStream, JsonWebSocket, NdjsonStream, RawWebSocket, wire_name

STREAMS = [EventStream, NdjsonStream, RawWebSocket, JsonWebSocket]
RETRY_MS_MAX = 60_000


@pytest.fixture
def server():
    with Server("--drain-spread", 1, "--drain-max", 8) as server:
        yield server


def connect(server):
    address = urllib.parse.urlsplit(server.base)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=DEADLINE)


@pytest.mark.parametrize("wire", STREAMS, ids=wire_name)
def test_a_stream_is_told_when_to_come_back_and_ended_cleanly(server, topic, wire):
    with wire(server.base, [topic]) as reader:
        server.terminate()
        # An answer without its last chunk, or a socket without close, would raise `Cut` here.
        [drain] = list(reader)
        assert isinstance(drain, Drain)
        assert 0 < drain.retry_ms <= RETRY_MS_MAX
        if wire is EventStream:
            assert reader.retry == drain.retry_ms
    assert server.wait() == 0


@pytest.mark.parametrize("wire", STREAMS, ids=wire_name)
def test_what_was_published_before_the_drain_is_delivered_first(server, topic, wire):
    published = [str(number) for number in range(500)]
    with wire(server.base, [topic]) as reader:
        publish_all(server.base, topic, published)
        server.terminate()
        *messages, drain = list(reader)
        assert [message.data for message in messages] == published
        assert isinstance(drain, Drain)
    assert server.wait() == 0


def test_a_parked_poll_is_answered_with_its_cursor(server, topic):
    cursor = publish(server.base, topic, "one")
    connection = connect(server)
    connection.request("GET", topic_url("", topic, wait=30, after=cursor))
    server.settle()
    server.terminate()
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["Connection"].lower() == "close"
    assert json.loads(answer.read()) == {"messages": [], "cursor": cursor}
    assert server.wait() == 0


def test_idle_connections_are_closed(server):
    connections = [connect(server) for _ in range(5)]
    for connection in connections:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    server.terminate()
    for connection in connections:
        assert connection.sock.recv(1) == b""
    assert server.wait() == 0


def test_a_server_without_connections_ends_at_once(server):
    server.terminate()
    assert server.wait() == 0


def test_many_clients_of_all_wires_are_told_different_delays(server, topic):
    """The point of the jitter: forty clients do not come back together (clause 17.1)."""
    readers = [wire(server.base, [topic]) for wire in STREAMS for _ in range(10)]
    server.terminate()
    with concurrent.futures.ThreadPoolExecutor(len(readers)) as pool:
        endings = list(pool.map(list, readers))
    delays = {ending[-1].retry_ms for ending in endings}
    assert len(delays) > 20, delays
    for reader in readers:
        reader.close()
    assert server.wait() == 0


@pytest.mark.parametrize("wire", STREAMS, ids=wire_name)
def test_a_drained_client_comes_back_to_the_next_server(server, topic, wire):
    """Its old cursor is of another epoch there: it is told so, once, and goes on."""
    with wire(server.base, [topic]) as reader:
        cursor = publish(server.base, topic, "one")
        server.terminate()
        list(reader)
    assert server.wait() == 0
    server.start()
    assert head_cursor(server.base, topic) != cursor
    publish(server.base, topic, "two")
    with wire(server.base, [topic], after="earliest") as reader:
        assert [message.data for message in reader.take(1)] == ["two"]
