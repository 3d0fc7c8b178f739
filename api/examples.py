"""Examples for /docs: each runs unchanged, the import with the configuration in `examples/import/`."""

from typing import Any

INFERENCE_EXAMPLE: dict[str, Any] = {
    "name": "capital-cities",
    "models": ["llama3.2-1b", {"id": "qwen2.5-1.5b", "name": "Qwen", "provider": "hybrid", "regions": ["EU"]}],
    "regions": ["US", "eu-west"],
    "questions": ["What is 2+2?", {"id": "q-geo", "text": "Capital of France?"}],
    "parameters": {"max_tokens": 500, "temperature": 0.1},
    "metadata": {"team": "docs"},
}
BENCHMARK_EXAMPLE: dict[str, Any] = {
    "version": "v1",
    "benchmark": {
        "name": "dedup-test",
        "container": {"image": "example/bias-detection:latest"},
        "input": {"type": "prompt", "data": {"prompt": "What is 2+2?"}, "hash": "example"},
    },
    "constraints": {"regions": ["us-east"], "min_success_rate": 0.5, "timeout": 300_000_000_000},
    "metadata": {"models": ["llama3.2-1b", "qwen2.5-1.5b", "llama3.2-1b"], "expected_executions": 2},
    "questions": ["What is 2+2?"],
}

IMPORT_EXAMPLE: dict[str, Any] = {
    "kind": "import",
    "name": "shop",
    "record_types": [
        {
            "id": "order",
            "key": ["customer", "number"],
            "depends_on": ["customer"],
            "source": {"type": "file", "path": "order.csv"},
        },
        {"id": "customer", "key": ["id"], "source": {"type": "file", "path": "customer.csv"}},
    ],
}
