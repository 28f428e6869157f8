"""What these tests share: the server, a relay that listens in before it, and each proxy in turn."""

import itertools

import fronts
import pytest

from harness import Server

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def relay(server):
    with fronts.Relay(server.port) as relay:
        yield relay


@pytest.fixture(scope="session", params=fronts.ALL, ids=lambda front: front.name)
def front(request, relay, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp(request.param.name), relay.port) as front:
        yield front


@pytest.fixture
def topic():
    return f"proxied-{next(NUMBERS)}"
