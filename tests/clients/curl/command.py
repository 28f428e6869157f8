"""curl itself: run to its end, or left running as a stream of lines."""

import subprocess

from harness import DEADLINE


class Answer:
    """What `curl -i` printed, taken apart; of several answers (100, then 201) the last."""

    def __init__(self, output):
        self.statuses = []
        while output.startswith(b"HTTP/"):
            head, _, output = output.partition(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            self.statuses.append(int(line.split()[1]))
            self.version = line.split()[0]
            pairs = (field.split(":", 1) for field in fields)
            self.headers = {name.lower(): value.strip() for name, value in pairs}
        self.status = self.statuses[-1]
        self.body = output


class Curl:
    """The command line tool, as a user types it, with a time limit."""

    def __init__(self, server):
        self.base = server.base

    def command(self, *arguments):
        return [
            *("curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(DEADLINE)),
            *(argument.replace("BASE", self.base) for argument in arguments),
        ]

    def __call__(self, *arguments, stdin=b""):
        """`curl -i …`, to its end."""
        done = subprocess.run(
            self.command("--include", *arguments),
            input=stdin,
            capture_output=True,
            timeout=2 * DEADLINE,
        )
        assert done.returncode == 0, done.stderr.decode()
        return Answer(done.stdout)

    def open(self, *arguments):
        """`curl -N …`, left running: a stream to read lines from."""
        return Stream(self.command("--no-buffer", *arguments))


class Stream:
    """A running curl whose lines are read as they come; ended by its own id."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def line(self):
        """The next line; curl's own --max-time is the deadline."""
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), (line, self.process.stderr.read())
        return line.decode().rstrip("\n")

    def lines_until(self, wanted):
        """Lines up to and with the one that is wanted."""
        lines = [self.line()]
        while lines[-1] != wanted:
            lines.append(self.line())
        return lines

    def rest(self):
        """Everything up to the end, which must be one that curl is content with."""
        rest = self.process.stdout.read()
        assert self.process.wait(DEADLINE) == 0, self.process.stderr.read()
        return rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
