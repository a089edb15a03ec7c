"""The flights pipeline: one definition for every runner."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import text_format
from ml_metadata.proto import metadata_store_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.transform.component import Transform
from tfx.orchestration import data_types, pipeline
from tfx.proto import example_gen_pb2, pusher_pb2

from pipelines.flights import data
from tff_runtime.settings import ledgers
from tfx_federated import (
    BeamBatchInferrer,
    ContributionEvaluator,
    FairnessEvaluator,
    FederatedTrainer,
    SiloPartitioner,
    beam_options,
)
from tfx_federated.contribution_evaluator import rules as contribution_rules
from tfx_federated.fairness_evaluator import rules

PIPELINE_NAME = "flights"

ROUNDS = 20
BATCH_SIZE = 64
CLIENT_LEARNING_RATE = 0.1

MINIMUM_OVERALL_AUC = 0.65
# A model worse than the toss of a coin for an airline must not be used for it. The smallest airlines have ten late
# flights to test on, and so a standard error of about 0.1.
MINIMUM_WORST_SILO_AUC = 0.4
MINIMUM_ROWS = 50

# The confusion matrices are the ROC curve that the Kubeflow UI draws.
THRESHOLDS = [threshold / 20 for threshold in range(1, 20)]
EVAL_CONFIG = f"""
  model_specs {{ label_key: "{data.LABEL_KEY}" }}
  metrics_specs {{
    metrics {{ class_name: "AUC" }}
    metrics {{ class_name: "ConfusionMatrixAtThresholds" config: '"thresholds": {THRESHOLDS}' }}
  }}
"""


def create_pipeline(
    pipeline_root: str,
    data_root: str | data_types.RuntimeParameter,
    module_file: str,
    serving_directory: str,
    pipeline_name: str = PIPELINE_NAME,
    rounds: int | data_types.RuntimeParameter = ROUNDS,
    minimum_overall_auc: float = MINIMUM_OVERALL_AUC,
    minimum_worst_silo_auc: float = MINIMUM_WORST_SILO_AUC,
    metadata_connection_config: metadata_store_pb2.ConnectionConfig | None = None,
    beam_pipeline_args: Sequence[str] = beam_options.direct(),
) -> pipeline.Pipeline:
    """Defines the way from CSV files to a blessed model and its predictions.

    Args:
        pipeline_root: Where the artifacts go.
        data_root: A folder that `pipelines.flights.data.prepare` wrote.
        module_file: Path of `flights_module.py`.
        serving_directory: Where Pusher puts a blessed model.
        pipeline_name: Name of the pipeline; on Kubeflow Pipelines `[a-z0-9][a-z0-9-]*`.
        rounds: Rounds of federated averaging, at least 1.
        minimum_overall_auc: A model below it over all rows is not blessed.
        minimum_worst_silo_auc: A model below it on any silo with enough rows is not blessed.
        metadata_connection_config: The metadata store; None where the orchestrator has its own.
        beam_pipeline_args: Options of the Beam runner.

    Returns:
        The pipeline, for LocalDagRunner and KubeflowV2DagRunner alike.
    """
    splits = [example_gen_pb2.Input.Split(name=split, pattern=f"{split}/*.csv") for split in data.SPLITS]
    example_gen = CsvExampleGen(input_base=data_root, input_config=example_gen_pb2.Input(splits=splits))
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    # Without shapes, so that a flight may lack any value, at serving as in training.
    schema_gen = SchemaGen(statistics=statistics_gen.outputs["statistics"], infer_feature_shape=False)
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        module_file=module_file,
        disable_statistics=True,
    )
    silo_partitioner = SiloPartitioner(
        examples=transform.outputs["transformed_examples"], silo_key=data.SILO_KEY, shards=1
    )
    federated_trainer = FederatedTrainer(
        silo_examples=silo_partitioner.outputs["silo_examples"],
        transform_graph=transform.outputs["transform_graph"],
        module_file=module_file,
        label_key=data.LABEL_KEY,
        rounds=rounds,
        batch_size=BATCH_SIZE,
        client_learning_rate=CLIENT_LEARNING_RATE,
        local_models=True,
        ledger=ledgers.DetailedLedger(),
    )
    contribution_evaluator = ContributionEvaluator(
        silo_examples=silo_partitioner.outputs["silo_examples"],
        federated_run=federated_trainer.outputs["federated_run"],
        model=federated_trainer.outputs["model"],
        local_models=federated_trainer.outputs["silo_models"],
        rules=[contribution_rules.NoFindings()],
    )
    fairness_evaluator = FairnessEvaluator(
        examples=example_gen.outputs["examples"],
        model=federated_trainer.outputs["model"],
        local_models=federated_trainer.outputs["silo_models"],
        silo_key=data.SILO_KEY,
        eval_config=text_format.Parse(EVAL_CONFIG, config_pb2.EvalConfig()),
        rules=[rules.Overall(minimum_overall_auc), rules.WorstSilo(minimum_worst_silo_auc)],
        minimum_rows=MINIMUM_ROWS,
    )
    beam_batch_inferrer = BeamBatchInferrer(
        model=federated_trainer.outputs["model"],
        model_blessing=fairness_evaluator.outputs["blessing"],
        examples=example_gen.outputs["examples"],
        silo_key=data.SILO_KEY,
        splits=["eval"],
    )
    pusher = Pusher(
        model=federated_trainer.outputs["model"],
        model_blessing=fairness_evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=serving_directory)
        ),
    )
    return pipeline.Pipeline(
        pipeline_name=pipeline_name,
        pipeline_root=pipeline_root,
        components=[
            example_gen,
            statistics_gen,
            schema_gen,
            example_validator,
            transform,
            silo_partitioner,
            federated_trainer,
            contribution_evaluator,
            fairness_evaluator,
            beam_batch_inferrer,
            pusher,
        ],
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(beam_pipeline_args),
    )
