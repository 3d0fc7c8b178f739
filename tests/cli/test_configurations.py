"""`breakwater config`: its output, the changes and output of apply; and processes that have nothing to serve."""

import tomllib
from pathlib import Path

import pytest

from tests.support.processes import Ended, run_command

PROJECT = Path(__file__).resolve().parents[2]
FIRST = '[providers.hybrid]\ntype = "openai"\nmax_concurrent = 3\n\n[providers.hybrid.base_urls]\nus-east = "http://127.0.0.1:9001/v1"\n'
SECOND = FIRST.replace("9001", "9002").replace("= 3", "= 5")


class Breakwater:
    """The command on these stores."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        self.folder = folder

    def __call__(self, *arguments: str, **settings: str) -> Ended:
        given = {f"BREAKWATER_{name}": value for name, value in {**self.urls, **settings}.items()}
        return run_command(*arguments, environment=given)

    def file(self, text: str, name: str = "b") -> str:
        path = self.folder / f"{name}.toml"
        path.write_text(text)
        return str(path)


@pytest.fixture
def breakwater(unconfigured_database_url: str, redis_url: str, tmp_path: Path) -> Breakwater:
    """The command on stores in which nothing is committed."""
    return Breakwater(unconfigured_database_url, redis_url, tmp_path)


def test_a_configuration_is_applied_shown_compared_and_rolled_back(breakwater: Breakwater) -> None:
    first, second = breakwater.file(FIRST), breakwater.file(SECOND, "second")
    assert breakwater("config", "show").returncode == 1
    applied = breakwater("config", "apply", first)
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout == "Configuration 1 is in force.\n+ provider hybrid in us-east\n"
    again = breakwater("config", "apply", first)
    assert again.stdout == "Nothing changes: configuration 1 says the same.\n"
    same = breakwater("config", "diff", first)
    assert (same.returncode, same.stdout) == (0, "Nothing would change.\n")
    differs = breakwater("config", "diff", second)
    assert differs.returncode == 1
    assert differs.stdout == (
        "~ provider hybrid in us-east\n  providers.hybrid.max_concurrent\n  providers.hybrid.base_urls.us-east\n"
    )
    assert breakwater("config", "apply", second).stdout.startswith("Configuration 2 is in force.\n~ provider hybrid")
    shown = breakwater("config", "show").stdout
    assert shown.startswith("# configuration 2, applied 20")
    assert tomllib.loads(shown) == tomllib.loads(SECOND)
    simulated = breakwater("config", "apply", "--simulate")
    assert "- provider hybrid in us-east\n" in simulated.stdout
    assert "# simulated" in breakwater("config", "show").stdout


@pytest.mark.parametrize(
    ("setting", "value"),
    [("HOST", "0.0.0.0"), ("DATA_DIR", "/srv/bw-1.0"), ("PORT", "8010"), ("LEASE_SECONDS", "12.5")],  # noqa: S104
)
def test_config_prints_a_value_as_it_is(breakwater: Breakwater, setting: str, value: str) -> None:
    shown = breakwater("config", **{setting: value})
    assert f"BREAKWATER_{setting}={value}\n" in shown.stdout


def test_config_prints_its_input_in_a_form_that_it_accepts_again(breakwater: Breakwater) -> None:
    printed = breakwater("config", HOST="0.0.0.0", ECHO_FAILURE_RATE="0.10", MAX_CELLS="1000", SIMULATE="1")  # noqa: S104
    lines = [line.removeprefix("BREAKWATER_").split("=", 1) for line in printed.stdout.splitlines() if "=" in line]
    again = breakwater("config", **{name: value for name, value in lines if not name.endswith("_URL")})
    assert again.stdout == printed.stdout


def test_config_names_the_variables_that_the_environment_lacks(breakwater: Breakwater) -> None:
    text = FIRST.replace("max_concurrent = 3", 'api_key_env = "NOT_THERE"')
    shown = breakwater("config", CONFIG=breakwater.file(text))
    assert "# providers.hybrid isn't served from here: NOT_THERE isn't in the environment" in shown.stdout


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_process_with_nothing_to_serve_refuses_to_start_and_names_the_remedy(
    breakwater: Breakwater, command: str
) -> None:
    refused = breakwater(command, PORT="8641")
    assert refused.returncode == 1
    lines = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    for wanted in ("config apply", "BREAKWATER_CONFIG", "BREAKWATER_SIMULATE=true"):
        assert wanted in lines[0]


@pytest.mark.parametrize("command", ["api", "worker"])
def test_simulating_is_refused_where_a_real_configuration_is_committed(breakwater: Breakwater, command: str) -> None:
    breakwater("config", "apply", breakwater.file(FIRST))
    refused = breakwater(command, PORT="8642", SIMULATE="true")
    assert refused.returncode == 1
    assert "BREAKWATER_SIMULATE is true, but configuration 1 with real providers is committed" in refused.stderr


def test_the_first_committed_configuration_stands_against_later_files(breakwater: Breakwater) -> None:
    first = breakwater("config", "apply", breakwater.file(FIRST), "--if-none")
    later = breakwater("config", "apply", breakwater.file(SECOND, "second"), "--if-none")
    bare = breakwater("config", "apply", "--simulate", "--if-none")
    assert first.stdout == later.stdout == bare.stdout == "Configuration 1 is in force.\n"


def test_a_file_that_cannot_be_is_one_sentence_and_nothing_is_committed(breakwater: Breakwater) -> None:
    refused = breakwater("config", "apply", breakwater.file("region = 3"))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    missing = breakwater("config", "apply", "/nowhere/b.toml")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    nothing = breakwater("config", "apply")
    assert (nothing.returncode, nothing.stderr) == (1, "Name a TOML file, or give --simulate.\n")
    assert breakwater("config", "show").returncode == 1


KEPT = FIRST.replace("= 3", '= 3\ntenants = ["acme"]') + (
    "\n[imports]\nroot = '/data'\n\n[imports.roots.kept]\nroot = '/data/kept'\ntenants = ['acme', 'globex']\n"
)


def test_tenants_are_applied_shown_and_compared_and_those_that_dont_exist_are_named(breakwater: Breakwater) -> None:
    breakwater("config", "apply", breakwater.file(FIRST))
    breakwater("tenants", "create", "globex")
    kept = breakwater.file(KEPT, "kept")
    changes = (
        "+ provider hybrid in us-east for acme\n+ the root of imports\n+ the root of imports for acme\n"
        "+ the root of imports for globex\n- provider hybrid in us-east\n  providers.hybrid.tenants\n  imports\n"
    )
    assert breakwater("config", "diff", kept).stdout == changes
    applied = breakwater("config", "apply", kept)
    unknown = (
        "There is no tenant acme yet (providers.hybrid, imports.roots.kept): correct the name, or "
        "`breakwater tenants create acme`.\n"
    )
    assert (applied.returncode, applied.stdout) == (0, f"Configuration 2 is in force.\n{changes}{unknown}")
    shown = breakwater("config", "show").stdout
    assert tomllib.loads(shown) == tomllib.loads(KEPT)
    breakwater("tenants", "create", "acme")
    assert breakwater("config", "apply", kept).stdout == "Nothing changes: configuration 2 says the same.\n"
