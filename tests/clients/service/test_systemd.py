"""The units in docs/deploy/ as systemd reads them, and the server as it finds itself under them."""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import DEADLINE, REPOSITORY, Deadline, Server, binary, get

DEPLOY = REPOSITORY / "docs/deploy"
UNITS = ["tidings.service", "tidings.socket", "tidings-admin.socket"]
# Of 10, which is no protection at all. What is left is the network, and what every service has.
EXPOSURE_MAX = 1.5
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17


@pytest.fixture
def units(tmp_path):
    """The units with the program that is tested in the place of the installed one."""
    for name in UNITS:
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/local/bin/tidings", binary()))
    assert binary() in (tmp_path / "tidings.service").read_text()
    return tmp_path


def analyze(*arguments):
    run = ["systemd-analyze", *arguments]
    return subprocess.run(run, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_systemd_takes_the_units_without_a_word(units):
    done = analyze("verify", "--man=no", *(units / name for name in UNITS))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_the_service_well_protected(units):
    done = analyze("security", "--offline=true", "--no-pager", units / "tidings.service")
    exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)[1])
    assert exposure <= EXPOSURE_MAX, done.stdout


def test_what_the_server_asks_of_the_kernel_is_what_the_service_may(units, tmp_path):
    listed = analyze("syscall-filter", "--no-pager", "@system-service").stdout
    assert "@network-io" in listed, listed
    trace = tmp_path / "calls"
    command = ["strace", "-f", "-qq", "-o", trace, binary(), "serve", "--listen", "127.0.0.1:0"]
    with traced(command) as base:
        assert get(base, "/healthz")[0] == 200
    called = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    assert {"epoll_wait", "accept4"} <= called, called
    denied = called - allowed(units / "tidings.service")
    assert not denied, denied


@contextlib.contextmanager
def traced(command):
    """A server under another program, which ends with it; where it listens."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stderr if "listening on" in line)
            yield re.search(r"listening on (http://[^/]+)/", line)[1]
        finally:
            child = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            os.kill(int(child.split()[0]), signal.SIGTERM)
            process.wait(DEADLINE)


def allowed(unit):
    """The system calls that a unit's filters leave, as systemd.exec(5) has them add up."""
    calls = set()
    for value in re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(), re.M):
        named = set().union(*(members(name) for name in value.lstrip("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls | members("@default")


def members(name):
    if not name.startswith("@"):
        return {name}
    lines = analyze("syscall-filter", "--no-pager", name).stdout.splitlines()
    inside = [line.strip() for line in lines if line.startswith("    ")]
    return set().union(*(members(one) for one in inside if not one.startswith("#")))


class Manager:
    """Plays the service manager's ear."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))

    def hears(self, seconds=DEADLINE):
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096).decode()
        except TimeoutError:
            return None

    def hears_of(self, what):
        deadline = Deadline()
        while deadline.open():
            said = self.hears(deadline.left())
            if said and what in said:
                return
        raise AssertionError(f"never {what}")


@contextlib.contextmanager
def frozen(thread):
    """This one thread stands still; the others of its process go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(request):
        if libc.ptrace(request, thread, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    ptrace(PTRACE_SEIZE)
    ptrace(PTRACE_INTERRUPT)
    deadline = Deadline()
    while "t (tracing stop)" not in pathlib.Path(f"/proc/{thread}/status").read_text():
        assert deadline.open()
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH)


def test_the_watchdog_bites_when_one_worker_of_two_stands_still(tmp_path, monkeypatch):
    manager = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    with Server() as server:
        manager.hears_of("READY=1")
        manager.hears_of("WATCHDOG=1")
        tasks = pathlib.Path(f"/proc/{server.process.pid}/task")
        (worker,) = [
            int(task.name)
            for task in tasks.iterdir()
            if (task / "comm").read_text().strip() == "worker-1"
        ]
        with frozen(worker):
            # What was on its way; then nothing for longer than systemd would wait.
            while manager.hears(0.01):
                pass
            assert manager.hears(1.5) is None
        manager.hears_of("WATCHDOG=1")
        assert any("stand still" in line for line in server.log)


def test_systemd_hands_over_a_socket_with_the_connection_that_it_started_the_server_for(tmp_path):
    activate = shutil.which("systemd-socket-activate")
    assert activate, "systemd is not installed: run tests/run --only service"
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    run = [activate, "--listen", f"127.0.0.1:{port}", "--fdname", "web", binary(), "serve"]
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(run, stderr=output) as process:
        try:
            deadline = Deadline()
            while True:
                try:
                    assert get(base, "/healthz")[0] == 200
                    break
                except ConnectionRefusedError:
                    assert deadline.open(), log.read_text()
        finally:
            process.terminate()
            code = process.wait(DEADLINE)
    assert code == 0, log.read_text()
    assert f"listening on {base}/" in log.read_text()
