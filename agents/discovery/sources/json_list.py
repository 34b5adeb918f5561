"""Reads a list of feeds or actors: a JSON file of the operator's, or the one that ships."""

import json
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agents.domain.errors import InvalidValue


class Strict(BaseModel):
    """A part of such a file: a name it doesn't know is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=Strict)


def read_list(model: type[M], path: Path | None, *, shipped: str, setting: str) -> M:
    """The file's content, checked; None is the shipped list. Raises InvalidValue, which names the
    setting and the place in the file."""
    allowed = f"a JSON file such as agents/discovery/{shipped}"
    try:
        file = files("agents.discovery").joinpath(shipped) if path is None else path
        return model.model_validate(json.loads(file.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = f"{place}: {first['msg'].removeprefix('Value error, ')}"
        raise InvalidValue(setting, problem, allowed) from None
    except OSError as error:
        raise InvalidValue(setting, f"{error.strerror} ({path})", allowed) from None
    except UnicodeDecodeError:
        raise InvalidValue(setting, "not a text file in UTF-8", allowed) from None
    except (ValueError, RecursionError) as error:
        raise InvalidValue(setting, f"not JSON ({error})", allowed) from None
