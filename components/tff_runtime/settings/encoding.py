"""A choice as JSON: `{"type": "TrimmedMean", "fraction": 0.1}`, which a Kubeflow form and a file take as well."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

_MAPPINGS = (Mapping, dict)


def encode(setting: Any) -> dict[str, Any]:
    """Returns a setting, and the settings inside it, as JSON values."""
    fields = {field.name: getattr(setting, field.name) for field in dataclasses.fields(setting)}
    return {"type": type(setting).__name__, **{name: _encode_value(value) for name, value in fields.items()}}


def decode(values: str | Mapping[str, Any], alternatives: Sequence[type], name: str) -> Any:
    """Reads a setting.

    Args:
        values: What `encode` returned, or its JSON text. Fields with a default may be missing.
        alternatives: The classes that the setting may have.
        name: Name of the setting, for messages.

    Returns:
        The setting.

    Raises:
        ValueError: The text is no such JSON, the type is none of the alternatives, or a field is unknown, missing or
            out of its range; the message names it.
    """
    fields = _fields(values, name)
    by_name = {alternative.__name__: alternative for alternative in alternatives}
    kind = fields.pop("type", None)
    if not isinstance(kind, str) or kind not in by_name:
        raise ValueError(f'{name}: "type" is {kind!r}; it must be one of {", ".join(by_name)}')
    setting_class = by_name[kind]
    known = {field.name: field for field in dataclasses.fields(setting_class)}
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"{name}: {kind} has no {', '.join(unknown)}; it has {', '.join(known) or 'no fields'}")
    expected = typing.get_type_hints(setting_class)
    arguments = {
        key: _decode_value(value, expected[key], alternatives, f"{name}.{key}") for key, value in fields.items()
    }
    for key, value in arguments.items():
        if not _is_of_type(value, expected[key]):
            raise ValueError(f"{name}: {kind}: {key} is {fields[key]!r}; it must be of type {_in_words(expected[key])}")
    try:
        return setting_class(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {kind} cannot be made of {fields}: {error}") from error


def encode_all(settings: Sequence[Any], alternatives: Sequence[type], name: str) -> str:
    """Returns settings as JSON text, a list of what `encode` returns.

    Args:
        settings: The settings.
        alternatives: The classes that they may have.
        name: Name of the list, for messages.

    Raises:
        ValueError: One is none of the alternatives.
    """
    for number, setting in enumerate(settings):
        if not isinstance(setting, tuple(alternatives)):
            names = ", ".join(alternative.__name__ for alternative in alternatives)
            raise ValueError(f"{name}[{number}] is {setting!r}; it must be one of {names}")
    return json.dumps([encode(setting) for setting in settings], sort_keys=True)


def decode_all(text: str, alternatives: Sequence[type], name: str, example: str) -> tuple[Any, ...]:
    """Reads what `encode_all` returns. Fields with a default may be missing.

    Args:
        text: The JSON text.
        alternatives: The classes that the settings may have.
        name: Name of the list, for messages.
        example: Such a text, for messages.

    Raises:
        ValueError: The text is no JSON list, or one of it is no such setting; the message names it and the field.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is no JSON: {error}; expected for example {example}") from error
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise ValueError(f"{name} is {text!r}; expected a JSON list of objects, for example {example}")
    return tuple(decode(value, alternatives, f"{name}[{number}]") for number, value in enumerate(values))


def require(condition: bool, setting: Any, field: str, requirement: str) -> None:
    """Refuses a field out of its range.

    Raises:
        ValueError: The condition is false; the message names class, field, value and requirement.
    """
    if not condition:
        raise ValueError(f"{type(setting).__name__}: {field} is {getattr(setting, field)!r}; it must be {requirement}")


def _decode_value(value: Any, expected: Any, alternatives: Sequence[type], name: str) -> Any:
    if isinstance(value, list):
        return tuple(value)
    # A mapping by silo is no setting, whatever the silos are called.
    if isinstance(value, Mapping) and typing.get_origin(expected) not in _MAPPINGS:
        return decode(value, alternatives, name)
    return value


def _is_of_type(value: Any, expected: Any) -> bool:
    """Returns whether a value is of an annotated type; as in Python's annotations, an integer is a float too."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of_type(value, alternative) for alternative in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_of_type(item, arguments[0]) for item in value)
    if origin in _MAPPINGS:
        return isinstance(value, Mapping) and all(_is_of_type(item, arguments[1]) for item in value.values())
    if expected in (int, float):
        return isinstance(value, (int, expected)) and not isinstance(value, bool)
    return expected is Any or isinstance(value, expected)


def _in_words(expected: Any) -> str:
    return expected.__name__ if isinstance(expected, type) else str(expected).replace("typing.", "")


def _fields(values: str | Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(values, str):
        return dict(values)
    try:
        fields = json.loads(values)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is no JSON: {error}; expected for example " + '{"type": "..."}') from error
    if not isinstance(fields, dict):
        raise ValueError(f'{name} is {values!r}; expected a JSON object with "type"')
    return fields


def _encode_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return encode(value)
    return list(value) if isinstance(value, tuple) else value
