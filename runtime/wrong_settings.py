"""Turning pydantic's errors about settings into a sentence that names the setting and the remedy."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from runtime.typed_tables import ByType, bracketed

_ECHO_LIMIT = 100


def sentence(error: ValidationError, model: type[BaseModel], *, name: Callable[[str], str]) -> str:
    """Return a sentence about the first error. `name` turns a dotted place into the setting's full name.

    Values are echoed unless the field is hidden from `repr`, as are URLs with passwords.
    """
    first = error.errors(include_url=False)[0]
    way = [str(part) for part in first["loc"]]
    field, siblings = _field_at(model, way)
    place = [part for part in way if not _is_bracketed(part)]
    setting = name(".".join(place)) if place else name("it")
    match first["type"]:
        case "extra_forbidden":
            return unknown(setting, place[-1], siblings)
        case "missing":
            return f"{setting} is missing: set it to {_wanted(field)}."
        case "base_urls_missing":
            return f"{setting} has nowhere to call: {first['msg']}."
        case "contradiction":
            return f"{setting} {first['msg']}."
        case "unknown_type":
            given = str(first["input"]["type"])[:_ECHO_LIMIT]
            return f'{name(".".join([*place, "type"]))} is "{given}": set it to {first["msg"]}.'
        case _:
            given = first["input"]
            is_shown = field is not None and field.repr and isinstance(given, str | int | float | bool)
            seen = f'"{str(given)[:_ECHO_LIMIT]}"' if is_shown else "wrong"
            return f"{setting} is {seen}: set it to {_wanted(field)}."


def unknown(setting: str, given: str, known: Iterable[str]) -> str:
    """Return the sentence about an unknown setting."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"There is no setting {setting}: " + (f"did you mean {near[0]}?" if near else "remove it.")


def _wanted(field: FieldInfo | None) -> str:
    return (field.description if field else None) or "something else"


def _is_bracketed(part: str) -> bool:
    """Say whether a part of an error's place marks a model's choice, and isn't a name in the file."""
    return part.startswith("[") and part.endswith("]")


def _field_at(model: type[BaseModel], way: list[str]) -> tuple[FieldInfo | None, Mapping[str, FieldInfo]]:
    """Return the innermost field on the way to a place, and the fields that are possible at its end."""
    field: FieldInfo | None = None
    fields: Mapping[str, FieldInfo] = model.model_fields
    models: Mapping[str, type[BaseModel]] = {}
    for part in way:
        # A part that is no field is the key of a mapping or the index of a list: the field before it still applies.
        if part in fields:
            field = fields[part]
            models = _models_in(field.annotation)
            fields = {}
        if found := models.get(part) or models.get(""):
            fields = found.model_fields
    return field, fields


def _models_in(annotation: Any) -> Mapping[str, type[BaseModel]]:
    """Return the models of tables within a type, by the part of a place that chooses one; the only one by ""."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {"": annotation}
    if isinstance(annotation, ByType):
        return {bracketed(name): model for name, model in annotation.models.items()}
    parts = (*getattr(annotation, "__metadata__", ()), *get_args(annotation))
    return next((models for part in parts if (models := _models_in(part))), {})
