"""`tenants` in the TOML file: of what it can be said, and what is refused with the place and the remedy."""

import pytest

from configuration.content import Content, file_for, identities_of, root_for
from runtime.config_file import ConfigFile, read_config_file
from runtime.errors import SettingError

SERVED = "type = 'echo'"
WHOLE = """
default_provider = "private"
[regions.moon]
tenants = ["acme"]
[regions.mars]
[providers.private]
type = "echo"
tenants = ["acme", "globex"]
[connections.vault]
url_env = "VAULT_URL"
tenants = ["acme"]
[imports]
root = "files"
[imports.roots.kept]
root = "files/kept"
tenants = ["acme"]
"""


@pytest.fixture
def read(tmp_path):
    def write(text: str) -> ConfigFile:
        path = tmp_path / "b.toml"
        path.write_text(text)
        return read_config_file(path)

    return write


def test_four_kinds_of_things_may_name_their_tenants(read):
    assert read(WHOLE).tenants_by_place == {
        "regions.moon": ("acme",),
        "providers.private": ("acme", "globex"),
        "connections.vault": ("acme",),
        "imports.roots.kept": ("acme",),
    }


def test_a_tenant_has_the_file_without_what_isnt_for_it(read, tmp_path):
    file = read(WHOLE)
    acme, globex, other = (file_for(name, file) for name in ("acme", "globex", "initech"))
    assert (list(acme.regions), list(acme.providers), list(acme.connections)) == (
        ["moon", "mars"],
        ["private"],
        ["vault"],
    )
    assert (list(globex.regions), list(globex.providers), list(globex.connections)) == (["mars"], ["private"], [])
    assert (list(other.regions), list(other.providers), list(other.connections)) == (["mars"], [], [])
    assert [each.default_provider for each in (acme, globex, other)] == ["private", "private", None]
    roots = {name: root_for(name, file.imports) for name in ("acme", "globex")}
    assert roots == {"acme": tmp_path / "files/kept", "globex": tmp_path / "files"}


def test_a_provider_is_nobodys_in_a_region_that_it_shares_no_tenant_with(read):
    file = read(WHOLE.replace('["acme", "globex"]', '["globex"]'))
    found = {(key.name, key.region, key.tenant) for key in (each.key for each in identities_of(Content(file)))}
    assert found == {
        ("private", "mars", "globex"),
        ("vault", "", "acme"),
        ("", "", ""),
        ("", "", "acme"),
    }


def test_what_names_no_tenants_keeps_the_identity_that_it_had(read):
    (provider, root) = identities_of(Content(read(f"[regions.r]\n[providers.p]\n{SERVED}\n[imports]\nroot = '/i'")))
    assert (provider.content, root.content) == ('{"type": "echo"}', '{"root": "/i"}')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"[providers.p]\n{SERVED}\ntenants = []", "providers.p.tenants in PATH is wrong: set it to a list of names"),
        (f"[providers.p]\n{SERVED}\ntenants = 'acme'", 'providers.p.tenants in PATH is "acme": set it to a list of'),
        (f"[providers.p]\n{SERVED}\ntenants = ['a b']", 'providers.p.tenants.0 in PATH is "a b": set it to a list of'),
        ("[regions.r]\ntenant = ['acme']", "There is no setting regions.r.tenant in PATH: did you mean tenants?"),
        ("[connections.c]\nurl_env = 'U'\ntenants = [1]", 'connections.c.tenants.0 in PATH is "1": set it to a list'),
        ("[imports]", "imports in PATH has no root: set root to a folder, relative to this file or absolute."),
        ("[imports]\ntenants = ['acme']", "imports in PATH has no root: set root to a folder"),
        ("[imports.roots.k]\nroot = '/k'", "imports.roots.k.tenants in PATH is missing: set it to a list of names"),
        (
            "[imports]\nroot = 'k'\n[imports.roots.k]\nroot = './k/'\ntenants = ['acme']",
            "imports in PATH names the folder FOLDER/k for two roots: leave it with one of them.",
        ),
        (
            "[imports]\nroot = 'i'\ntenants = ['acme']\n[imports.roots.k]\nroot = 'k'\ntenants = ['b', 'acme']",
            "imports in PATH names the tenant acme for two roots: leave it with one of them.",
        ),
    ],
)
def test_a_file_that_cant_be_meant_is_refused_with_place_and_remedy(read, tmp_path, text, sentence):
    with pytest.raises(SettingError) as refused:
        read(text)
    shown = sentence.replace("PATH", str(tmp_path / "b.toml")).replace("FOLDER", str(tmp_path))
    assert str(refused.value).startswith(shown)
