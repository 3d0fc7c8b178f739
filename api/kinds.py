"""Which kinds of jobs are taken: all that the domain can read, but imports, which nothing runs yet."""

from domain.errors import FieldError, SpecRejected
from domain.normalize import Normalized, normalize
from domain.regions import Registry
from domain.spec import Kind


def normalize_supported(body: object, registry: Registry) -> Normalized:
    """Return the normalized spec of a body as `normalize` does; an import is refused before it is read."""
    if not isinstance(body, dict) or body.get("kind") != Kind.IMPORT:
        normalized = normalize(body, registry)
        if isinstance(normalized, Normalized):
            return normalized
    detail = f"Send `kind` as `{Kind.INFERENCE}`: imports can be read, but not run yet."
    raise SpecRejected([FieldError("/kind", "kind_not_supported", detail, {"allowed": [Kind.INFERENCE.value]})])
