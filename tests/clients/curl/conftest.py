"""What the curl tests share: the server, a topic, and curl as a function."""

import itertools

import pytest

from command import Curl
from harness import Server

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def curl(server):
    return Curl(server)


@pytest.fixture
def topic():
    return f"curl-{next(NUMBERS)}"
