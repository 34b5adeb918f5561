"""A source's own names for the fields of a record, over the names known for all (fields.json)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.discovery.record import FIELD_NAMES, reach
from agents.domain.errors import InvalidValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a source writes its records.

    `fields` maps a field to the dotted names that hold it there, `constants` gives what all of
    its records are, `defaults` what those are that don't say; `link` makes every record's link
    (`{id}` is the record's own).
    """

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, str | bool] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    link: str | None = None

    def __post_init__(self) -> None:
        for name in (*self.fields, *self.constants, *self.defaults):
            if name not in FIELD_NAMES:
                raise InvalidValue("fields", f"unknown field {name!r}", ", ".join(FIELD_NAMES))

    def apply(self, raw: object) -> object:
        """The record with its values under the names that `read_record` looks at first."""
        if not isinstance(raw, dict):
            return raw
        named = dict(raw)
        for name, paths in self.fields.items():
            values = (reach(raw, tuple(path.split("."))) for path in paths)
            value = next((v for v in values if v not in (None, "", [])), None)
            if value is not None:
                named[FIELD_NAMES[name]] = value
        for name, default in self.defaults.items():
            if named.get(FIELD_NAMES[name]) in (None, ""):
                named[FIELD_NAMES[name]] = default
        for name, constant in self.constants.items():
            named[FIELD_NAMES[name]] = constant
        if self.link is not None and "id" in named:
            named[FIELD_NAMES["url"]] = self.link.replace("{id}", str(named["id"]))
        return named
