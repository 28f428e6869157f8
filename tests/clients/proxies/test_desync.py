"""What a proxy takes for one request, tidings does not take for two, and no answer is another's.

Counted on both sides: the proxy says how many of its requests were answered, the relay behind it
how many answers tidings gave.
"""

import contextlib
import http.client
import json
import socket
import threading

import attacks
import fronts
import pytest

from harness import DEADLINE, get, request

# How long a request that is never complete may wait for an answer, in seconds.
PATIENCE = 1.0


def send(port, attack, answers):
    """Sends an attack on a connection of its own, and keeps that open."""
    client = socket.create_connection(("127.0.0.1", port), DEADLINE)
    with contextlib.suppress(ConnectionError):  # Refused before it was read.
        client.sendall(attack)
    client.settimeout(PATIENCE)
    receive(client, answers, lambda: fronts.answers_in(bytes(answers)))
    return client


def receive(client, answers, enough):
    with contextlib.suppress(TimeoutError, BlockingIOError, ConnectionError):
        while not enough():
            data = client.recv(65536)
            if not data:
                return
            answers += data


def check_honest_client(port, name):
    """Somebody else, on connections that the attack has used: every answer is their own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with contextlib.closing(connection):
        for number in range(2):
            connection.request("POST", f"/topics/{name}", f"{number}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 201, (answer.status, body)
            assert json.loads(body)["topic"] == name, body
        connection.request("GET", f"/topics/{name}")
        messages = json.loads(connection.getresponse().read())["messages"]
        assert [message["data"] for message in messages] == ["0", "1"]


@pytest.mark.parametrize("attack", attacks.ALL.values(), ids=attacks.ALL)
def test_no_request_is_taken_for_two(server, relay, front, topic, attack):
    request(server.base, "DELETE", "/topics/smuggled")
    relay.forget()
    before, given_up_before = front.answered(), front.given_up()
    answers = bytearray()
    with send(front.port, attack, answers) as client:
        check_honest_client(front.port, topic)
        server.settle()
        client.settimeout(0)
        receive(client, answers, lambda: False)

    got = [status for status, _ in fronts.answers_in(bytes(answers))]

    def counts():
        return front.answered() - before, front.given_up() - given_up_before, relay.answers()

    def told():
        return (
            f"the client got {got}; answered, given up, and answers of tidings: {counts()}; "
            f"{list(relay.sent.values())} {list(relay.answered.values())}"
        )

    def is_even():
        counted, given_up, given = counts()
        # Three are the honest client's; one answer more may be the proxy's own.
        return counted <= given <= counted + given_up and counted >= 3 + max(0, len(got) - 1)

    fronts.await_true(told, is_even)
    smuggled = json.loads(get(server.base, "/topics/smuggled")[2])["messages"]
    assert smuggled == [], told()


class Gullible:
    """A server that takes no notice of bodies: what follows a head is the next request."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        buffered = b""
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                buffered += data
                while b"\r\n\r\n" in buffered:
                    buffered = buffered.partition(b"\r\n\r\n")[2]
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize("kind", fronts.ALL, ids=lambda kind: kind.name)
def test_a_gullible_server_would_be_found_out(kind, tmp_path):
    with (
        contextlib.closing(Gullible()) as gullible,
        fronts.Relay(gullible.port) as relay,
        kind(tmp_path, relay.port) as front,
    ):
        attack = attacks.post(attacks.length(attacks.HIDDEN), body=attacks.HIDDEN)
        send(front.port, attack, bytearray()).close()
        fronts.await_true(lambda: relay.answers(), lambda: relay.answers() == 2)
        fronts.await_true(front.answered, lambda: front.answered() == 1)
