"""The Autobahn cases (RFC 6455 conformance) against a raw WebSocket, by `kosoku`.

What the suite needs is a server that echoes: a raw WebSocket on a topic gets back what it publishes
(clause 11.2). Each case has a topic of its own, so that none can see what another has sent.
"""

import asyncio
import collections

import kosoku
import kosoku.cases
import pytest

from harness import Server

# Sections 12 and 13 are about permessage-deflate, which is not offered (clause 11.1).
CASES_PER_SECTION = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1}
NOT_RUN = {12, 13}

# Section 9 sends messages of 16 MiB, and 4 MiB in frames of 64 bytes.
ROOM_FOR_SECTION_9 = (
    *("--websocket-message-bytes-max", "16M"),
    *("--websocket-fragments-max", "65536"),
    *("--websocket-message-time", "60"),
    *("--body-bytes-max", "16M"),
    *("--log-bytes", "32M"),
)

# A message, then in the same breath a frame that fails the connection. Both verdicts are allowed:
# the echo goes by way of the topic, and the close may overtake it.
MESSAGE_THEN_BAD_FRAME = {
    *("3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"),
}
# The RFC leaves open what happens: a close behind a long message; close codes nobody has given out.
LEFT_OPEN = {"7.1.6", "7.13.1", "7.13.2"}


def section(case):
    return int(case.split(".")[0])


CASES = [case for case in kosoku.cases.CASES if section(case) not in NOT_RUN]


@pytest.fixture(scope="module")
def server():
    with Server(*ROOM_FOR_SECTION_9) as server:
        yield server


def run(server, case):
    url = server.url(f"autobahn-{case}").replace("http:", "ws:", 1)
    try:
        results = asyncio.run(kosoku.run_fuzzingclient(url, cases=[case]))
    except kosoku.FailureError as failure:
        results = failure.results
    assert [result.case_id for result in results] == [case]
    return results[0]


def complaint(result):
    """What is wrong with a result; nothing if it is as it should be."""
    allowed = {"OK"}
    if result.case_id in MESSAGE_THEN_BAD_FRAME:
        allowed.add("NON-STRICT")
    if result.case_id in LEFT_OPEN:
        allowed.add("INFORMATIONAL")
    verdicts = result.behavior.value, result.behavior_close.value
    close_allowed = allowed - {"NON-STRICT"}
    if verdicts[0] in allowed and verdicts[1] in close_allowed:
        return None
    return f"{result.case_id}: {verdicts}: {result.result} {result.result_close}"


def test_the_suite_is_the_one_that_was_counted():
    assert collections.Counter(map(section, CASES)) == CASES_PER_SECTION


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", CASES_PER_SECTION)
def test_every_case_of_a_section_passes(server, number):
    results = [run(server, case) for case in CASES if section(case) == number]
    assert len(results) == CASES_PER_SECTION[number]
    assert not [text for text in map(complaint, results) if text]
    verdicts = collections.Counter(result.behavior.value for result in results)
    print(f"section {number}:", ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items()))
    if number == 6:
        # Fail fast on invalid UTF-8: strict, between the frames of a message and inside of one.
        strict = {r.case_id: r.behavior.value for r in results if r.case_id.startswith("6.4.")}
        assert strict == dict.fromkeys(("6.4.1", "6.4.2", "6.4.3", "6.4.4"), "OK")
