"""Several servers with one Redis behind a proxy that sends each client wherever it likes."""

import contextlib
import http.client
import itertools
import re
import socket
import subprocess

import fronts
import pytest
import wires

from harness import DEADLINE, Server, get, head_cursor, publish, publish_all, request

SERVERS = 3
# What a server may take until it is ready, or until another has taken over its clients.
RECOVERY = 20.0
STREAMS = [wires.EventStream, wires.NdjsonStream, wires.RawWebSocket, wires.JsonWebSocket]


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """The URL of a Redis that keeps nothing."""
    port = fronts.free_port()
    folder = tmp_path_factory.mktemp("redis")
    flags = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        ["redis-server", *map(str, flags), "--dir", folder, "--logfile", folder / "log"],
        stdin=subprocess.DEVNULL,
    )
    try:
        fronts.await_true(lambda: (folder / "log").read_text(), lambda: answers_ping(port))
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(DEADLINE)


def answers_ping(port):
    try:
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100) == b"+PONG\r\n"
    except ConnectionRefusedError:
        return False


def is_ready(server):
    with contextlib.suppress(OSError):
        return get(server.base, "/readyz")[0] == 200


def start(stack, redis):
    """So many servers that share their topics, when all are ready."""
    # HAProxy notices that a client has gone when it passes on the next heartbeat.
    beats = ["--heartbeat", "0.5", "--ping", "0.5"]
    flags = ["--redis", redis, "--drain-spread", "1", "--drain-max", "5", *beats]
    servers = [stack.enter_context(Server(*flags)) for _ in range(SERVERS)]
    await_ready(servers)
    return servers


def await_ready(servers):
    for server in servers:
        fronts.await_true(server.tail, lambda server=server: is_ready(server), RECOVERY)


@pytest.fixture(scope="module")
def servers(redis):
    with contextlib.ExitStack() as stack:
        yield start(stack, redis)


@pytest.fixture(scope="module", params=fronts.CLUSTERS, ids=lambda front: front.name)
def cluster(request, servers, tmp_path_factory):
    """One of the proxies, before all servers."""
    folder = tmp_path_factory.mktemp(request.param.name)
    with request.param(folder, [server.port for server in servers]) as front:
        await_every_server(front, servers)
        yield front


def await_every_server(front, servers):
    """Until the proxy knows that each may be used: of a few streams every server gets some."""

    def reach():
        before = [subscriptions(server, "websocket") for server in servers]
        with contextlib.ExitStack() as stack:
            for _ in range(6 * SERVERS):
                stack.enter_context(wires.RawWebSocket(front.base, ["probe"]))
            after = [subscriptions(server, "websocket") for server in servers]
        return all(one < other for one, other in zip(before, after, strict=True))

    fronts.await_true(front.tail, reach, RECOVERY)


def subscriptions(server, wire=""):
    """How many streams and long polls a server has."""
    text = get(server.base, "/metrics")[2].decode()
    lines = re.findall(r'^tidings_subscriptions{wire="(.*)"} (\d+)$', text, re.MULTILINE)
    assert lines
    return sum(int(count) for name, count in lines if wire in name)


@pytest.mark.parametrize("wire", wires.ALL, ids=wires.wire_name)
def test_every_reader_gets_every_message_whichever_server_it_lands_on(cluster, wire, topic):
    after = None if wire is wires.RawWebSocket else head_cursor(cluster.base, topic)
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(wire(cluster.base, [topic], after)) for _ in range(2 * SERVERS)
        ]
        # A connection for each: every one goes where it likes.
        ids = [publish(cluster.base, topic, f"message {number}") for number in range(12)]
        for reader in readers:
            taken = reader.take(12)
            assert [message.data for message in taken] == [f"message {n}" for n in range(12)]
            if wire is not wires.RawWebSocket:
                assert [message.cursor for message in taken] == ids


@pytest.mark.parametrize("wire", STREAMS, ids=wires.wire_name)
def test_streams_are_spread_over_the_servers(cluster, servers, wire, topic):
    fronts.await_true(lambda: "streams of before", lambda: not any(map(subscriptions, servers)))
    with contextlib.ExitStack() as stack:
        for _ in range(4 * SERVERS):
            stack.enter_context(wire(cluster.base, [topic]))
        spread = [subscriptions(server) for server in servers]
        assert sum(spread) == 4 * SERVERS
        assert min(spread) >= 3, spread


def test_a_cursor_of_one_server_is_good_on_every_other(cluster, servers, topic):
    publish_all(cluster.base, topic, ["1", "2"])
    for here, there in itertools.permutations(servers, 2):
        with wires.LongPoll(here.base, [topic], "earliest") as poll:
            cursor = poll.take(1)[0].cursor
        with wires.EventStream(there.base, [topic], cursor) as events:
            assert events.take(1)[0].data == "2"


@pytest.mark.parametrize("kind", fronts.CLUSTERS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_client_whose_server_goes_resumes_on_another_and_misses_nothing(
    redis, kind, end, topic, tmp_path
):
    with contextlib.ExitStack() as stack:
        servers = start(stack, redis)
        front = stack.enter_context(kind(tmp_path, [server.port for server in servers]))
        await_every_server(front, servers)
        after = head_cursor(front.base, topic)
        readers = [
            stack.enter_context(contextlib.closing(resuming(wire, front.base, topic, after)))
            for wire in wires.WITH_CURSOR
            for _ in range(2)
        ]
        expected = []
        # Each goes once, so that every reader loses its server, and is back before the next one goes.
        for number, server in enumerate(servers):
            expected += [f"{number} before", f"{number} after"]
            publish_patiently(front.base, topic, expected[-2])
            for reader in readers:
                assert next(reader).data == expected[-2]
            getattr(server, end)()
            publish_patiently(front.base, topic, expected[-1])
            for reader in readers:
                assert next(reader).data == expected[-1]
            server.wait()
            server.start()
            await_ready([server])
            await_every_server(front, servers)


def test_a_user_who_may_do_what_the_page_lists_and_nothing_else_is_enough(redis, topic):
    page = (fronts.REPOSITORY / "docs/clustering.md").read_text()
    commands = re.findall(r"^ACL SETUSER .*$", page, re.MULTILINE)
    assert len(commands) == 2
    assert tell(redis, *(command.replace("PASSWORD", "secret") for command in commands)) == b"+OK"
    assert tell(redis, "ACL LOG RESET") == b"+OK"
    url = redis.replace("//", "//tidings:secret@") + "/1"
    with Server("--redis", url, "--redis-wait", "0") as server:
        await_ready([server])
        before = head_cursor(server.base, topic)
        key = {"Idempotency-Key": f'"{topic}"'}
        assert publish(server.base, topic, "1", **key) == publish(server.base, topic, "1", **key)
        with wires.EventStream(server.base, [topic], before) as events:
            publish(server.base, topic, "2")
            assert [message.data for message in events.take(2)] == ["1", "2"]
        status, _, _ = request(server.base, "DELETE", f"/topics/{topic}")
        assert status in (200, 204), status
    # What was refused to anybody stands there.
    assert tell(redis, "ACL LOG") == b"*0"


def tell(redis, *commands):
    """The first line of the last answer."""
    port = int(redis.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        lines = connection.makefile("rb")
        for command in commands:
            connection.sendall(command.encode() + b"\r\n")
            answer = lines.readline().rstrip()
    return answer


def resuming(wire, base, topic, after):
    """The messages for a client that comes back with its cursor whenever its server has gone."""
    cursor = after
    while True:
        with contextlib.suppress(wires.Cut):
            with wire(base, [topic], cursor) as reader:
                for item in reader:
                    if isinstance(item, wires.Drain):
                        continue
                    assert isinstance(item, wires.Message), item
                    cursor = item.cursor
                    yield item


def publish_patiently(base, topic, text):
    """As a publisher does it that must not lose or repeat: with a key, until it is acknowledged."""
    key = f"{topic}-{text}".replace(" ", "-")
    headers = {"Content-Type": "text/plain", "Idempotency-Key": f'"{key}"'}
    tries = []

    def acknowledged():
        try:
            status, _, body = request(base, "POST", f"/topics/{topic}", text, headers)
        except (OSError, http.client.HTTPException) as error:
            tries.append(repr(error))
            return False
        tries.append((status, body))
        assert status in (201, 502, 503, 504), tries
        return status == 201

    fronts.await_true(lambda: f"{text} is published: {tries}", acknowledged, RECOVERY)


PAIRS = [("haproxy.cfg", "haproxy-cluster.cfg"), ("nginx.conf", "nginx-cluster.conf")]


@pytest.mark.parametrize("one, several", PAIRS)
def test_before_several_servers_a_proxy_differs_only_in_where_it_sends_what(one, several):
    one, several = ((fronts.DEPLOY / file).read_text() for file in (one, several))
    kept = [line for line in one.splitlines() if "8080" not in line and not line.startswith("#")]
    lines = iter(several.splitlines())
    missing = [line for line in kept if line not in lines]
    assert not missing


QUOTED = [("haproxy-cluster.cfg", "\nbackend ", None), ("nginx-cluster.conf", "\nupstream ", "\n}\n")]


@pytest.mark.parametrize("file, begin, end", QUOTED)
def test_the_page_quotes_what_is_tested_for_several_servers(file, begin, end):
    text = (fronts.DEPLOY / file).read_text()
    quoted = text[text.index(begin) :]
    if end:
        quoted = quoted[: quoted.index(end) + len(end)]
    page = (fronts.REPOSITORY / "docs/clustering.md").read_text()
    assert f"{quoted}```\n" in page
