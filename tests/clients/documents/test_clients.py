"""The programs of docs/clients.md do what the page says: nothing missed, nothing twice, cuts or not."""

import pytest

from harness import CuttingProxy, Deadline, Server, publish, publish_all
from snippets import IN_CHROMIUM, Program, missing, snippets

WIRES = ["short-poll", "long-poll", "sse", "ndjson", "websocket"]
PROGRAMS = {key: source for key, source in snippets().items() if key[0] not in IN_CHROMIUM}
ROUNDS = 2
PATIENCE = 20.0  # seconds: a client comes back after a second or two


def test_every_language_has_every_wire():
    runners = {runner for runner, _ in snippets()}
    assert runners == {"curl", "browser", "node", "python", "go", "rust"}
    wanted = {(runner, wire) for runner in runners for wire in WIRES} - {("curl", "websocket")}
    assert set(snippets()) == wanted


def hear(program, base, text):
    """Publishes `text` with a number until one is heard; returns how many were published."""
    deadline, count = Deadline(PATIENCE), 0
    while deadline.open():
        publish(base, "news", f"{text} {count}")
        count += 1
        if program.wait_for(lambda lines: any(line.startswith(text) for line in lines), 0.2):
            return count
    raise AssertionError(f"nothing was heard of {count} messages; it said {program.lines}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("runner, wire", sorted(PROGRAMS))
def test_a_program_of_the_page(runner, wire, tmp_path):
    if lacking := missing(runner):
        pytest.skip(f"needs {lacking}")
    with Server() as server, CuttingProxy(server.base) as proxy:
        program = Program(runner, wire, PROGRAMS[runner, wire], proxy.base, tmp_path)
        try:
            hear_every_message_once(program, server, proxy)
            server.restart()
            hear(program, server.base, "after the restart")
            assert any("gone" in line for line in program.lines), "the gap was not told"
        finally:
            program.stop()


def hear_every_message_once(program, server, proxy):
    warm = hear(program, server.base, "warm")
    for round in range(ROUNDS):
        publish_all(server.base, "news", [f"{round} {number}" for number in range(5)])
        proxy.cut()
        publish_all(server.base, "news", [f"{round} {number}" for number in range(5, 10)])
        last = f"{round} 9"
        assert program.wait_for(lambda lines: last in lines, PATIENCE), program.lines
    first = int(program.lines[0].removeprefix("warm "))
    expected = [f"warm {number}" for number in range(first, warm)]
    expected += [f"{round} {number}" for round in range(ROUNDS) for number in range(10)]
    assert program.lines == expected
