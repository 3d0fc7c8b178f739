"""Tables of the TOML file whose model depends on their `type`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, eq=False)
class ByType:
    """Annotates a table with its models by type. A table without a type has the type `default`."""

    models: Mapping[str, type[BaseModel]]
    default: str

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # An error's place names the model's choice, in brackets like those that pydantic adds for a mapping's keys.
        choices: dict[Any, CoreSchema] = {
            bracketed(name): core_schema.no_info_before_validator_function(
                partial(_refuse_fields_of_others, self.models, name), handler.generate_schema(model)
            )
            for name, model in self.models.items()
        }
        return core_schema.no_info_before_validator_function(
            self._refuse_unknown_type, core_schema.tagged_union_schema(choices, self._choice)
        )

    def _refuse_unknown_type(self, table: Any) -> Any:
        if isinstance(table, dict) and str(table.get("type", self.default)) not in self.models:
            *types, last = self.models
            raise PydanticCustomError("unknown_type", f"{', '.join(types)} or {last}")
        return table

    def _choice(self, table: Any) -> str | None:
        if isinstance(table, dict):
            return bracketed(str(table.get("type", self.default)))
        return bracketed(table.type) if isinstance(table, BaseModel) and hasattr(table, "type") else None


def bracketed(name: str) -> str:
    """Return a model's choice in the form that marks it in an error's place."""
    return f"[{name}]"


def _refuse_fields_of_others(models: Mapping[str, type[BaseModel]], name: str, table: Any) -> Any:
    """Say which fields only other types have; empty fields are left out."""
    if not isinstance(table, dict):
        return table
    known = models[name].model_fields
    everywhere = [field for model in models.values() for field in model.model_fields]
    others = [field for field in dict.fromkeys(everywhere) if field not in known]
    if any(table.get(field) for field in others):
        listed = " and ".join(f"no {field}" for field in others)
        raise PydanticCustomError("contradiction", f"is of type {name}, which takes {listed}: remove them")
    return {field: value for field, value in table.items() if field not in others}
