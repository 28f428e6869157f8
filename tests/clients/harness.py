"""Starts the real server, and a proxy that can cut: what every client suite stands on.

Nothing here knows a wire; it only starts, stops and cuts. Every wait has a deadline.
"""

import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DEADLINE = 10.0  # seconds that anything may take before a test calls it lost

LISTENING = re.compile(r"listening on (http://\S+?)/?\s")


def binary():
    """The server under test: TIDINGS_BIN, or the release build."""
    path = pathlib.Path(os.environ.get("TIDINGS_BIN", REPOSITORY / "target/release/tidings"))
    if not path.exists():
        raise FileNotFoundError(f"{path}: run `cargo build --release`, or set TIDINGS_BIN")
    return str(path)


class Server:
    """One `tidings serve` on loopback, on a port chosen by the system."""

    def __init__(self, *flags, workers=2):
        self.flags = ("--workers", str(workers), *map(str, flags))
        self.port = 0
        self.start()

    def start(self):
        """Starts it; a second start listens on the port of the first."""
        self.log = []
        self.base = None
        self._listening = threading.Event()
        self.process = subprocess.Popen(
            [binary(), "serve", "--listen", f"127.0.0.1:{self.port}", *self.flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "TIDINGS_CONFIG": "none", "RUST_LOG": "info", "RUST_BACKTRACE": "1"},
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._listening.wait(DEADLINE)
        if not self.base:
            self.kill()
            raise AssertionError("the server did not say where it listens:\n" + self.tail())

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = LISTENING.search(line)
            if found and not self.base:
                self.base = found.group(1)
                self.port = urllib.parse.urlsplit(self.base).port
                self._listening.set()
        self._listening.set()

    def tail(self):
        return "".join(self.log[-40:])

    def url(self, *topics, **query):
        return topic_url(self.base, *topics, **query)

    def terminate(self):
        """Asks it to drain, as an operator would, and does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=DEADLINE):
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(seconds)
        self._reader.join(DEADLINE)
        return code

    def kill(self):
        """The crash: no drain, no goodbye."""
        self.process.kill()
        self.wait()

    def stop(self):
        """Ends it and checks that it ended well: exit code 0 and no panic on the way."""
        if self.process.returncode is None:
            self.terminate()
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server did not end after SIGTERM:\n" + self.tail()) from None
        assert code in (0, -signal.SIGKILL), f"the server ended with {code}:\n{self.tail()}"
        assert not any("panicked at" in line for line in self.log), self.tail()

    def restart(self):
        """A new life on the same port: every log is empty, every epoch new."""
        self.kill()
        self.start()

    def settle(self):
        """Returns when every worker has had a turn since the call.

        A request that was sent before is then no longer in the kernel but known to its worker.
        """
        for _ in range(16):
            assert get(self.base, "/healthz")[0] == 200

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class CuttingProxy:
    """Forwards TCP to the server and cuts connections with a reset, on command or by byte count.

    `budget` is called once per connection and says after how many bytes from the server that
    connection is cut (`None`: never). `target` may be changed while it runs.
    """

    def __init__(self, target, budget=lambda: None):
        self.target = target
        self.budget = budget
        self.cuts = 0
        self._pipes = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                client.close()
                return
            wake, stop = socket.socketpair()
            thread = threading.Thread(target=self._forward, args=(client, stop), daemon=True)
            with self._lock:
                self._pipes[thread] = wake
                thread.start()  # under the lock: a cut joins every thread that it finds

    def _forward(self, client, stop):
        server = None
        try:
            address = urllib.parse.urlsplit(self.target)
            server = socket.create_connection((address.hostname, address.port), DEADLINE)
            client.settimeout(DEADLINE)
            self._pump(client, server, stop)
        except OSError:
            reset(client)
        finally:
            client.close()
            if server:
                server.close()
            with self._lock:
                self._pipes.pop(threading.current_thread()).close()
            stop.close()

    def _pump(self, client, server, stop):
        """Until both sides have ended, or the cut."""
        left = self.budget()
        sources = [client, server]
        while sources and left != 0:
            ready, _, _ = select.select([stop, *sources], [], [])
            if stop in ready:
                break
            for source in ready:
                data = source.recv(65536)
                if source is server and left is not None:
                    data = data[:left]
                    left -= len(data)
                target = server if source is client else client
                if data:
                    target.sendall(data)
                elif left != 0:
                    sources.remove(source)
                    target.shutdown(socket.SHUT_WR)
        if sources:
            self.cuts += 1
            reset(client)
            reset(server)

    def cut(self):
        """Resets every connection that is open now, both ways."""
        with self._lock:
            pipes = dict(self._pipes)
            for wake in pipes.values():
                wake.send(b"x")
        for thread in pipes:
            thread.join(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closing = True
        self._listener.close()
        self.cut()


def reset(sock):
    """Closes with RST instead of FIN: what a pulled cable or a dying gateway looks like."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def topic_url(base, *topics, **query):
    """`base` + `/topics/a,b?…`, or `/topics` for none; a query value of None is left out."""
    path = "/topics" + ("/" if topics else "")
    path += ",".join(urllib.parse.quote(topic, safe="") for topic in topics)
    pairs = {name: value for name, value in query.items() if value is not None}
    return base + path + ("?" + urllib.parse.urlencode(pairs) if pairs else "")


def request(base, method, path, body=None, headers=None, deadline=DEADLINE):
    """One request on a connection of its own: (status, headers, body)."""
    address = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=deadline)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def get(base, path, **headers):
    return request(base, "GET", path, headers=headers)


class Publisher:
    """Publishes over one kept connection and returns the id that the server gave."""

    def __init__(self, base):
        address = urllib.parse.urlsplit(base)
        self._connection = http.client.HTTPConnection(
            address.hostname, address.port, timeout=DEADLINE
        )

    def publish(self, topic, data, content_type="text/plain", event=None, **headers):
        body = data.encode() if isinstance(data, str) else data
        headers = {"Content-Type": content_type, **headers}
        if event is not None:
            headers["Event-Type"] = event.encode()
        path = "/topics/" + urllib.parse.quote(topic, safe="")
        self._connection.request("POST", path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 201, (answer.status, text)
        return json.loads(text)["id"]

    def publish_all(self, topic, payloads):
        return [self.publish(topic, payload) for payload in payloads]

    def close(self):
        self._connection.close()


def publish(base, topic, data, **options):
    publisher = Publisher(base)
    try:
        return publisher.publish(topic, data, **options)
    finally:
        publisher.close()


def publish_all(base, topic, payloads):
    publisher = Publisher(base)
    try:
        return publisher.publish_all(topic, payloads)
    finally:
        publisher.close()


def head_cursor(base, *topics):
    """The cursor at the head (clause 12.1): taken before publishing, it makes a start exact."""
    path = topic_url("", *topics)
    status, headers, _ = request(base, "HEAD", path)
    assert status == 200, status
    return headers["ETag"].strip('"')


class Deadline:
    """`while deadline.open():` loops at most so long; then `deadline.missed(what)` fails."""

    def __init__(self, seconds=DEADLINE):
        self.end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def open(self):
        return self.left() > 0
