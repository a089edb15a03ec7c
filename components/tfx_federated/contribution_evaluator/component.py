"""TFX ContributionEvaluator component definition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import data_types
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tff_runtime.settings import encoding
from tfx_federated import artifacts
from tfx_federated.contribution_evaluator import executor, methods, utilities
from tfx_federated.contribution_evaluator import rules as rules_lib

SILO_EXAMPLES_KEY = executor.SILO_EXAMPLES_KEY
FEDERATED_RUN_KEY = executor.FEDERATED_RUN_KEY
MODEL_KEY = executor.MODEL_KEY
LOCAL_MODELS_KEY = executor.LOCAL_MODELS_KEY
SILO_MODELS_KEY = executor.SILO_MODELS_KEY
REPORT_KEY = executor.REPORT_KEY
BLESSING_KEY = executor.BLESSING_KEY


class ContributionEvaluatorSpec(ComponentSpec):
    """ContributionEvaluator component spec."""

    PARAMETERS = {
        "split": ExecutionParameter(type=str),
        "utility": ExecutionParameter(type=str),
        "method": ExecutionParameter(type=str),
        "rules": ExecutionParameter(type=str),
        "minimum_rows": ExecutionParameter(type=int),
        "minimum_class_rows": ExecutionParameter(type=int),
        "confidence": ExecutionParameter(type=float),
        "false_discovery_rate": ExecutionParameter(type=float),
        "seed": ExecutionParameter(type=int),
        "module_file": ExecutionParameter(type=str, optional=True),
        "tff_python": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        SILO_EXAMPLES_KEY: ChannelParameter(type=artifacts.SiloExamples),
        FEDERATED_RUN_KEY: ChannelParameter(type=artifacts.FederatedRun),
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        LOCAL_MODELS_KEY: ChannelParameter(type=artifacts.SiloModels, optional=True),
        SILO_MODELS_KEY: ChannelParameter(type=artifacts.SiloModels, optional=True),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph, optional=True),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
        "base_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        REPORT_KEY: ChannelParameter(type=artifacts.ContributionReport),
        BLESSING_KEY: ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class ContributionEvaluator(base_component.BaseComponent):
    """A TFX component that tells what each silo gave to a federated training, what it got, and who rides free.

    Silos that give most fear free riders; silos with few rows fear that they do not count. This component shares out
    what the training gained among the silos, compares the model with the silos' own on their held-out rows, and looks
    for updates that no honest silo of that size sends. It never leaves a silo out by itself.

    Example:
        ```
        contribution_evaluator = ContributionEvaluator(
            silo_examples=silo_partitioner.outputs["silo_examples"],
            federated_run=federated_trainer.outputs["federated_run"],
            model=federated_trainer.outputs["model"],
            local_models=federated_trainer.outputs["silo_models"],
            rules=[rules.NoFindings()],
        )
        ```

    Component `outputs` contains:
     - `report`: Channel of type `tfx_federated.ContributionReport`: `report.html`, `report.json` and `silos.parquet`.
     - `blessing`: Channel of type `standard_artifacts.ModelBlessing`, as Pusher and LatestBlessedModelStrategy read it.
    """

    SPEC_CLASS = ContributionEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        silo_examples: types.BaseChannel,
        federated_run: types.BaseChannel,
        model: types.BaseChannel,
        local_models: types.BaseChannel | None = None,
        silo_models: types.BaseChannel | None = None,
        split: str = "eval",
        utility: Any = utilities.DEFAULT,
        method: Any = methods.DEFAULT,
        rules: Sequence[rules_lib.Rule] = (),
        minimum_rows: int = 50,
        minimum_class_rows: int = 10,
        confidence: float = 0.95,
        false_discovery_rate: float = 0.05,
        seed: int = 0,
        module_file: str | data_types.RuntimeParameter | None = None,
        transform_graph: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
        base_model: types.BaseChannel | None = None,
        tff_python: str | data_types.RuntimeParameter | None = None,
    ) -> None:
        """Constructs a ContributionEvaluator component.

        Args:
            silo_examples: The SiloExamples that FederatedTrainer was given.
            federated_run: Its FederatedRun. With `ledger=DetailedLedger()` it holds the silos' updates, which most
                methods need.
            model: Its Model, which the blessing is about.
            local_models: SiloModels of silos that trained alone: a trainer's `silo_models` with `local_models=True`.
            silo_models: The silos' personalised models: a trainer's `silo_models` with a `personalization`.
            split: Split of the silo examples that no model was trained on.
            utility: What a coalition of silos is worth, one of `utilities`, or its JSON text.
            method: How contributions are measured, one of `methods`, or its JSON text.
            rules: What must hold for the model to be blessed, of `rules`.
            minimum_rows: Held-out rows below which nothing is claimed about a silo's benefit, at least 1.
            minimum_class_rows: The same of each class for AUC, at least 2.
            confidence: Of intervals, two-sided, between 0 and 1.
            false_discovery_rate: Among the silos that are called hurt or helped, and among those that the detectors
                find; between 0 and 1.
            seed: Of the sampling of coalitions, at least 0.
            module_file: The trainer's module file. It is needed, with `transform_graph` or `schema`, by the methods
                that train coalitions of silos again, `Retraining` and `LeaveGroupOut`.
            transform_graph: The trainer's.
            schema: The trainer's.
            base_model: The trainer's, if it had one.
            tff_python: The TFF interpreter for these trainings; see FederatedTrainer.

        Raises:
            ValueError: A parameter is out of its range, or a method lacks what it needs.
        """
        _require_ranges(minimum_rows, minimum_class_rows, confidence, false_discovery_rate, seed)
        encoded_method = _encoded(method, methods.ALTERNATIVES, "method")
        if not isinstance(method, data_types.RuntimeParameter):
            _require_trainer_inputs(encoded_method, module_file, transform_graph or schema)
        spec = ContributionEvaluatorSpec(
            silo_examples=silo_examples,
            federated_run=federated_run,
            model=model,
            local_models=local_models,
            silo_models=silo_models,
            transform_graph=transform_graph,
            schema=schema,
            base_model=base_model,
            split=split,
            utility=_encoded(utility, utilities.ALTERNATIVES, "utility"),
            method=encoded_method,
            rules=rules_lib.encode(rules),
            minimum_rows=minimum_rows,
            minimum_class_rows=minimum_class_rows,
            confidence=float(confidence),
            false_discovery_rate=float(false_discovery_rate),
            seed=seed,
            module_file=module_file,
            tff_python=tff_python,
            report=types.Channel(type=artifacts.ContributionReport),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        )
        super().__init__(spec=spec)


def _require_ranges(
    minimum_rows: int, minimum_class_rows: int, confidence: float, false_discovery_rate: float, seed: int
) -> None:
    for name, number, least in (
        ("minimum_rows", minimum_rows, 1),
        ("minimum_class_rows", minimum_class_rows, 2),
        ("seed", seed, 0),
    ):
        if number < least:
            raise ValueError(f"ContributionEvaluator: {name} is {number}; it must be at least {least}")
    for name, share in (("confidence", confidence), ("false_discovery_rate", false_discovery_rate)):
        if not 0 < share < 1:
            raise ValueError(f"ContributionEvaluator: {name} is {share}; it must be between 0 and 1")


def _encoded(setting: Any, alternatives: Sequence[type], name: str) -> Any:
    if isinstance(setting, data_types.RuntimeParameter):
        return setting
    if not isinstance(setting, (str, *alternatives)):
        names = ", ".join(alternative.__name__ for alternative in alternatives)
        raise ValueError(
            f"ContributionEvaluator: {name} is {setting!r}; it must be one of {names}, or the JSON text of one"
        )
    decoded = encoding.decode(setting, alternatives, name) if isinstance(setting, str) else setting
    return json.dumps(encoding.encode(decoded), sort_keys=True)


def _require_trainer_inputs(encoded_method: str, module_file: Any, specs: types.BaseChannel | None) -> None:
    method = encoding.decode(encoded_method, methods.ALTERNATIVES, "method")
    asked = [method.preferred, method.otherwise] if isinstance(method, methods.Fallback) else [method]
    training = [type(one).__name__ for one in asked if isinstance(one, (methods.Retraining, methods.LeaveGroupOut))]
    if training and not (module_file and specs):
        raise ValueError(
            f"ContributionEvaluator: method {training[0]} trains silos again; give module_file, and transform_graph or "
            "schema, as FederatedTrainer has them"
        )
