"""What is for the operator is not to be had through a proxy, however it is asked for."""

import contextlib
import socket

import fronts
import pytest
import wires

from harness import DEADLINE, get, head_cursor, request

behind_every_proxy = pytest.mark.parametrize(
    "front", fronts.DOCUMENTED, indirect=True, ids=lambda kind: kind.name
)

FORBIDDEN = [
    ("GET", "/metrics"),
    ("HEAD", "/metrics"),
    ("GET", "/metrics?name=tidings"),
    ("GET", "/connections"),
    ("GET", "/connections?limit=1"),
    ("DELETE", "/connections/0-0-0"),
    ("POST", "/explain"),
    ("GET", "/topics"),
    ("GET", "/topics?limit=1"),
    ("HEAD", "/topics"),
]
# The same for whoever reads a path differently from others. Nothing of these may be what it looks like.
DISGUISED = [
    b"GET /%6detrics HTTP/1.1",
    b"GET //metrics HTTP/1.1",
    b"GET /./metrics HTTP/1.1",
    b"GET /topics/../metrics HTTP/1.1",
    b"GET /metrics/ HTTP/1.1",
    b"GET /metrics;a HTTP/1.1",
    b"GET /METRICS HTTP/1.1",
    b"GET /metrics#a HTTP/1.1",
    b"GET http://tidings/metrics HTTP/1.1",
    b"GET http://tidings/topics HTTP/1.1",
    b"GET /metrics HTTP/1.0",
    b"GET /topics HTTP/1.0",
    b"GET /topics HTTP/1.1\r\nUpgrade: websocket",
    b"GET /topics HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nX: websocket",
    b"GET /topics HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: xwebsocket",
    b"GET /topics HTTP/1.1\r\nConnection: xupgrade\r\nUpgrade: websocket",
    b"GET /topics HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c, websocket",
    b"GET /topics HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket",
    b"GET /topics HTTP/1.1\r\nConnection: close, upgrade\r\nUpgrade: websocket",
    b"GET /topics HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0",
    b"HEAD /topics HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket",
    b"GET /topics HTTP/1.1\r\nConnection: upgrade",
    b"GET /topics HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c",
    b"GET /topics HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket",
]
# What only an operator's answer has in it.
GIVEN_AWAY = [b"tidings_", b'"topics":', b'"connections":']


@behind_every_proxy
@pytest.mark.parametrize("method, path", FORBIDDEN)
def test_what_is_for_the_operator_is_forbidden(front, method, path):
    assert request(front.base, method, path)[0] == 403


@behind_every_proxy
@pytest.mark.parametrize("asked", DISGUISED)
def test_what_is_for_the_operator_is_not_to_be_had_in_disguise(front, asked):
    with socket.create_connection(("127.0.0.1", front.port), DEADLINE) as client:
        client.sendall(asked + b"\r\nHost: tidings\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while not fronts.answers_in(answer) and (data := client.recv(65536)):
                answer += data
    assert answer == b"" or answer.split()[1] >= b"400", answer
    assert not any(text in answer for text in GIVEN_AWAY), answer


@behind_every_proxy
def test_what_is_for_everybody_is_to_be_had(front, topic):
    assert get(front.base, "/healthz")[0] == 200
    assert get(front.base, "/tidings.js")[0] == 200
    line = f'{{"topic":"{topic}","data":1}}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    assert request(front.base, "POST", "/topics", line, headers)[0] == 200
    assert head_cursor(front.base, topic)
    assert request(front.base, "DELETE", f"/topics/{topic}")[0] in (200, 204)
    with wires.JsonWebSocket(front.base, []) as socket_without_topic:
        assert socket_without_topic.command(type="ping")["type"] == "pong"
