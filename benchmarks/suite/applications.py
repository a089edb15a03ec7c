"""What is done with a trained model: the FairnessEvaluator and the BeamBatchInferrer, their own executors, timed."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping, Sequence

import apache_beam as beam
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from benchmarks.data import tables
from benchmarks.suite import silo_files
from tfx_federated import BeamBatchInferrer, FairnessEvaluator, beam_options
from tfx_federated.beam_batch_inferrer import executor as inferrer_executor
from tfx_federated.fairness_evaluator import executor as evaluator_executor

_SPLIT = "eval"
_CONFIG = f'model_specs {{ label_key: "{silo_files.LABEL_KEY}" }} metrics_specs {{ metrics {{ class_name: "AUC" }} }}'


def seconds(model_uri: str, silos: Sequence[tables.SiloRows], folder: pathlib.Path) -> dict[str, float]:
    """Returns the seconds of an evaluation silo by silo and of a batch inference, `evaluation` and `inference`.

    The first call of a process also loads what a model needs.

    Args:
        model_uri: URI of a Model of the suite's trainings.
        silos: The rows to evaluate and score.
        folder: A folder that is not there yet; takes the rows, and the artifacts of each component by its name.
    """
    model = standard_artifacts.Model()
    model.uri = model_uri
    inputs = {"examples": [_write_examples(folder / "examples", silos)], "model": [model]}
    channels = {name: types.Channel(type=type(artifacts[0])) for name, artifacts in inputs.items()}
    evaluator = FairnessEvaluator(
        **channels, silo_key=silo_files.SILO_KEY, eval_config=text_format.Parse(_CONFIG, config_pb2.EvalConfig())
    )
    inferrer = BeamBatchInferrer(**channels, silo_key=silo_files.SILO_KEY, layout="sorted_shards")
    return {
        "evaluation": _timed(evaluator, evaluator_executor.Executor, inputs, folder / evaluator.id),
        "inference": _timed(inferrer, inferrer_executor.Executor, inputs, folder / inferrer.id),
    }


def _timed(
    component: base_beam_component.BaseBeamComponent,
    executor: type[base_beam_executor.BaseBeamExecutor],
    inputs: Mapping[str, Sequence[types.Artifact]],
    folder: pathlib.Path,
) -> float:
    outputs = {}
    for name, channel in component.outputs.items():
        outputs[name] = [channel.type()]
        outputs[name][0].uri = str(folder / name)
    context = base_beam_executor.BaseBeamExecutor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=list(beam_options.direct())),
        tmp_dir=str(folder),
        unique_id="1",
    )
    properties = {name: value for name, value in component.exec_properties.items() if value is not None}
    start = time.monotonic()
    executor(context).Do({name: list(given) for name, given in inputs.items()}, outputs, properties)
    return time.monotonic() - start


def _write_examples(folder: pathlib.Path, silos: Sequence[tables.SiloRows]) -> types.Artifact:
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = artifact_utils.encode_split_names([_SPLIT])
    examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    (folder / f"Split-{_SPLIT}").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / f"Split-{_SPLIT}" / "rows.gz"), "GZIP") as writer:
        for silo in silos:
            for record in silo_files.serialized(silo):
                writer.write(record)
    return artifact
