"""Payloads arrive as they were sent, or as the wire's own rule says (clauses 2 and 9.2)."""

import base64
import json
import re

import pytest

from harness import head_cursor, publish, request, topic_url
from wires import ALL, EventStream, RawWebSocket, wire_name

TEXTS = {
    "plain": "hello",
    "empty": "",
    "one line break": "\n",
    "LF": "one\ntwo",
    "CR": "one\rtwo",
    "CRLF": "one\r\ntwo",
    "all line breaks": "\r\n\n\r\r\n\n\rend",
    "line breaks at the ends": "\n\nmiddle\n",
    "leading spaces": "  two spaces",
    "field names": "data: x\nid: 7\nevent: y\nretry: 1\n\n: comment",
    "NUL": "before\0after",
    "control characters": "".join(map(chr, range(1, 32))),
    "unicode": "é 漢字 😀 \u2028 \u2029 \u0085 \ufeff",
    "byte order mark first": "\ufefftext",
    "quotes": 'back\\slash "quote" </script>',
    "long": "0123456789abcdef" * 8192,
}
BINARY = bytes(range(256))
JSON_TEXT = '{"list": [1, 2.50, "\\u00e9\\n"],\n "big": 12345678901234567890,\r\n\t"null": null}'


def read_one(server, topic, wire, data, **options):
    head = head_cursor(server.base, topic)
    with wire(server.base, [topic], after=head) as reader:
        publish(server.base, topic, data, **options)
        return reader.take(1)[0]


def as_event_stream_lines(text):
    return re.sub("\r\n|\r", "\n", text)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_text_arrives_as_it_was_sent(server, topic, wire, name):
    message = read_one(server, topic, wire, TEXTS[name])
    expected = as_event_stream_lines(TEXTS[name]) if wire is EventStream else TEXTS[name]
    assert message.data == expected
    assert message.content_type is None


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_bytes_arrive_as_they_were_sent(server, topic, wire):
    message = read_one(server, topic, wire, BINARY, content_type="application/octet-stream")
    if wire is EventStream:
        assert base64.b64decode(message.data, validate=True) == BINARY
    else:
        assert message.data == BINARY
    if wire not in (EventStream, RawWebSocket):
        assert message.content_type == "application/octet-stream"


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_json_arrives_as_json(server, topic, wire):
    message = read_one(server, topic, wire, JSON_TEXT, content_type="application/json")
    match wire.name:
        case "sse":
            assert message.data == as_event_stream_lines(JSON_TEXT)
        case "websocket":
            assert message.data == JSON_TEXT
        case _:
            assert message.data == json.loads(JSON_TEXT)


@pytest.mark.parametrize("wire", ALL, ids=wire_name)
def test_a_json_string_is_told_from_a_text(server, topic, wire):
    message = read_one(server, topic, wire, '"text"', content_type="application/json")
    if wire in (EventStream, RawWebSocket):
        assert message.data == '"text"'
    else:
        assert (message.data, message.content_type) == ("text", "application/json")


@pytest.mark.parametrize("wire", [wire for wire in ALL if wire is not RawWebSocket], ids=wire_name)
def test_an_event_name_arrives(server, topic, wire):
    message = read_one(server, topic, wire, "x", event="é dit")
    assert (message.data, message.event) == ("x", "é dit")


def test_a_payload_of_one_mebibyte_is_taken_and_one_byte_more_is_refused(server, topic):
    largest = b"x" * (1 << 20)
    publish(server.base, topic, largest)
    answer = json.loads(request(server.base, "GET", topic_url("", topic))[2])
    assert answer["messages"][0]["data"] == largest.decode()
    status, headers, _ = request(server.base, "POST", topic_url("", topic), largest + b"x")
    assert status == 413
    assert headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{not json", "application/json", 400),
        (b"\xff", "text/plain", 415),
    ],
    ids=["JSON that is none", "text that is not UTF-8"],
)
def test_a_payload_that_is_not_what_it_says_is_refused(server, topic, body, content_type, status):
    answer = request(
        server.base, "POST", topic_url("", topic), body, {"Content-Type": content_type}
    )
    assert answer[0] == status
    assert json.loads(answer[2])["status"] == status


def test_a_body_without_a_type_is_text_if_it_can_be(server, topic):
    request(server.base, "POST", topic_url("", topic), b"text")
    request(server.base, "POST", topic_url("", topic), b"\xff\x00")
    messages = json.loads(request(server.base, "GET", topic_url("", topic))[2])["messages"]
    assert messages[0]["data"] == "text" and "content_type" not in messages[0]
    assert messages[1]["data"] == base64.b64encode(b"\xff\x00").decode()
    assert messages[1]["content_type"] == "application/octet-stream"
