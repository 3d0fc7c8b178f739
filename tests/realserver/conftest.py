"""A real server of OpenAI's dialect in a process of its own, with tiny models that it makes from random weights first.

It runs in an environment apart from ours, which `make test-real-server` sets up and names in two variables:
`BREAKWATER_TEST_REAL_SERVER` is `transformers` or `llama-cpp`, `BREAKWATER_TEST_REAL_SERVER_PYTHON` its interpreter.
"""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from domain.registry import DEFAULT_REGIONS
from tests.support.service import free_port
from tests.support.waiting import eventually

MODELS = ("llama3.2-1b", "mistral-7b", "qwen2.5-1.5b")
START_SECONDS = 60

Command: TypeAlias = list[str | Path]


@pytest.fixture
def config(real_server: str, tmp_path: Path) -> Path:
    """A configuration in which that server is the provider of every region."""
    urls = [f'{region.name} = "{real_server}/v1"' for region in DEFAULT_REGIONS]
    path = tmp_path / "breakwater.toml"
    path.write_text("\n".join(["[providers.hybrid]", 'type = "openai"', "[providers.hybrid.base_urls]", *urls]))
    return path


@pytest.fixture
def real_server(tmp_path: Path) -> Iterator[str]:
    """The URL of the server that the environment names, with a model under each name of `MODELS`."""
    name, python = _given("BREAKWATER_TEST_REAL_SERVER"), Path(_given("BREAKWATER_TEST_REAL_SERVER_PYTHON"))
    folder = tmp_path / "models"
    folder.mkdir()
    maker = Path(__file__).with_name(f"make_{name.replace('-', '_')}_models.py")
    subprocess.run([python, maker, folder, *MODELS], check=True)
    port = free_port()
    with _running(_COMMAND_BY_SERVER[name](python, folder, port), folder, port) as url:
        yield url


@contextmanager
def _running(command: Command, folder: Path, port: int) -> Iterator[str]:
    output = folder / "server.log"
    # It may look for a model by its name in a hub: never there, nor in what somebody has fetched before.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    with output.open("wb") as file:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)

    def listens() -> bool:
        assert server.poll() is None, output.read_text()
        return _listens(port)

    try:
        eventually(listens, seconds=START_SECONDS, what="the model server listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _transformers(python: Path, folder: Path, port: int) -> Command:
    """It takes a model's name for a folder below the current one, and loads it at the first call."""
    program = python.with_name("transformers")
    return [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]


def _llama_cpp(python: Path, folder: Path, port: int) -> Command:
    """It holds one of its models at a time, and changes it when a call asks for another one."""
    config = folder / "server.json"
    models = [{"model": f"{name}.gguf", "model_alias": name, "n_threads": 1} for name in MODELS]
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "models": models}))
    return [python, "-m", "llama_cpp.server", "--config_file", config]


_COMMAND_BY_SERVER: Mapping[str, Callable[[Path, Path, int], Command]] = {
    "transformers": _transformers,
    "llama-cpp": _llama_cpp,
}


def _given(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.fail(f"{variable} is not set: run this by `make test-real-server`")
    return value
