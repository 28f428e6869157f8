"""Prometheus' own tool on what the server says, on the alert rules and on the dashboard's queries; `tidings top` on a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from harness import DEADLINE, REPOSITORY, Server, binary, get, publish

DEPLOY = REPOSITORY / "docs/deploy"


@pytest.fixture
def server():
    with Server("--admin-listen", "127.0.0.1:0") as server:
        [said] = [line for line in server.log if "for the operator:" in line]
        server.admin = re.search(r"http://[0-9.:]+", said).group(0)
        for number in range(20):
            publish(server.base, f"topic-{number % 5}", str(number))
        yield server


def promtool(*arguments, text=None):
    done = subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_takes_the_metrics_and_finds_nothing_to_mend(server):
    status, _, body = get(server.admin, "/metrics")
    assert status == 200
    assert promtool("check", "metrics", text=body.decode()) == ""


def test_prometheus_takes_the_alert_rules():
    assert "SUCCESS" in promtool("check", "rules", str(DEPLOY / "alerts.yml"))


def test_prometheus_takes_every_query_of_the_dashboard(tmp_path):
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(queries) > 30
    rules = []
    for number, query in enumerate(queries):
        query = query.replace("$__rate_interval", "5m").replace("$instance", ".*")
        assert "$" not in query, query
        rules.append({"record": f"query:number_{number}", "expr": query})
    # JSON is YAML.
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


class Screen:
    """`tidings top` on a terminal of its own."""

    def __init__(self, url, columns, lines):
        self.shown = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(binary(), ["tidings", "top", url, "--interval", "0.2"], {"TERM": "xterm"})
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(self.terminal)

    def resize(self, columns, lines):
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    def await_(self, *words):
        """Waits for a screen that has all of these; returns its lines as they are seen."""
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.terminal, 65536)
                except OSError:
                    break
            whole = self.shown.rpartition(b"\x1b[J")[0].rpartition(b"\x1b[H")[2].decode()
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", whole)
            if all(word in plain for word in words):
                return plain.split("\r\n")
        raise AssertionError(f"never {words}: {self.shown[-2000:]!r}")

    def end(self):
        """Its exit code; the terminal must be as it was."""
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.terminal, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                assert self.shown.endswith(b"\x1b[?25h\x1b[?1049l"), self.shown[-200:]
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("it does not end")


@pytest.mark.parametrize("how", ["q", "Ctrl-C"])
def test_top_draws_fits_the_screen_and_gives_it_back(server, how):
    screen = Screen(server.admin, 120, 30)
    lines = screen.await_("tidings ", "hottest topics", "topic-0", "slowest subscribers")
    assert len(lines) <= 30 and max(map(len, lines)) <= 120
    assert b"\x1b[1m" in screen.shown, "there are colours"
    screen.resize(40, 12)
    # A line that is too long ends so; the old screen had none.
    lines = screen.await_("…")
    assert len(lines) <= 12 and max(map(len, lines)) <= 40, lines
    os.write(screen.terminal, b"q" if how == "q" else b"\x03")
    assert screen.end() == 0


def test_top_says_that_the_server_is_gone_and_finds_it_again(server):
    screen = Screen(server.admin, 100, 30)
    screen.await_("hottest topics")
    server.kill()
    screen.await_("no news: ")
    os.write(screen.terminal, b"q")
    assert screen.end() == 0
