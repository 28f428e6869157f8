"""What the Python tests share: the server, a topic of one's own, a proxy that cuts."""

import itertools
import re

import pytest

from harness import CuttingProxy, Server

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def shared_server():
    """One server for every test that only publishes and reads."""
    with Server() as server:
        yield server


@pytest.fixture
def server(shared_server):
    assert shared_server.process.poll() is None, shared_server.tail()
    return shared_server


@pytest.fixture
def topic(request):
    """A topic that no other test uses; its name also needs percent-encoding."""
    name = re.sub(r"[^a-z0-9]+", " ", request.node.name.lower())[:60]
    return f"{name} é {next(NUMBERS)}"


@pytest.fixture
def topics(topic):
    return [f"{topic} a", f"{topic} b", f"{topic} c"]


@pytest.fixture
def proxy(server):
    with CuttingProxy(server.base) as proxy:
        yield proxy
