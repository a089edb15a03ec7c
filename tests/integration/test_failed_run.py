"""A component that fails is a failed execution in the metadata store, and leaves no output behind."""

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common import importer
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.types import standard_artifacts

from tests.tfx_federated.federated_trainer import training_case as case
from tfx_federated import SiloPartitioner, beam_options


def test_a_silo_key_that_no_row_has_fails_the_execution_and_names_the_features(tmp_path):
    case.examples_artifact(tmp_path / "examples", {"train": case.rows({"a": 2}, 0)})
    examples = importer.Importer(
        source_uri=str(tmp_path / "examples"),
        artifact_type=standard_artifacts.Examples,
        properties={"split_names": '["train"]'},
        custom_properties={"payload_format": "FORMAT_TF_EXAMPLE"},
    ).with_id("Examples")
    partitioner = SiloPartitioner(examples=examples.outputs["result"], silo_key="airline")
    config = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    with pytest.raises(Exception, match=r"airline.*company"):
        local_dag_runner.LocalDagRunner().run(
            pipeline.Pipeline(
                "failing",
                str(tmp_path / "artifacts"),
                components=[examples, partitioner],
                metadata_connection_config=config,
                beam_pipeline_args=list(beam_options.direct()),
            )
        )
    store = ml_metadata.MetadataStore(config)
    (execution,) = store.get_executions_by_type("tfx_federated.silo_partitioner.component.SiloPartitioner")
    assert execution.last_known_state == metadata_store_pb2.Execution.FAILED
    assert not [
        artifact
        for artifact in store.get_artifacts()
        if artifact.type == "tfx_federated.SiloExamples" and artifact.state == metadata_store_pb2.Artifact.LIVE
    ]
