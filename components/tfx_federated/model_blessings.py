"""The blessing of a model, in the form that TFX's Evaluator writes and Pusher and resolvers read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.io import fileio

from tfx_federated import whole_files

_PROPERTIES = (
    (constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY),
    (constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY),
)


def write(
    blessing: types.Artifact,
    is_blessed: bool,
    exec_properties: Mapping[str, Any],
    model: types.Artifact,
    baseline_model: types.Artifact | None = None,
) -> None:
    """Writes the file and the properties of a ModelBlessing.

    Args:
        blessing: The artifact.
        is_blessed: Whether the model is blessed.
        exec_properties: Of the component; an orchestrator may name the component in them.
        model: The judged model.
        baseline_model: The model that it was compared with, if any.
    """
    for (uri_property, id_property), judged in zip(_PROPERTIES, (model, baseline_model), strict=True):
        if judged is not None:
            blessing.set_string_custom_property(uri_property, judged.uri)
            blessing.set_int_custom_property(id_property, judged.id)
    if "current_component_id" in exec_properties:
        blessing.set_string_custom_property("component_id", exec_properties["current_component_id"])
    fileio.makedirs(blessing.uri)
    name = constants.BLESSED_FILE_NAME if is_blessed else constants.NOT_BLESSED_FILE_NAME
    whole_files.write_text(os.path.join(blessing.uri, name), "")
    value = constants.BLESSED_VALUE if is_blessed else constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
