"""The container's image: every list of the service's packages is the same."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def installed() -> set[str]:
    return {pattern.removesuffix("*") for pattern in project()["setuptools"]["packages"]["find"]["include"]}


def packages_of_the_repository() -> set[str]:
    outside = {"tests", "bench"}
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
    assert set(project()["mypy"]["packages"]) == installed()
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
