"""Reverse proxies in front of tidings, as their users start them, and a relay that listens in.

The configurations are the files in docs/deploy/, with the ports put in. Each proxy refuses to pass
on what is for the topic `smuggled`: whatever reaches that was hidden inside another request.
"""

import json
import pathlib
import select
import shutil
import socket
import subprocess
import threading
import time

from harness import DEADLINE, REPOSITORY, Deadline

DEPLOY = REPOSITORY / "docs/deploy"
HERE = pathlib.Path(__file__).parent
PAUSE = 0.01  # seconds between two looks at something that is awaited


def await_true(what, condition, seconds=DEADLINE):
    deadline = Deadline(seconds)
    while not condition():
        assert deadline.open(), f"not within {seconds} s: {what()}"
        time.sleep(PAUSE)


def replaced(text, changes):
    """`text` with each old part, of which there is exactly one, made new."""
    for old, new in changes.items():
        assert text.count(old) == 1, (old, text)
        text = text.replace(old, new)
    return text


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Front:
    """A proxy on a port of its own. `read_timeout`: how many seconds tidings may be silent."""

    passes_websocket = True
    keeps_connections = True

    def __init__(self, folder, target, read_timeout=None):
        self.folder = folder
        self.target = target
        self.read_timeout = read_timeout
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.lines = []
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        try:
            await_true(lambda: f"{self.name} listens\n{self.tail()}", self._accepts)
        except AssertionError:
            self.process.kill()
            raise

    def _read(self, process):
        for line in process.stdout:
            self.lines.append(line.rstrip())

    def _accepts(self):
        assert self.process.poll() is None, f"{self.name} ended:\n{self.tail()}"
        try:
            socket.create_connection(("127.0.0.1", self.port), DEADLINE).close()
        except ConnectionRefusedError:
            return False
        return True

    def tail(self):
        return "\n".join(self.lines[-20:])

    def given_up(self):
        """Requests that the proxy left, with their connection, before they were answered."""
        return 0

    def program(self, name):
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        assert path, f"{name} is not installed: run tests/run --only proxies"
        return path

    def stop(self):
        """Ends it with all of its connections; `start` brings it back on the same port."""
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Nginx(Front):
    name = "nginx"

    MAIN = """
        daemon off;
        master_process off;
        pid nginx.pid;
        error_log stderr;
        events {}
        http {
            log_format counted '$upstream_header_time $status $request';
            access_log access.log counted;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            scgi_temp_path scgi;
            uwsgi_temp_path uwsgi;
            include site.conf;
        }
    """

    def site(self):
        changes = {
            "server 127.0.0.1:8080;": f"server 127.0.0.1:{self.target};",
            "listen 80;": f"listen 127.0.0.1:{self.port};\n"
            "location /topics/smuggled { return 403; }",
        }
        if self.read_timeout:
            changes["proxy_read_timeout 75s"] = f"proxy_read_timeout {self.read_timeout}s"
        return replaced((DEPLOY / "nginx.conf").read_text(), changes)

    def command(self):
        (self.folder / "nginx.conf").write_text(self.MAIN)
        (self.folder / "site.conf").write_text(self.site())
        return [self.program("nginx"), "-p", self.folder, "-c", "nginx.conf", "-e", "stderr"]

    def answered(self):
        """Requests to which tidings has answered, as the proxy counts them."""
        log = (self.folder / "access.log").read_text(errors="replace")
        return sum(not line.startswith("-") for line in log.splitlines())


class BareNginx(Nginx):
    """nginx with nothing said: HTTP/1.0 to tidings, a connection for each request, buffering on."""

    name = "bare-nginx"
    passes_websocket = False
    keeps_connections = False

    def site(self):
        limit = f"proxy_read_timeout {self.read_timeout}s;" if self.read_timeout else ""
        return f"""
            server {{
                listen 127.0.0.1:{self.port};
                location /topics/smuggled {{ return 403; }}
                location / {{ proxy_pass http://127.0.0.1:{self.target}; {limit} }}
            }}
        """


class Haproxy(Front):
    name = "haproxy"
    more = {}

    def command(self):
        changes = {
            "mode http": "mode http\n    log stdout format raw local0\n"
            '    log-format "counted %Tr %ST %{+Q}r"',
            "bind :80": f"bind 127.0.0.1:{self.port}\n"
            "    http-request deny if { path_beg /topics/smuggled }",
            "server tidings 127.0.0.1:8080": f"server tidings 127.0.0.1:{self.target}",
        }
        if self.read_timeout:
            changes["timeout server 75s"] = f"timeout server {self.read_timeout}s"
        changes |= self.more
        config = self.folder / "haproxy.cfg"
        config.write_text(replaced((DEPLOY / "haproxy.cfg").read_text(), changes))
        return [self.program("haproxy"), "-db", "-f", config]

    def answered(self):
        counted = [line.split() for line in self.lines if line.startswith("counted ")]
        return sum(line[1] != "-1" for line in counted)


class BareHaproxy(Haproxy):
    """HAProxy with nothing said about delays and connections."""

    name = "bare-haproxy"
    keeps_connections = False  # for the first request of a client
    more = {"option http-no-delay": "", "http-reuse always": ""}


class Caddy(Front):
    name = "caddy"

    REFUSED = """
        log {
            output stdout
            format json
        }
        bind 127.0.0.1
        header /topics/smuggled X-Refused here
        respond /topics/smuggled 403
    """

    def command(self):
        changes = {
            # Nobody may change it while it runs.
            "grace_period 5s": "grace_period 1s\nadmin off",
            "\n:80 {": f"\n:{self.port} {{\n{self.REFUSED}",
            "reverse_proxy 127.0.0.1:8080": f"reverse_proxy 127.0.0.1:{self.target}",
        }
        if self.read_timeout:
            limit = f"response_header_timeout {self.read_timeout}s"
            changes["keepalive 60s"] = f"keepalive 60s\n{limit}"
        config = self.folder / "Caddyfile"
        config.write_text(replaced((DEPLOY / "Caddyfile").read_text(), changes))
        # It keeps what it knows where these say.
        places = [f"XDG_CONFIG_HOME={self.folder}", f"XDG_DATA_HOME={self.folder}"]
        run = [self.program("caddy"), "run", "--config", config, "--adapter", "caddyfile"]
        return [self.program("env"), *places, *run]

    def _entries(self):
        lines = [json.loads(line) for line in self.lines if '"http.log.access' in line]
        return [line for line in lines if "X-Refused" not in line["resp_headers"]]

    def answered(self):
        return sum(entry["status"] not in (0, 502) for entry in self._entries())

    def given_up(self):
        return sum(entry["status"] in (0, 502) for entry in self._entries())


class Node(Front):
    name = "node"
    script = DEPLOY / "node-proxy.mjs"

    def command(self):
        hook = (HERE / "hook.mjs").as_uri()
        ports = [str(self.port), str(self.target)]
        return [self.program("node"), "--import", hook, self.script, *ports]

    def answered(self):
        return self.lines.count("answered")

    def given_up(self):
        return self.lines.count("given up")


class HttpProxy(Node):
    """The package of that name, which many development servers have inside."""

    name = "http-proxy"
    script = HERE / "http-proxy.mjs"


# The configurations that docs/operating.md offers, of servers that are made to be a proxy.
DOCUMENTED = [Nginx, Haproxy, Caddy]
ALL = [BareNginx, BareHaproxy, *DOCUMENTED, Node, HttpProxy]


class NginxCluster(Nginx):
    """Before several servers: `target` is a list of ports."""

    name = "nginx-cluster"

    def site(self):
        changes = {
            f"server 10.0.0.1{number}:8080": f"server 127.0.0.1:{port}"
            for number, port in enumerate(self.target, 1)
        }
        changes["listen 80;"] = f"listen 127.0.0.1:{self.port};"
        return replaced((DEPLOY / "nginx-cluster.conf").read_text(), changes)


class HaproxyCluster(Front):
    """The same with HAProxy."""

    name = "haproxy-cluster"

    def command(self):
        changes = {
            f"server tidings{number} 10.0.0.1{number}:8080": f"server t{number} 127.0.0.1:{port}"
            for number, port in enumerate(self.target, 1)
        }
        changes["bind :80"] = f"bind 127.0.0.1:{self.port}"
        config = self.folder / "haproxy.cfg"
        config.write_text(replaced((DEPLOY / "haproxy-cluster.cfg").read_text(), changes))
        return [self.program("haproxy"), "-db", "-f", config]


CLUSTERS = [NginxCluster, HaproxyCluster]


class Relay:
    """Forwards TCP to `target` and keeps what passed: between a proxy and tidings."""

    def __init__(self, target):
        self.target = target
        self.forget()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self):
        """What passed so far. Connections that are open go on, as new ones."""
        self.connections = 0
        self.sent = {}  # by connection: bytes to tidings
        self.answered = {}  # by connection: bytes from tidings
        self.pieces = {}  # by connection: how often something came from tidings
        self.left = set()  # connections that the proxy has ended

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client):
        try:
            with client, socket.create_connection(("127.0.0.1", self.target), DEADLINE) as server:
                self._pump(client, server)
        except OSError:
            pass  # Both are closed: what one side did, the other sees.

    def _pump(self, client, server):
        name = client.getpeername()
        sources = [client, server]
        while sources:
            for source in select.select(sources, [], [])[0]:
                data = source.recv(65536)
                if source is server:
                    self.pieces[name] = self.pieces.get(name, 0) + bool(data)
                    self.answered[name] = self.answered.get(name, b"") + data
                    target = client
                else:
                    self.sent[name] = self.sent.get(name, b"") + data
                    target = server
                if data:
                    target.sendall(data)
                else:
                    if source is client:
                        self.left.add(name)
                    sources.remove(source)
                    target.shutdown(socket.SHUT_WR)

    def answers(self):
        """How many final answers tidings gave."""
        return sum(len(answers_in(stream)) for stream in list(self.answered.values()))

    def close(self):
        # A thread in accept() is not woken by close() alone.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def answers_in(stream):
    """The final answers in what a server sent, `(status, body)`; the last may be incomplete."""
    answers = []
    while stream.startswith(b"HTTP/1."):
        head, end, stream = stream.partition(b"\r\n\r\n")
        if not end:
            break
        status = int(head.split()[1])
        if 100 <= status < 101:
            continue
        body, stream = body_of(head.lower(), stream)
        answers.append((status, body))
        if status == 101:
            break
    return answers


def body_of(head, stream):
    """The body behind a head, and what is behind the body."""
    fields = dict(
        (name.strip(), value.strip())
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    )
    if stream.startswith(b"HTTP/1.") or head.split()[1] in (b"204", b"304", b"101"):
        return b"", stream  # An answer to HEAD has lengths, and no body.
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while True:
            line, end, rest = stream.partition(b"\r\n")
            if not end:
                return body, b""
            size = int(line.split(b";")[0], 16)
            body += rest[:size]
            stream = rest[size + 2 :]
            if size == 0:
                return body, stream
    if b"content-length" in fields:
        length = int(fields[b"content-length"])
        return stream[:length], stream[length:]
    return stream, b""
