"""Incident 2: `us-east` ran in `eu-west`, the default of a mapping that didn't know it. There is no default region."""

import pytest

from tests.support.service import Client, unique


@pytest.mark.parametrize("region", ["us-west", "mars", "", "us_east", "default"])
async def test_an_unknown_region_is_refused_with_the_known_ones(client: Client, region: str) -> None:
    body = unique(regions=["us-east", region])
    answer = await client.post(body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/regions/1"
    if region:
        assert (error["code"], set(error["allowed"])) == ("unknown_region", {"us-east", "eu-west", "asia-pacific"})
    assert await client.jobs(body["name"]) == []


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("us-east", "us-east"),
        ("US", "us-east"),
        (" usa ", "us-east"),
        ("EU", "eu-west"),
        ("eu-west", "eu-west"),
        ("APAC", "asia-pacific"),
        ("asia", "asia-pacific"),
    ],
)
async def test_the_region_asked_for_is_the_region_stored_and_shown(client: Client, asked: str, stored: str) -> None:
    body = unique(regions=[asked])
    answer = await client.post(body)
    assert answer.json()["spec"]["regions"] == answer.json()["spec"]["models"][0]["regions"] == [stored]
    regions = await client.database.fetchval("SELECT region_ids FROM specs WHERE name = $1", body["name"])
    assert regions == [stored]
