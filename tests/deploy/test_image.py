"""The container's image: every list of the service's packages is the same, and its steps work on what it is given."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from api.problem_texts import SOURCES
from tests.support.service import Process, free_port

ROOT = Path(__file__).parents[2]
CHECKED_ONLY = "supply_chain"
"""A package that looks at others, and is in no image."""


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def installed() -> set[str]:
    return {pattern.removesuffix("*") for pattern in project()["setuptools"]["packages"]["find"]["include"]}


def packages_of_the_repository() -> set[str]:
    outside = {"tests", "bench", CHECKED_ONLY}
    return {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")} - outside


def copied() -> list[str]:
    """Return the paths that the Dockerfile copies from the repository."""
    copies = re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return [source for line in copies for source in line.split()[:-1]]


def let_in() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def test_the_image_copies_every_package() -> None:
    assert {path for path in copied() if (ROOT / path).is_dir()} == installed()


def test_dockerignore_admits_every_file_that_the_image_copies() -> None:
    assert sorted(let_in()) == sorted(copied())
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_every_package_is_installed_and_checked() -> None:
    assert packages_of_the_repository() == installed()
    assert set(project()["mypy"]["packages"]) == installed() | {CHECKED_ONLY}
    assert set(project()["importlinter"]["root_packages"]) == installed()


def test_every_file_that_the_image_copies_exists() -> None:
    assert [path for path in copied() if not (ROOT / path).exists()] == []


def test_data_files_of_packages_are_installed() -> None:
    patterns = project()["setuptools"]["package-data"]
    beside = {
        path.relative_to(ROOT).as_posix()
        for package in installed()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    named = {
        path.relative_to(ROOT).as_posix()
        for package, globs in patterns.items()
        for pattern in globs
        for path in (ROOT / package).glob(pattern)
    }
    assert beside - named == set()


def dockerfile() -> str:
    """The Dockerfile without comments, an instruction per line."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    return re.sub(r"\\\n\s*", "", "\n".join(lines))


def context_files() -> Iterator[Path]:
    """The files that Docker would be sent, by the rules of .dockerignore: the last one that matches counts."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    known = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in known.stdout.decode().splitlines():
        path = Path(name)
        is_sent = True
        for rule in rules:
            pattern = rule.removeprefix("!")
            candidates = [name, *map(str, path.parents)]
            if any(fnmatch(each, pattern.replace("**/", "*")) for each in candidates):
                is_sent = rule.startswith("!")
        if is_sent and (ROOT / path).is_file():
            yield path


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A folder with what the image copies from its context, and from nowhere else."""
    context, build = tmp_path / "context", tmp_path / "build"
    for path in context_files():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, context / path)
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile(), re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            at = build / target / Path(source).name if target.endswith("/") else build / target
            at.parent.mkdir(parents=True, exist_ok=True)
            if (context / source).is_dir():
                shutil.copytree(context / source, at)
            else:
                shutil.copy(context / source, at)
    return build


def test_the_context_holds_no_secret_no_data_and_no_test() -> None:
    top = {path.parts[0] for path in context_files()}
    assert top == {*installed(), "LICENSE", "README.md", "pyproject.toml", "requirements"}


def test_the_service_works_with_what_the_image_copies(build: Path) -> None:
    shutil.copy(ROOT / "openapi.json", build)
    for page in SOURCES:
        (build / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, build / page)
    for command in (["openapi", "--check"], ["--help"]):
        subprocess.run([sys.executable, "-P", "-m", "cli", *command], cwd=build, env=only(build), check=True)
    found = "import api.app, pathlib; print(pathlib.Path(api.app.__file__).parents[1])"
    shown = subprocess.run(
        [sys.executable, "-P", "-c", found], cwd=build, env=only(build), capture_output=True, check=True
    )
    assert shown.stdout.decode().strip() == str(build)


def only(folder: Path) -> dict[str, str]:
    """The environment in which our modules come from this folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BREAKWATER_")}
    return {**kept, "PYTHONPATH": str(folder)}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_steps_of_the_image_build_a_service_from_the_locked_libraries(build: Path, tmp_path: Path) -> None:
    _, first_stage, _ = f"\n{dockerfile().strip()}".split("\nFROM ")
    steps = re.findall(r"^RUN (.+)$", first_stage, re.MULTILINE)
    assert len(steps) == 3
    installed_at = tmp_path / "opt"
    for step in steps:
        command = step.replace("/opt/breakwater", str(installed_at)).replace(
            "python -m venv", f"{sys.executable} -m venv"
        )
        subprocess.run(["sh", "-ec", command], cwd=build, check=True)
    shown = subprocess.run([installed_at / "bin" / "breakwater", "config"], cwd="/", capture_output=True, check=True)
    assert b"BREAKWATER_PORT=8000" in shown.stdout
    assert not (installed_at / "bin" / "pip").exists()


def test_the_image_is_named_by_digest_and_runs_as_a_numbered_user_without_rights() -> None:
    bases = re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.13-slim@sha256:[0-9a-f]{64}", bases[0])
    assert re.findall(r"^USER (.+)$", dockerfile(), re.MULTILINE) == ["10001:10001"]


def test_the_health_check_of_the_image_tells_a_live_api_from_none(service: Process) -> None:
    [check] = re.findall(r"HEALTHCHECK .*? CMD (\[.+\])$", dockerfile(), re.MULTILINE)
    _, *arguments = json.loads(check)
    port = service.url.rpartition(":")[2]
    for asked, code in ((port, 0), (str(free_port()), 1)):
        command = [sys.executable, *arguments]
        ended = subprocess.run(command, env={"BREAKWATER_PORT": asked}, stderr=subprocess.DEVNULL, check=False)
        assert ended.returncode == code
