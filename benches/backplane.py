#!/usr/bin/env python3
"""What sharing topics through Redis costs: messages per second, latency, processor time, memory, and a cut of everything.

    cargo build --release && python3 benches/backplane.py [--binary target/release/tidings]

Needs redis-server in the PATH (Debian: redis-server); starts and stops everything itself, on loopback, on ports that the system
chooses. Every figure is of one run on one machine; what counts are the ratios.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import select
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "src/outbound/scripts"
PAYLOAD = b"x" * 100


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*arguments):
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Redis:
    """A Redis server of our own, and a plain connection to it."""

    def __init__(self, folder):
        self.port = free_port()
        flags = ["--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", folder]
        log = open(os.path.join(folder, "redis.log"), "wb")
        self.process = subprocess.Popen(["redis-server", *flags], stdout=log, stderr=log)
        self.socket = connect(self.port)
        self.left = b""

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def ask(self, *arguments):
        self.socket.sendall(command(*arguments))
        return self.reply()

    def line(self):
        while b"\r\n" not in self.left:
            self.left += self.socket.recv(1 << 16)
        line, self.left = self.left.split(b"\r\n", 1)
        return line

    def reply(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            count = int(rest)
            if count < 0:
                return None
            while len(self.left) < count + 2:
                self.left += self.socket.recv(1 << 16)
            value, self.left = self.left[:count], self.left[count + 2 :]
            return value
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest

    def info(self, section, key):
        text = self.ask("INFO", section).decode()
        return re.search(rf"^{key}:(.*?)\r?$", text, re.M).group(1)

    def processor(self):
        """Seconds of processor time so far."""
        return float(self.info("cpu", "used_cpu_user")) + float(self.info("cpu", "used_cpu_sys"))

    def life(self):
        return self.info("server", "run_id")[:12] + self.info("replication", "master_replid")[:12]


def connect(port, patience=10.0):
    until = time.monotonic() + patience
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


class Tidings:
    """A server of ours, with Redis or without."""

    def __init__(self, binary, folder, redis=None, *flags):
        self.port = free_port()
        shared = ["--redis", f"redis://127.0.0.1:{redis.port}"] if redis else []
        arguments = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--workers", "1"]
        log = open(os.path.join(folder, f"tidings-{self.port}.log"), "wb")
        self.process = subprocess.Popen([*arguments, *shared, *flags], stdout=log, stderr=log)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("tidings is not ready")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def resident(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+) kB", text, re.M).group(1)) * 1024

    def processor(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.M)
        return sum(map(float, found))


def script(name):
    return (SCRIPTS / "prelude.lua").read_bytes() + (SCRIPTS / f"{name}.lua").read_bytes()


def floor(redis, count, in_flight, topics):
    """Bare EVALSHA of the publish script: the most that Redis gives anybody. Messages a second."""
    sha = redis.ask("SCRIPT", "LOAD", script("publish")).decode()
    life, epoch = redis.life(), hashlib.sha1(os.urandom(8)).hexdigest()[:8].translate(str.maketrans("u", "v"))
    record = b"1764547200123 10 0\ntext/plain" + PAYLOAD

    def one(number):
        tag = "bench:{topic-%d}" % (number % topics)
        keys = [tag + ":state", tag + ":log"]
        numbers = [3_600_000, 300_000]
        rest = [record, 1000, 8 << 20, 366, tag, "PUBLISH", 120_000]
        return command("EVALSHA", sha, 2, *keys, life, epoch, *numbers, *rest)

    requests = [one(number) for number in range(topics if topics > 1 else 1)]
    sock, sent, answered, left = redis.socket, 0, 0, b""
    before, began = redis.processor(), time.monotonic()
    while answered < count:
        batch = b"".join(requests[(sent + i) % len(requests)] for i in range(min(in_flight - (sent - answered), count - sent)))
        sent += min(in_flight - (sent - answered), count - sent)
        if batch:
            sock.sendall(batch)
        # "$<n>\r\n<position>\r\n": two lines a reply.
        left += sock.recv(1 << 18)
        whole = left.count(b"\r\n") // 2
        if left.endswith(b"\r\n") and left.count(b"\r\n") % 2 == 0:
            left = b""
            answered += whole
    took = time.monotonic() - began
    return count / took, (redis.processor() - before) / count * 1e6


def publish_one_by_one(server, count):
    """One publisher who waits for each answer: messages a second, and the median of the answers in microseconds."""
    sock, taken = connect(server.port), []
    request = b"POST /topics/single HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(PAYLOAD), PAYLOAD)
    began = time.monotonic()
    for number in range(count):
        if number % 900 == 899:
            sock.close()
            sock = connect(server.port)
        at = time.monotonic()
        sock.sendall(request)
        answer = sock.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 201"), answer
        taken.append(time.monotonic() - at)
    rate = count / (time.monotonic() - began)
    return rate, statistics.median(taken) * 1e6


def publish_batches(server, redis, count, topics, connections=4):
    """Publishers who send lines as fast as they are taken: messages a second, processor time of Redis and of ours."""
    lines = [json.dumps({"topic": f"t{number}", "data": PAYLOAD.decode()}).encode() + b"\n" for number in range(topics)]
    share = count // connections
    body = b"".join(lines[number % topics] for number in range(share))
    head = b"POST /topics HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(body)
    cpu = lambda: (redis.processor() if redis else 0.0, server.processor())
    before, began = cpu(), time.monotonic()
    waiting = {}
    for _ in range(connections):
        sock = connect(server.port)
        sock.setblocking(False)
        waiting[sock] = [memoryview(head + body), 0]
    while waiting:
        writers = [sock for sock, state in waiting.items() if state[0]]
        readable, writable, _ = select.select(list(waiting), writers, [], 60)
        assert readable or writable, "nothing moves"
        for sock in writable:
            state = waiting[sock]
            state[0] = state[0][sock.send(state[0][: 1 << 18]) :]
        for sock in readable:
            data = sock.recv(1 << 18)
            assert data and b'"error"' not in data and b'"status"' not in data, data[:400]
            state = waiting[sock]
            state[1] += data.count(b'"id"')
            if state[1] >= share:
                sock.close()
                del waiting[sock]
    took = time.monotonic() - began
    after = cpu()
    total = share * connections
    return total / took, (after[0] - before[0]) / total * 1e6, (after[1] - before[1]) / total * 1e6


def latency(publisher, subscriber, count=600):
    """From the first byte of a publish until a subscriber has the message: median and 99th percentile, microseconds."""
    stream = connect(subscriber.port)
    stream.sendall(b"GET /topics/latency HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n")
    while b": tidings" not in stream.recv(1 << 16):
        pass
    sock, taken = connect(publisher.port), []
    for number in range(count):
        body = b"message %d;" % number
        at = time.monotonic()
        sock.sendall(b"POST /topics/latency HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        got = b""
        while body not in got:
            got += stream.recv(1 << 16)
        taken.append(time.monotonic() - at)
        sock.recv(1 << 16)
        time.sleep(0.002)
    taken.sort()
    return statistics.median(taken) * 1e6, taken[len(taken) * 99 // 100] * 1e6


def websocket(server):
    sock = connect(server.port)
    sock.sendall(
        b"GET /topics/any HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidings.json\r\n\r\n"
    )
    assert b"101" in sock.recv(1 << 16)
    return sock


def text_frame(text):
    data, mask = text.encode(), b"\0\0\0\0"
    if len(data) < 126:
        return bytes([0x81, 0x80 | len(data)]) + mask + data
    return bytes([0x81, 0x80 | 126]) + len(data).to_bytes(2, "big") + mask + data


def subscribe_many(server, topics, each):
    """WebSockets that are subscribed to so many topics together, each to some."""
    sockets = []
    for first in range(0, topics, each):
        sock = websocket(server)
        for start in range(first, min(first + each, topics), 500):
            names = [f"many-{number}" for number in range(start, min(start + 500, first + each, topics))]
            sock.sendall(text_frame(json.dumps({"type": "subscribe", "topics": names})))
        sockets.append(sock)
    return sockets


def channels(redis):
    """Topics whose channels are listened to."""
    return len(redis.ask("PUBSUB", "CHANNELS", "tidings:{many-*"))


def until(what, patience=120.0):
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < patience, "it takes too long"
        time.sleep(0.05)
    return time.monotonic() - began


def row(name, *values):
    print(f"| {name} | " + " | ".join(values) + " |", flush=True)


def messages(binary, folder):
    redis = Redis(folder)
    print("\n### Messages a second, 100 bytes each\n\n| | messages/s | Redis, us each | tidings, us each |\n|---|---|---|---|")
    for in_flight, topics, name in [(1, 1, "one in flight"), (64, 1, "64 in flight"), (64, 1000, "64 in flight, 1,000 topics")]:
        rate, cost = floor(redis, 3_000 if in_flight == 1 else 60_000, in_flight, topics)
        row(f"floor: bare EVALSHA, {name}", f"{rate:,.0f}", f"{cost:.1f}", "")
    for name, server, through in [
        ("alone", Tidings(binary, folder), None),
        ("Redis", Tidings(binary, folder, redis), redis),
    ]:
        rate, median = publish_one_by_one(server, 2_500)
        row(f"{name}: one publisher, one by one", f"{rate:,.0f}", "", f"answer after {median:.0f} us")
        for topics in (1, 1000):
            rate, cost, own = publish_batches(server, through, 60_000, topics)
            row(f"{name}: 4 publishers of lines, {topics:,} topics", f"{rate:,.0f}", f"{cost:.1f}" if through else "", f"{own:.1f}")
        server.stop()
    redis.stop()


def latencies(binary, folder):
    redis = Redis(folder)
    alone, one, other = Tidings(binary, folder), Tidings(binary, folder, redis), Tidings(binary, folder, redis)
    print("\n### From publish to a subscriber, SSE\n\n| | median, us | 99 %, us |\n|---|---|---|")
    for name, publisher, subscriber in [
        ("without Redis", alone, alone),
        ("Redis, same server", one, one),
        ("Redis, another server", one, other),
    ]:
        median, high = latency(publisher, subscriber)
        row(name, f"{median:.0f}", f"{high:.0f}")
    for process in (alone, one, other, redis):
        process.stop()


def idle(binary, folder, topics):
    redis = Redis(folder)
    flags = ["--topics-per-connection", "1024", "--topics-max", "200000", "--reads-per-second", "1000000"]
    # Nobody answers pings here.
    flags += ["--ping", "3600"]
    server = Tidings(binary, folder, redis, *flags)
    before, used = server.resident(), int(redis.info("memory", "used_memory"))
    began = time.monotonic()
    sockets = subscribe_many(server, topics, 1000)
    until(lambda: channels(redis) >= topics)
    until(lambda: server.metric("tidings_redis_reads_total") >= topics)
    took = time.monotonic() - began
    print(f"\n### {topics:,} topics with one subscriber each, nothing published\n\n| | |\n|---|---|")
    row("all subscribed and read after", f"{took:.1f} s")
    row("tidings, a topic (with its subscription)", f"{(server.resident() - before) / topics:,.0f} bytes")
    row("Redis, a topic", f"{(int(redis.info('memory', 'used_memory')) - used) / topics:,.0f} bytes")
    # A topic is looked at 30 to 60 s after it was last: in the second half of the minute.
    time.sleep(30)
    span, ours, theirs, reads = 30, server.processor(), redis.processor(), server.metric("tidings_redis_reads_total")
    time.sleep(span)
    reads = server.metric("tidings_redis_reads_total") - reads
    row("looked at again in 30 s (--redis-check 60)", f"{reads:,.0f} topics")
    row("processor time of tidings meanwhile", f"{(server.processor() - ours) / span:.1%} of a core")
    row("processor time of Redis meanwhile", f"{(redis.processor() - theirs) / span:.1%} of a core")
    reads, cost = server.metric("tidings_redis_reads_total"), redis.processor()
    began = time.monotonic()
    redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
    # Until it is noticed, they are still counted.
    until(lambda: channels(redis) < topics)
    until(lambda: channels(redis) >= topics)
    again = time.monotonic() - began
    until(lambda: server.metric("tidings_redis_reads_total") >= reads + topics)
    row("after CLIENT KILL TYPE pubsub: all subscribed again after", f"{again:.1f} s")
    row("and every log found complete after", f"{time.monotonic() - began:.1f} s")
    row("for which Redis worked", f"{redis.processor() - cost:.1f} s")
    for sock in sockets:
        sock.close()
    server.stop()
    redis.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/tidings"), help="the server to measure")
    parser.add_argument("--topics", type=int, default=100_000, help="idle topics [default: 100000]")
    arguments = parser.parse_args()
    if not shutil.which("redis-server"):
        parser.error("redis-server is not there: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:
        messages(arguments.binary, folder)
        latencies(arguments.binary, folder)
        idle(arguments.binary, folder, arguments.topics)


if __name__ == "__main__":
    main()
