"""The programs of docs/clients.md, and how each language runs one."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading

from harness import REPOSITORY, Deadline

PAGE = REPOSITORY / "docs/clients.md"
TOOLS = REPOSITORY / "tests/.tools"
ADDRESS = "127.0.0.1:8080"
BLOCK = re.compile(r"^```(\w+) ([\w,]+) ([\w-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Debian's golang-github-gorilla-websocket-dev, for a Go without a network.
GOPATH = pathlib.Path("/usr/share/gocode")


def snippets():
    """{(runner, wire): source} of every block that says what it is for."""
    found = {}
    for _, runners, wire, source in BLOCK.findall(PAGE.read_text()):
        for runner in runners.split(","):
            assert (runner, wire) not in found, f"{runner} {wire} is there twice"
            found[runner, wire] = source
    return found


class Program:
    """A snippet that runs against the server at `base`, and the lines it has printed."""

    def __init__(self, runner, wire, source, base, folder):
        self.lines = []
        self._heard = threading.Condition()
        source = source.replace(ADDRESS, base.removeprefix("http://"))
        self.process = subprocess.Popen(
            PREPARE[runner](wire, source, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._heard:
                self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()

    def wait_for(self, condition, seconds):
        """Whether `condition(lines)` came true in time."""
        deadline = Deadline(seconds)
        with self._heard:
            return self._heard.wait_for(lambda: condition(self.lines), deadline.left())

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._reader.join()


def _bash(_, source, folder):
    path = folder / "client.sh"
    path.write_text(source)
    return ["bash", str(path)]


def _python(_, source, folder):
    path = folder / "client.py"
    path.write_text(source)
    return [sys.executable, str(path)]


def _node(_, source, folder):
    path = folder / "client.mjs"
    path.write_text(source)
    (folder / "node_modules").symlink_to(TOOLS / "node/node_modules")
    return ["node", str(path)]


def _go(_, source, folder):
    path = folder / "client.go"
    path.write_text(source)
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH)}
    binary = folder / "client"
    subprocess.run(
        ["go", "build", "-o", str(binary), str(path)], env=environment, check=True, timeout=120
    )
    return [str(binary)]


def _rust(wire, source, folder):
    """One project for all wires, so that what they depend on is built once."""
    project = TOOLS / "documents-rust"
    path = project / f"src/bin/{wire}.rs"
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(pathlib.Path(__file__).parent / "rust" / name, project)
    path.write_text(source)
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--bin", wire], cwd=project, check=True,
        env={**os.environ, "CARGO_TARGET_DIR": str(project / "target"), "RUSTFLAGS": ""},
    )
    # The address is in the binary: the next test builds its own.
    return [shutil.copy(project / f"target/debug/{wire}", folder / wire)]


PREPARE = {"curl": _bash, "python": _python, "node": _node, "go": _go, "rust": _rust}

# What is run elsewhere: tests/clients/chromium/clients.test.mjs.
IN_CHROMIUM = {"browser"}


def missing(runner):
    """What the machine lacks to run it, or None. Only Go may be missing: the rest is set up."""
    if runner == "go" and not (shutil.which("go") and GOPATH.exists()):
        return "golang-go and golang-github-gorilla-websocket-dev"
    return None
