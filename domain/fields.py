"""The fields of each layout of a submitted body, and the right places of misplaced fields.

Tables only. Homes are pointers below the object that holds the spec.
"""

from domain.spec import Policy

POLICY_FIELDS = frozenset(Policy.__dataclass_fields__)
PLAIN_FIELDS = frozenset(
    {
        "id",
        "kind",
        "name",
        "models",
        "regions",
        "questions",
        "parameters",
        "policy",
        "on_duplicate",
        "metadata",
        "extensions",
    }
)
UNUSED_TOP_FIELDS = frozenset({"version", "runs", "created_at", "wallet_auth", "signature", "public_key"})
BENCHMARK_TOP_FIELDS = (
    PLAIN_FIELDS - {"regions", "extensions"} | UNUSED_TOP_FIELDS | {"jobspec_id", "benchmark", "constraints"}
)
UNUSED_BENCHMARK_FIELDS = frozenset({"description", "version", "metadata", "container", "input", "scoring"})
OBJECTS_OF_BENCHMARK = ("container", "input", "metadata", "scoring")
BENCHMARK_FIELDS = UNUSED_BENCHMARK_FIELDS | {"name"}
UNUSED_CONSTRAINTS = frozenset({"min_regions", "timeout", "max_cost", "providers"})
CONSTRAINT_FIELDS = UNUSED_CONSTRAINTS | {"regions", "min_success_rate", "provider_timeout"}
UNUSED_ENVELOPE_FIELDS = frozenset({"min_regions", "enable_analysis"})
ENVELOPE_FIELDS = UNUSED_ENVELOPE_FIELDS | {"jobspec", "target_regions", "min_success_rate"}
UNUSED_MODEL_FIELDS = frozenset({"container_image"})

MISPLACED = {
    "regions": "/constraints/regions",
    "container": "/benchmark/container",
    "input": "/benchmark/input",
    "scoring": "/benchmark/scoring",
}
"""Members of the benchmark layout that are often sent one level too high."""

_POLICY_SYNONYMS = {
    "concurrency": "/policy/max_concurrent",
    "timeout": "/policy/timeout_seconds",
    "max_execution_time": "/policy/timeout_seconds",
    "retries": "/policy/max_attempts",
    "max_retries": "/policy/max_attempts",
    "attempts": "/policy/max_attempts",
}
POLICY_HOMES = {**_POLICY_SYNONYMS, "on_duplicate": "/on_duplicate"}
_POLICY_FIELD_HOMES = {name: f"/policy/{name}" for name in POLICY_FIELDS}
_PARAMETER_HOMES = {name: f"/parameters/{name}" for name in ("max_tokens", "temperature", "top_p", "seed")}
PLAIN_HOMES = {
    **_POLICY_FIELD_HOMES,
    **_POLICY_SYNONYMS,
    **_PARAMETER_HOMES,
    "model": "/models",
    "region": "/regions",
    "target_regions": "/regions",
    "question": "/questions",
    "prompt": "/questions",
    "prompts": "/questions",
    "expected_executions": "/metadata/expected_executions",
    "total_executions_expected": "/metadata/total_executions_expected",
}
BENCHMARK_HOMES = {
    **PLAIN_HOMES,
    "region": "/constraints/regions",
    "target_regions": "/constraints/regions",
    "min_regions": "/constraints/min_regions",
    "provider_timeout": "/constraints/provider_timeout",
    "timeout": "/constraints/timeout",
    "description": "/benchmark/description",
}
CONSTRAINT_HOMES = {name: home for name, home in BENCHMARK_HOMES.items() if name not in CONSTRAINT_FIELDS}
