"""curl on every wire, and on the corners of HTTP/1.1 that only curl is asked to enter."""

import json
import subprocess

from harness import DEADLINE, publish, publish_all


def open_event_stream(curl, topic, *more):
    """Opened and known to be open: its opening has arrived, up to the cursor it starts from."""
    stream = curl.open("-H", "Accept: text/event-stream", *more, f"BASE/topics/{topic}")
    opening = [stream.line()]
    while not opening[-1].startswith("id:"):
        opening.append(stream.line())
    return stream, opening


def data_lines(stream, count):
    lines = []
    while len(lines) < count:
        line = stream.line()
        if line.startswith("data:"):
            lines.append(line.removeprefix("data:").removeprefix(" "))
    return lines


def poll(curl, topic, *more):
    return json.loads(curl(*more, f"BASE/topics/{topic}").body)


def test_publishing_with_d_is_text(curl, topic):
    answer = curl("-d", "hello", f"BASE/topics/{topic}")
    assert answer.status == 201
    created = json.loads(answer.body)
    assert created["topic"] == topic
    [message] = poll(curl, topic)["messages"]
    assert (message["data"], message["id"]) == ("hello", created["id"])
    assert "content_type" not in message


def test_publishing_with_put_and_an_event_name(curl, topic):
    put = ("-X", "PUT", "-H", "Content-Type: application/json", "--data-binary", '{"a":1}')
    assert curl(*put, f"BASE/topics/{topic}?event=edit").status == 201
    [message] = poll(curl, topic)["messages"]
    assert (message["data"], message["event"]) == ({"a": 1}, "edit")


def test_publishing_a_chunked_upload_from_standard_input(curl, topic):
    payload = b"line\r\n" * 20_000
    upload = ("-X", "POST", "-T", "-", "-H", "Content-Type: text/plain")
    assert curl(*upload, f"BASE/topics/{topic}", stdin=payload).status == 201
    [message] = poll(curl, topic)["messages"]
    assert message["data"].encode() == payload


def test_expect_100_continue_is_answered_before_the_body(curl, topic):
    expect = ("-H", "Expect: 100-continue", "--expect100-timeout", str(DEADLINE))
    answer = curl(*expect, "--data-binary", "x" * 100_000, f"BASE/topics/{topic}")
    assert answer.statuses == [100, 201]


def test_a_body_that_is_not_wanted_is_refused_without_100(curl, topic):
    expect = ("-H", "Expect: 100-continue", "--expect100-timeout", str(DEADLINE))
    answer = curl(*expect, "-d", "x", "-H", "Content-Encoding: gzip", f"BASE/topics/{topic}")
    assert answer.statuses == [415]


def test_an_idempotency_key_makes_repeating_safe(curl, topic):
    once = ("-H", "Idempotency-Key: k1", "-d", "x", f"BASE/topics/{topic}")
    assert json.loads(curl(*once).body) == json.loads(curl(*once).body)
    assert len(poll(curl, topic)["messages"]) == 1


def test_a_batch_is_answered_line_by_line(curl, topic):
    lines = [
        json.dumps({"topic": topic, "data": "one"}),
        "",
        "not JSON",
        json.dumps({"topic": topic, "data": "AP8=", "encoding": "base64", "event": "e"}),
        json.dumps({"topic": topic, "data": {"a": [1]}}),
    ]
    batch = ("-H", "Content-Type: application/x-ndjson", "--data-binary", "@-", "BASE/topics")
    answer = curl(*batch, stdin="\n".join(lines).encode())
    assert answer.status == 200
    results = [json.loads(line) for line in answer.body.splitlines()]
    assert [result["line"] for result in results] == [1, 3, 4, 5]
    assert results[1]["error"]["status"] == 400
    messages = poll(curl, topic)["messages"]
    assert [message["data"] for message in messages] == ["one", "AP8=", {"a": [1]}]
    assert [message["id"] for message in messages] == [results[n]["id"] for n in (0, 2, 3)]


def test_a_batch_of_another_type_is_refused(curl):
    assert curl("-H", "Content-Type: text/plain", "-d", "x", "BASE/topics").status == 415


def test_an_event_stream_is_heard_line_by_line(server, curl, topic):
    stream, opening = open_event_stream(curl, topic)
    with stream:
        assert any(line.startswith("retry:") for line in opening)
        published = publish(server.base, topic, "one\ntwo", event="edit")
        event = stream.lines_until("data: two") + stream.lines_until("")
        assert {f"id: {published}", "event: edit", "data: one", "data: two"} <= set(event)


def test_an_event_stream_resumes_by_last_event_id(server, curl, topic):
    ids = publish_all(server.base, topic, ["one", "two", "three"])
    stream, _ = open_event_stream(curl, topic, "-H", f"Last-Event-ID: {ids[0]}")
    with stream:
        assert data_lines(stream, 2) == ["two", "three"]


def test_an_ndjson_stream_goes_through_a_pipe_to_head(server, curl, topic):
    ids = publish_all(server.base, topic, ["one", "two", "three"])
    reader = curl.command(
        *("--no-buffer", "-H", "Accept: application/x-ndjson"),
        *("-H", f"Last-Event-ID: {ids[0]}", f"BASE/topics/{topic}"),
    )
    with subprocess.Popen(reader, stdout=subprocess.PIPE) as source:
        done = subprocess.run(
            ["head", "-n", "3"], stdin=source.stdout, capture_output=True, timeout=DEADLINE
        )
        source.kill()
    opening, *messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert opening == {"type": "open", "cursor": ids[0]}
    assert [message["data"] for message in messages] == ["two", "three"]


def test_a_long_poll_is_answered_by_a_publish(server, curl, topic):
    cursor = publish(server.base, topic, "one")
    with curl.open("-H", f"Last-Event-ID: {cursor}", f"BASE/topics/{topic}?wait=9") as parked:
        published = publish(server.base, topic, "two")
        answer = json.loads(parked.rest())
    assert [message["data"] for message in answer["messages"]] == ["two"]
    assert answer["cursor"] == published


def test_a_poll_resumes_by_if_none_match(server, curl, topic):
    ids = publish_all(server.base, topic, ["one", "two"])
    answer = curl("-H", f'If-None-Match: "{ids[0]}"', f"BASE/topics/{topic}")
    assert [message["data"] for message in json.loads(answer.body)["messages"]] == ["two"]
    assert answer.headers["etag"] == f'"{ids[1]}"'


def test_last_event_id_wins_over_after_and_after_over_if_none_match(server, curl, topic):
    ids = publish_all(server.base, topic, ["one", "two", "three"])
    path = f"BASE/topics/{topic}?after={ids[1]}"
    tag = ("-H", f'If-None-Match: "{ids[2]}"')
    assert len(json.loads(curl(*tag, path).body)["messages"]) == 1
    header = ("-H", f"Last-Event-ID: {ids[0]}")
    assert len(json.loads(curl(*tag, *header, path).body)["messages"]) == 2


def test_a_malformed_cursor_is_refused_on_a_poll_and_a_gap_on_a_stream(server, curl, topic):
    publish(server.base, topic, "one")
    refused = curl(f"BASE/topics/{topic}?after=%21%21")
    assert refused.status == 400
    assert refused.headers["content-type"] == "application/problem+json"
    stream, _ = open_event_stream(curl, topic, "-H", "Last-Event-ID: !!")
    with stream:
        lines = stream.lines_until("data: one")
        assert "event: tidings:gap" in lines


def test_http_1_0_polls_and_is_closed(server, curl, topic):
    publish(server.base, topic, "one")
    answer = curl("--http1.0", f"BASE/topics/{topic}")
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers
    assert len(json.loads(answer.body)["messages"]) == 1


def test_http_1_0_streams_without_chunks(server, curl, topic):
    stream, _ = open_event_stream(curl, topic, "--http1.0", "-H", "Last-Event-ID: earliest")
    with stream:
        publish_all(server.base, topic, ["one", "two"])
        assert data_lines(stream, 2) == ["one", "two"]


def test_head_gives_the_cursor_at_the_head(server, curl, topic):
    published = publish(server.base, topic, "one")
    answer = curl("--head", f"BASE/topics/{topic}?wait=9")
    assert answer.status == 200
    assert answer.headers["etag"] == f'"{published}"'


def test_options_says_what_is_allowed(curl, topic):
    answer = curl("-X", "OPTIONS", f"BASE/topics/{topic}")
    assert answer.status == 204
    allowed = {method.strip() for method in answer.headers["allow"].split(",")}
    assert {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} <= allowed


def test_options_with_an_asterisk(curl):
    assert curl("-X", "OPTIONS", "--request-target", "*", "BASE/").status == 204


def test_delete_empties_a_topic(server, curl, topic):
    publish(server.base, topic, "one")
    answer = curl("-X", "DELETE", f"BASE/topics/{topic}")
    assert answer.status == 200
    assert json.loads(answer.body)["topic"] == topic
    assert poll(curl, topic)["messages"] == []


def test_delete_of_a_topic_that_has_not_begun_is_404(curl, topic):
    assert curl("-X", "DELETE", f"BASE/topics/{topic}").status == 404


def test_another_path_is_404_and_another_method_405(curl, topic):
    assert curl("BASE/nowhere").status == 404
    refused = curl("-X", "DELETE", "BASE/healthz")
    assert refused.status == 405
    assert "GET" in refused.headers["allow"]
    assert curl("-X", "BREW", f"BASE/topics/{topic}").status == 501


def test_health_readiness_and_metrics(curl):
    assert curl("BASE/healthz").body.strip() == b"ok"
    assert curl("BASE/readyz").body.strip() == b"ready"
    metrics = curl("BASE/metrics")
    assert metrics.status == 200 and b"# TYPE " in metrics.body


def test_a_websocket_of_another_version_is_answered_with_426(curl, topic):
    handshake = [
        *("-H", "Connection: Upgrade", "-H", "Upgrade: websocket"),
        *("-H", "Sec-WebSocket-Version: 12", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    answer = curl(*handshake, f"BASE/topics/{topic}")
    assert answer.status == 426
    assert answer.headers["sec-websocket-version"] == "13"


def test_a_foreign_origin_is_refused(curl, topic):
    foreign = ("-H", "Origin: http://elsewhere.example")
    assert curl(*foreign, f"BASE/topics/{topic}").status == 403
    assert curl(*foreign, "-d", "x", f"BASE/topics/{topic}").status == 403


def test_a_kept_connection_serves_several_requests(curl, topic):
    """One curl, three URLs: its own count of connections shows that it needed one."""
    urls = ["-o", "/dev/null", f"BASE/topics/{topic}"] * 3
    command = curl.command("-w", "%{num_connects} ", *urls)
    output = subprocess.run(command, capture_output=True, timeout=DEADLINE).stdout
    assert output.split() == [b"1", b"0", b"0"]


def test_a_topic_name_is_percent_decoded_once(curl):
    assert curl("-d", "x", "BASE/topics/a%2Fb%2520c").status == 201
    [message] = poll(curl, "a%2Fb%2520c")["messages"]
    assert message["topic"] == "a/b%20c"


def test_dots_are_names(curl):
    assert curl("--path-as-is", "-d", "x", "BASE/topics/..").status == 201
    answer = curl("--path-as-is", "BASE/topics/..")
    assert json.loads(answer.body)["messages"][0]["topic"] == ".."
