"""A client may offer to go on in another protocol: the service takes the request as if it had not offered anything."""

import subprocess
from pathlib import Path

import orjson
import pytest

from tests.support.programs import require_program
from tests.support.raw_http import RawClient, request
from tests.support.service import Process, unique

OFFERS = {
    "h2c": {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAMAAABkAAQCAAAAAAIAAAAA"},
    "websocket": {
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    },
    "TLS/1.2": {"Connection": "upgrade", "Upgrade": "TLS/1.2"},
    "anything": {"Connection": "UPGRADE", "Upgrade": "a/1, b/2"},
}
JSON = {"Content_Type": "application/json"}
ALIVE = request("GET", "/livez")
JAVA = """
import java.net.URI; import java.net.http.*;
public class Submit { public static void main(String[] given) throws Exception {
  HttpClient client = HttpClient.newHttpClient();
  for (int i = 1; i < given.length; i++) {
    HttpRequest request = HttpRequest.newBuilder(URI.create(given[0])).header("Content-Type", "application/json")
      .POST(HttpRequest.BodyPublishers.ofString(given[i])).build();
    System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
  } } }
"""


def spec() -> bytes:
    return orjson.dumps(unique())


def chunked(body: bytes) -> bytes:
    """Return a body in chunks, with an extension and a trailer."""
    middle = len(body) // 2
    parts = (body[:middle], body[middle:])
    return b"".join(b"%x;of=2\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nChecked: no\r\n\r\n"


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_a_job_is_taken_from_a_client_that_offers_another_protocol(service: Process, offer: dict[str, str]) -> None:
    with RawClient(service.url) as client:
        client.send(request("POST", "/jobs", spec(), **JSON, **offer))
        assert client.read_answer().status == 202


def test_a_job_in_chunks_is_taken_with_an_offer(service: Process) -> None:
    with RawClient(service.url) as client:
        client.send(request("POST", "/jobs", chunked(spec()), Transfer_Encoding="chunked", **JSON, **OFFERS["h2c"]))
        assert client.read_answer().status == 202


def test_a_job_comes_through_however_its_bytes_are_cut(service: Process) -> None:
    body = spec()
    sent = request("POST", "/jobs", body, **JSON, **OFFERS["h2c"])
    head = len(sent) - len(body)
    with RawClient(service.url) as client:
        for cut in (1, 30, head - 3, head - 1, head, head + 1, len(sent) - 1):
            client.send(sent[:cut], sent[cut:])
            answer = client.read_answer()
            assert (answer.status, orjson.loads(answer.body)["outcome"]) in {(202, "created"), (200, "joined")}, cut


def test_requests_behind_an_offer_are_answered_in_turn(service: Process) -> None:
    offer = request("POST", "/jobs", spec(), **JSON, **OFFERS["h2c"])
    with RawClient(service.url) as client:
        client.send(offer + ALIVE + request("GET", "/livez", **OFFERS["websocket"]) + offer + ALIVE)
        answers = [client.read_answer().status for _ in range(5)]
    assert answers == [202, 200, 200, 200, 200]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_a_request_without_a_body_leaves_the_connection_usable(service: Process, offer: dict[str, str]) -> None:
    with RawClient(service.url) as client:
        for sent in (request("GET", "/livez", **offer), request("GET", "/livez", b"", **offer), ALIVE):
            client.send(sent)
            assert client.read_answer("GET").status == 200


def test_head_with_an_offer_is_answered_without_a_body(service: Process) -> None:
    with RawClient(service.url) as client:
        client.send(request("HEAD", "/livez", **OFFERS["h2c"]) + ALIVE)
        assert [client.read_answer("HEAD").status, client.read_answer("GET").status] == [200, 200]


@pytest.mark.parametrize("offer", [{}, OFFERS["h2c"]], ids=["plain", "h2c"])
def test_a_client_that_asks_first_may_go_on(service: Process, offer: dict[str, str]) -> None:
    body = spec()
    sent = request("POST", "/jobs", body, Expect="100-continue", **JSON, **offer)
    with RawClient(service.url) as client:
        client.send(sent.removesuffix(body))
        assert (client.read_line(), client.read_line()) == (b"HTTP/1.1 100 Continue\r\n", b"\r\n")
        client.send(body)
        assert client.read_answer().status == 202


def test_a_client_that_wants_to_close_is_answered_first(service: Process) -> None:
    with RawClient(service.url) as client:
        client.send(request("POST", "/jobs", spec(), **JSON, Connection="Upgrade, close", Upgrade="h2c"))
        assert client.read_answer().status == 202
        assert client.wait_for_close() == b""


def test_chunks_that_can_not_be_read_end_the_connection(service: Process) -> None:
    with RawClient(service.url) as client:
        client.send(request("POST", "/jobs", b"zz\r\n", Transfer_Encoding="chunked", **JSON, **OFFERS["h2c"]))
        assert client.read_answer().status == 400
        client.wait_for_close()


def test_the_stock_java_client_submits(service: Process, tmp_path: Path) -> None:
    java = require_program("java")
    source = tmp_path / "Submit.java"
    source.write_text(JAVA)
    command = [java, "-XX:TieredStopAtLevel=1", str(source), f"{service.url}/jobs", spec().decode(), spec().decode()]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert run.stdout.split() == ["202", "202"]


@pytest.mark.parametrize("extra", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]])
def test_curl_submits_with_an_offer_of_http_2(service: Process, extra: list[str]) -> None:
    curl = require_program("curl")
    command = [curl, "-s", "--http2", "-o", "/dev/null", "-w", "%{http_code}", *extra]
    sent = ["-H", "Content-Type: application/json", "-d", spec().decode(), f"{service.url}/jobs"]
    assert subprocess.run([*command, *sent], capture_output=True, text=True, check=True).stdout == "202"
