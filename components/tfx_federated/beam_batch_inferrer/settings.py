"""What a user sets: checked in one place, when the pipeline is defined and again when the component runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from tff_runtime.settings import encoding
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS
from tfx_federated.beam_batch_inferrer.model_options import ModelOptions
from tfx_federated.beam_batch_inferrer.output_formats import OUTPUT_FORMATS


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a run; the fields are those of `component.BeamBatchInferrer`.

    Raises:
        ValueError: A field is out of its range.
    """

    silo_key: str
    splits: tuple[str, ...] | None = None
    row_id: str | None = None
    passthrough_features: tuple[str, ...] = ()
    output_format: str = "parquet"
    layout: str = "silo_folders"
    batch_size: int = 8192
    batch_bytes: int = 64 << 20
    maximum_dead_letter_share: float = 0.0
    model_options: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    write_examples: bool = False

    def __post_init__(self) -> None:
        if not self.silo_key:
            raise ValueError("silo_key is empty; give the name of the feature that holds the silo")
        if self.splits is not None and not self.splits:
            raise ValueError("splits is an empty list; give split names, or None for all splits")
        for name, value, known in (
            ("output_format", self.output_format, OUTPUT_FORMATS),
            ("layout", self.layout, LAYOUTS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(known)}")
        for name, number in (("batch_size", self.batch_size), ("batch_bytes", self.batch_bytes)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} is {number!r}; it must be a whole number of at least 1")
        if not 0 <= self.maximum_dead_letter_share <= 1:
            raise ValueError(
                f"maximum_dead_letter_share is {self.maximum_dead_letter_share!r}; it must be between 0 and 1"
            )
        if len(set(self.passthrough_features)) < len(self.passthrough_features):
            raise ValueError(f"passthrough_features names a feature twice: {list(self.passthrough_features)}")

    @property
    def named_features(self) -> list[str]:
        """The features that are read beside the silo, each once."""
        return list(dict.fromkeys([*([self.row_id] if self.row_id else []), *self.passthrough_features]))

    def to_properties(self) -> dict[str, Any]:
        """Returns the execution properties, which are text and numbers."""
        properties = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return properties | {
            "splits": None if self.splits is None else json.dumps(list(self.splits)),
            "passthrough_features": json.dumps(list(self.passthrough_features)),
            "model_options": json.dumps(encoding.encode(self.model_options)),
            "maximum_dead_letter_share": float(self.maximum_dead_letter_share),
            "write_examples": int(self.write_examples),
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> Settings:
        """Reads what `to_properties` returned; what is missing or None has its default.

        Raises:
            ValueError: A field is out of its range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values = {name: properties[name] for name in names if properties.get(name) is not None}
        for name in ("splits", "passthrough_features"):
            if name in values:
                values[name] = _names(name, values[name])
        if "model_options" in values:
            values["model_options"] = encoding.decode(values["model_options"], [ModelOptions], "model_options")
        values["write_examples"] = bool(values.get("write_examples"))
        return cls(**values)


def _names(name: str, text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except json.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise ValueError(f"{name} is {text!r}; give a list of names, on Kubeflow as JSON")
    return tuple(names)
