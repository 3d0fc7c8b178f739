"""The page of keys and tenants: a key is made, shown once, used and revoked there, and the audit log says so."""

from domain.scopes import Scope
from tests.support.access import bearer, make_key
from tests.support.dashboards import Dashboard
from tests.support.driven_browser import Held
from tests.support.waiting import eventually_async

HOSTILE = "<script>alert(1)</script>"


async def test_an_administrator_makes_a_key_rotates_and_revokes_it(keyed_dashboard: Dashboard) -> None:
    http = keyed_dashboard.client.http
    key = await make_key(keyed_dashboard.client.database, Scope.ADMIN)
    tab = await keyed_dashboard.sign_in(key, "/ui/keys")
    await tab.fill("#new-tenant", "acme")
    await tab.press("Enter")
    await tab.see("document.querySelector('#tenants option[value=acme], #live').innerText.includes('acme')")
    await tab.act("#make-key summary")
    await tab.fill("#name", HOSTILE)
    await tab.fill("#tenant", "acme")
    await tab.fill("#cells_per_day", "1000")
    await tab.press("Enter")
    await tab.see("!document.querySelector('#new-key').hidden")
    made = await tab.evaluate("document.querySelector('#new-key-text').textContent")
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 200
    assert (await http.get("/queue", headers=bearer(made))).status_code == 403  # no scope but those that are ticked
    assert (await http.get("/limits", headers=bearer(made))).json()["limits"][0]["limit"] == 1000
    await tab.see(f"document.querySelector('#live').innerText.includes({HOSTILE!r})")
    await keyed_dashboard.keeps_nobody_out(tab)
    await tab.act("#hide-key")
    assert made not in await tab.text()
    key_id = made.split("_")[1]
    await tab.act(f"#rotate-{key_id} button")
    await tab.act("#confirm button[value=yes]")
    await tab.see("!document.querySelector('#new-key').hidden")
    rotated = await tab.evaluate("document.querySelector('#new-key-text').textContent")
    assert rotated not in ("", made)
    await tab.act(f"#revoke-{key_id} button")
    await tab.see("document.querySelector('#confirm').open")
    await tab.act("#confirm button[value=no]")
    assert (await http.get("/jobs", headers=bearer(rotated))).status_code == 200
    await tab.act(f"#revoke-{key_id} button")
    await tab.act("#confirm button[value=yes]")
    await tab.see_text("Revoked")
    await tab.see(f"!document.querySelector('#revoke-{key_id}')")

    async def is_refused() -> bool:  # in every process within a second
        return (await http.get("/jobs", headers=bearer(rotated))).status_code == 401

    await eventually_async(is_refused)

    await tab.go(keyed_dashboard.client.process.url + "/ui/operations/log?action=&outcome=done")
    assert f"key id {key_id}" in await tab.text()
    await keyed_dashboard.keeps_nobody_out(tab)
    await tab.fill("#action", "POST /tenants")
    await tab.press_enter()
    assert key_id not in await tab.evaluate("document.querySelector('#live').innerText")
    await tab.see_text("POST /tenants")


async def test_what_is_tried_again_acts_once_and_what_was_changed_is_another_request(dashboard: Dashboard) -> None:
    made = await make_key(dashboard.client.database, Scope.JOBS_READ)
    rotate = f"#rotate-{made.split('_')[1]} button"
    tab = await dashboard.open("/ui/keys")
    await tab.hold("*/rotate", "*/tenants")

    async def look_again() -> None:
        await tab.evaluate("document.querySelector('#live').append('an older look')")
        await tab.see("!document.body.innerText.includes('an older look')")

    async def press_rotate() -> Held:
        await tab.act(rotate)
        await tab.act("#confirm button[value=yes]")
        return await tab.held()

    first = await press_rotate()
    await look_again()
    assert await tab.evaluate(f"document.querySelector({rotate!r}).disabled")
    await first.cut()
    await tab.see_text("Try again: it will act once.")
    await look_again()
    again = await press_rotate()
    assert again.key == first.key
    await again.let_go()
    await tab.see("!document.querySelector('#new-key').hidden")
    assert not await tab.evaluate(f"document.querySelector({rotate!r}).disabled")
    last = await press_rotate()
    assert last.key != first.key
    await last.cut()

    keys = []
    for name in ("acme", "other", "acme"):
        await tab.fill("#new-tenant", name)
        await tab.press("Enter")
        held = await tab.held()
        keys.append(held.key)
        await held.cut()
        await tab.see("!document.querySelector('#new-tenant ~ button').disabled")
    assert keys[0] == keys[2] != keys[1]
