"""The hosts that a setting names, besides loopback hosts, and the proxies whose word on a client is taken."""

import re

import pytest

from tests.support.service import Client, StartProcess, api_client, unique

SEEN = "203.0.113.9"


@pytest.mark.parametrize("host", ["jobs.example", "JOBS.example:8443", "127.0.0.1", "10.0.0.7:8000"])
async def test_a_host_of_the_setting_is_served(
    start_api: StartProcess, database_url: str, redis_url: str, host: str
) -> None:
    api = start_api(database_url, redis_url, allowed_hosts="jobs.example, 10.0.0.0/24")
    async with api_client(api, database_url) as client:
        assert (await client.http.get("/jobs", headers={"Host": host})).status_code == 200
        other = await client.http.get("/jobs", headers={"Host": "other.example"})
        assert (other.status_code, other.json()["code"]) == (421, "unknown_host")
        assert "`other.example`" in other.json()["detail"]
        assert "BREAKWATER_ALLOWED_HOSTS" in other.json()["detail"]
        page = {"Host": host, "Origin": f"http://{host}"}
        assert (await client.http.post("/jobs/absent/cancel", headers=page)).status_code == 404


async def who(client: Client, **headers: str) -> tuple[str, str]:
    """Under which addresses a pause and a submission are recorded."""
    paused = await client.http.post("/regions/us-east/pause", headers=headers)
    resumed = await client.http.post("/regions/us-east/resume", headers=headers)
    assert (paused.status_code, resumed.status_code) == (200, 200)
    submitted = await client.http.post("/jobs", json=unique(), headers=headers)
    assert submitted.status_code == 202
    operations = (await client.http.get("/operations")).json()["items"]
    ledger = await client.database.fetchval("SELECT client FROM submissions ORDER BY submission_no DESC LIMIT 1")
    return operations[0]["by"], ledger


FORGED = {
    "X-Forwarded-For": SEEN,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "attacker.example",
    "Forwarded": f"for={SEEN};host=attacker.example;proto=https",
    "X-Real-IP": SEEN,
}


async def own_address(client: Client) -> str:
    """The address that the home page shows to a request with forged headers."""
    page = (await client.http.get("/", headers=FORGED)).text
    (address,) = re.findall(r"curl -i (\S+)/jobs", page)
    return str(address)


@pytest.mark.parametrize("settings", [{}, {"trusted_proxies": "192.0.2.0/24,::1"}], ids=["none named", "another named"])
async def test_a_client_cannot_forge_its_address(
    start_api: StartProcess, database_url: str, redis_url: str, settings: dict[str, str]
) -> None:
    async with api_client(start_api(database_url, redis_url, **settings), database_url) as client:
        assert await who(client, **FORGED) == ("api:127.0.0.1", "127.0.0.1")
        assert await own_address(client) == client.process.url


async def test_a_named_proxy_says_who_the_client_is(start_api: StartProcess, database_url: str, redis_url: str) -> None:
    api = start_api(database_url, redis_url, trusted_proxies="127.0.0.0/8, 192.0.2.1")
    async with api_client(api, database_url) as client:
        assert await who(client) == ("api:127.0.0.1", "127.0.0.1")
        assert await who(client, **FORGED) == (f"api:{SEEN}", SEEN)
        # What the client sent itself stands before what the proxies added.
        chain = f"198.51.100.1, {SEEN}, 192.0.2.1"
        assert await who(client, **{"X-Forwarded-For": chain}) == (f"api:{SEEN}", SEEN)
        assert await own_address(client) == client.process.url.replace("http:", "https:")


@pytest.mark.parametrize("sent", ["unknown", "x" * 5000, "'; DROP TABLE jobs", "[::1", ", ,"])
async def test_a_proxy_that_says_nonsense_fails_no_request(
    start_api: StartProcess, database_url: str, redis_url: str, sent: str
) -> None:
    api = start_api(database_url, redis_url, trusted_proxies="127.0.0.1")
    async with api_client(api, database_url) as client:
        headers = {"X-Forwarded-For": sent}
        assert await who(client, **headers)
