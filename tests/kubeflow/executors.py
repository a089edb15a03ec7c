"""TFX executors and components for the tests, importable as a container would import them."""

import json
import os
import pathlib

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base import base_executor
from tfx.types import standard_artifacts

# The file that `Record` writes what it was given to.
RECORD_VARIABLE = "TFX_FEDERATED_TEST_RECORD"


class Record(base_executor.BaseExecutor):
    """Writes down what TFX hands to an executor, and answers with one property of each kind on every output."""

    def Do(self, input_dict, output_dict, exec_properties):
        record = {
            "inputs": {key: [_described(artifact) for artifact in artifacts] for key, artifacts in input_dict.items()},
            "outputs": {
                key: [_described(artifact) for artifact in artifacts] for key, artifacts in output_dict.items()
            },
            "properties": exec_properties,
        }
        pathlib.Path(os.environ[RECORD_VARIABLE]).write_text(json.dumps(record))
        for artifacts in output_dict.values():
            for artifact in artifacts:
                os.makedirs(artifact.uri, exist_ok=True)
                artifact.set_int_custom_property("whole", 3)
                artifact.set_string_custom_property("own", os.path.join(artifact.uri, "file"))
                artifact.set_json_value_custom_property("many", [artifact.uri, 1.5])
                artifact.set_json_value_custom_property("nothing", None)
                for model in input_dict.get("model", []):
                    artifact.set_string_custom_property("current_model", model.uri)
                    artifact.set_int_custom_property("current_model_id", model.id)


def _described(artifact):
    properties = {**artifact.mlmd_artifact.properties, **artifact.mlmd_artifact.custom_properties}
    return {
        "type": type(artifact).__name__,
        "uri": artifact.uri,
        "properties": {key: _plain(artifact, key) for key in properties},
    }


def _plain(artifact, key):
    if key in artifact.mlmd_artifact.custom_properties:
        return artifact.get_json_value_custom_property(key)
    return getattr(artifact, key)


@component
def Measure(blessing: OutputArtifact[standard_artifacts.ModelBlessing], good: Parameter[int] = 1):
    """Blesses or not, as it is told."""
    blessing.set_int_custom_property("blessed", good)


@component
def Push(blessing: InputArtifact[standard_artifacts.ModelBlessing], pushed: OutputArtifact[standard_artifacts.String]):
    """Says for which blessing it ran."""
    pushed.set_string_custom_property("for", blessing.uri)
