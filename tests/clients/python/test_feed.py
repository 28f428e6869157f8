"""The whole promise at once: a fast feed, a client on every wire, cuts at random moments."""

import concurrent.futures
import random
import threading

import pytest

from harness import DEADLINE, CuttingProxy, Publisher, Server, head_cursor
from wires import ALL, Message, RawWebSocket, following

MESSAGES = 2000


class Feed:
    """Publishes 1, 2, 3 … as fast as the server takes them and knows each one's id."""

    def __init__(self, base, topic):
        self.base, self.topic = base, topic
        self.ids = []
        self.grown = threading.Condition()

    def run(self):
        publisher = Publisher(self.base)
        for number in range(1, MESSAGES + 1):
            published = publisher.publish(self.topic, str(number))
            with self.grown:
                self.ids.append(published)
                self.grown.notify_all()
        publisher.close()

    def id_of(self, message):
        """A delivery may be faster than the publisher's answer: then wait for that."""
        number = int(message.data)
        with self.grown:
            assert self.grown.wait_for(lambda: len(self.ids) >= number, DEADLINE)
            return self.ids[number - 1]


def client(wire, server, feed, head, seed):
    chance = random.Random(f"{seed} {wire.name}")
    # A page of a poll must get through at times; all of a raw WebSocket is a dozen kilobytes.
    most = 4_000 if wire is RawWebSocket else 60_000
    read = []
    with CuttingProxy(server.base, budget=lambda: chance.randint(1, most)) as proxy:
        for item in following(wire, proxy.base, [feed.topic], head, feed.id_of):
            assert isinstance(item, Message), item
            read.append(int(item.data))
            if len(read) == MESSAGES:
                return read, proxy.cuts


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_client_receives_every_message_once_and_in_order(topic, seed):
    with Server("--log-messages", 2 * MESSAGES) as server:
        feed = Feed(server.base, topic)
        head = head_cursor(server.base, topic)
        with concurrent.futures.ThreadPoolExecutor(len(ALL) + 1) as pool:
            clients = {
                wire.name: pool.submit(client, wire, server, feed, head, seed) for wire in ALL
            }
            pool.submit(feed.run).result()
            for name, running in clients.items():
                read, cuts = running.result()
                assert read == list(range(1, MESSAGES + 1)), name
                assert cuts > 0, f"{name} was never cut: the test proves nothing"
