"""The FederatedTrainer component."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.orchestration import data_types
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tff_runtime import job as job_lib
from tff_runtime import silo_weights
from tfx_federated import artifacts
from tfx_federated.federated_trainer import executor, parameters


class FederatedTrainerSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `FederatedTrainer`."""

    PARAMETERS = {
        "module_file": ExecutionParameter(type=str),
        "module_digest": ExecutionParameter(type=str, optional=True),
        "label_key": ExecutionParameter(type=str),
        "train_split": ExecutionParameter(type=str),
        "evaluation_split": ExecutionParameter(type=str, optional=True),
        "rounds": ExecutionParameter(type=int),
        "local_epochs": ExecutionParameter(type=int),
        "batch_size": ExecutionParameter(type=int),
        "client_learning_rate": ExecutionParameter(type=float),
        "silo_weighting": ExecutionParameter(type=str),
        "maximum_silo_share": ExecutionParameter(type=float),
        "server_optimizer": ExecutionParameter(type=str),
        "server_learning_rate": ExecutionParameter(type=float),
        "server_momentum": ExecutionParameter(type=float),
        "evaluation_interval": ExecutionParameter(type=int),
        "checkpoint_interval": ExecutionParameter(type=int),
        "local_models": ExecutionParameter(type=int),
        "device_model": ExecutionParameter(type=int),
        "seed": ExecutionParameter(type=int),
        "custom_config": ExecutionParameter(type=str),
        "excluded_silos": ExecutionParameter(type=str),
        **{name: ExecutionParameter(type=str) for name in job_lib.CHOICES},
        "tff_python": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        "silo_examples": ChannelParameter(type=artifacts.SiloExamples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph, optional=True),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
        "base_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "federated_run": ChannelParameter(type=artifacts.FederatedRun),
        "silo_models": ChannelParameter(type=artifacts.SiloModels, optional=True),
    }


class FederatedTrainer(base_component.BaseComponent):
    """Trains one model over silos with TensorFlow Federated: FedAvg, or what its settings choose instead.

    The module file defines `model_fn(arguments)`, which takes `tff_runtime.model.ModelArguments` and returns a
    `tff_runtime.model.FederatedModel`: an uncompiled Keras model, its loss and its metrics. It runs in the TFF
    interpreter, where TFX does not exist: imports of TFX and Transform belong inside `preprocessing_fn`.

    ## Example
    ```
    trainer = FederatedTrainer(
        silo_examples=partitioner.outputs["silo_examples"],
        transform_graph=transform.outputs["transform_graph"],
        module_file="flights_module.py",
        label_key="delayed",
        rounds=20,
        algorithm=algorithms.FedProx(strength=0.1),
        personalization=personalizations.Ditto(strength=0.1),
    )
    ```

    `algorithms`, `aggregations`, `privacy`, `personalizations`, `cohorts`, `schedules`, `stopping`, `executions` and
    `ledgers` are the modules of `tff_runtime.settings`.

    Component `outputs` contains:

    - `model`: Channel of type `standard_artifacts.Model`. Its SavedModel's `serving_default` takes a batch of
      serialized raw tf.Examples; the Transform graph is inside.
    - `federated_run`: Channel of type `tfx_federated.FederatedRun`: metrics of each round and silo.
    - `silo_models`: Channel of type `tfx_federated.SiloModels`, there with a `personalization` or `local_models`: the
      personalised model of each silo, else the one that it trained alone by the same steps, behind the same signature;
      each row is answered by its silo's.
    """

    SPEC_CLASS = FederatedTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        silo_examples: types.BaseChannel,
        module_file: str,
        label_key: str,
        transform_graph: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
        base_model: types.BaseChannel | None = None,
        train_split: str = "train",
        evaluation_split: str | None = "eval",
        rounds: int | data_types.RuntimeParameter = 10,
        local_epochs: int | data_types.RuntimeParameter = 1,
        batch_size: int | data_types.RuntimeParameter = 32,
        client_learning_rate: float | data_types.RuntimeParameter = 0.1,
        silo_weighting: str | data_types.RuntimeParameter = silo_weights.EXAMPLES,
        maximum_silo_share: float | data_types.RuntimeParameter = 1.0,
        server_optimizer: str | data_types.RuntimeParameter = "sgd",
        server_learning_rate: float | data_types.RuntimeParameter = 1.0,
        server_momentum: float | data_types.RuntimeParameter = 0.0,
        evaluation_interval: int | data_types.RuntimeParameter = 5,
        checkpoint_interval: int | data_types.RuntimeParameter = 1,
        local_models: bool = False,
        device_model: bool = False,
        seed: int | data_types.RuntimeParameter = 0,
        custom_config: Mapping[str, Any] | None = None,
        excluded_silos: Sequence[str] | data_types.RuntimeParameter = (),
        algorithm: Any = job_lib.CHOICES["algorithm"][1],
        aggregation: Any = job_lib.CHOICES["aggregation"][1],
        privacy: Any = job_lib.CHOICES["privacy"][1],
        personalization: Any = job_lib.CHOICES["personalization"][1],
        cohort: Any = job_lib.CHOICES["cohort"][1],
        client_schedule: Any = job_lib.CHOICES["client_schedule"][1],
        server_schedule: Any = job_lib.CHOICES["server_schedule"][1],
        stopping: Any = job_lib.CHOICES["stopping"][1],
        execution: Any = job_lib.CHOICES["execution"][1],
        ledger: Any = job_lib.CHOICES["ledger"][1],
        tff_python: str | None = None,
    ) -> None:
        """Constructs a FederatedTrainer.

        Args:
            silo_examples: Channel of type `tfx_federated.SiloExamples`, from a SiloPartitioner.
            module_file: Path of the Python file with `model_fn`.
            label_key: Name of the numeric feature to predict.
            transform_graph: Channel of type `standard_artifacts.TransformGraph`: the silo examples were transformed by
                it, and the model will carry it.
            schema: Channel of type `standard_artifacts.Schema`, instead of `transform_graph` for raw silo examples.
            base_model: Channel of type `standard_artifacts.Model`: a model of a FederatedTrainer of the same layers, to
                start from its weights.
            train_split: Split to train on.
            evaluation_split: Split to measure every silo on beside `train_split`; None or empty for no other.
            rounds: Number of rounds, at least 0; with 0 the silos only fine-tune `base_model`, or alone what training
                would start from.
            local_epochs: Passes of a silo over its rows in a round, at least 1.
            batch_size: Rows in a batch of a silo's training, at least 1.
            client_learning_rate: Learning rate of the silos' SGD, positive.
            silo_weighting: How much a silo's update counts: `examples` (its rows), `uniform` (every silo the same) or
                `square_root` (of its rows).
            maximum_silo_share: Largest share of the weight that one silo may have, at most 1 for no bound; at least 1
                divided by the number of silos.
            server_optimizer: `sgd`, `adagrad`, `adam` or `yogi`, applied to the mean update (FedOpt). `sgd` with rate 1
                is plain federated averaging.
            server_learning_rate: Learning rate of the server optimizer, positive.
            server_momentum: Momentum of the server's `sgd`, at least 0 and below 1.
            evaluation_interval: Every silo is measured after each so many rounds, and after the last one.
            checkpoint_interval: What a repeated run goes on from is saved after each so many rounds.
            local_models: Whether every silo also trains alone, by the same steps from the same initial weights; with
                `BestRound` it keeps the round that is best on its own rows.
            device_model: Whether the model is also written as a LiteRT (TensorFlow Lite) file, checked for equal
                predictions; its inputs are the features as they are trained on.
            seed: Seed of the initial weights and of the order of rows; same inputs and seed, same weights.
            custom_config: JSON values for the module's `model_fn`.
            excluded_silos: Silos of the silo examples that take no part, such as those that a person took out after a
                ContributionReport; a RuntimeParameter holds a JSON list.
            algorithm: What the silos minimise and how: one of `settings.algorithms`, or its JSON text, such as
                `{"type": "FedProx", "strength": 0.1}`, which the Kubeflow UI takes too.
            aggregation: How the updates become one: one of `settings.aggregations`, or its JSON text.
            privacy: Who is protected by differential privacy: one of `settings.privacy`, or its JSON text.
            personalization: What a silo keeps for itself: one of `settings.personalizations`, or its JSON text.
            cohort: Which silos take part in a round: one of `settings.cohorts`, or its JSON text.
            client_schedule: How the client learning rate changes from round to round: one of `settings.schedules`, or
                its JSON text.
            server_schedule: The same for the server learning rate.
            stopping: When training ends and which round's model is kept: one of `settings.stopping`, or its JSON text.
            execution: Where the silos' training runs: one of `settings.executions`, or its JSON text.
            ledger: What is kept of each silo's update: one of `settings.ledgers`, or its JSON text.
            tff_python: Path of the TFF interpreter; see `tfx_federated.tff_process.find_tff_python`.

        Raises:
            ValueError: A parameter is out of its range, parameters contradict each other, or neither or both of
                `transform_graph` and `schema` are given.
        """
        if (transform_graph is None) == (schema is None):
            raise ValueError(
                "FederatedTrainer needs either transform_graph (the silo examples are transformed) or schema "
                "(they are raw)"
            )
        settings = {
            "rounds": rounds,
            "local_epochs": local_epochs,
            "batch_size": batch_size,
            "client_learning_rate": client_learning_rate,
            "silo_weighting": silo_weighting,
            "maximum_silo_share": maximum_silo_share,
            "server_optimizer": server_optimizer,
            "server_learning_rate": server_learning_rate,
            "server_momentum": server_momentum,
            "evaluation_interval": evaluation_interval,
            "checkpoint_interval": checkpoint_interval,
            "seed": seed,
        }
        choices = {
            "algorithm": algorithm,
            "aggregation": aggregation,
            "privacy": privacy,
            "personalization": personalization,
            "cohort": cohort,
            "client_schedule": client_schedule,
            "server_schedule": server_schedule,
            "stopping": stopping,
            "execution": execution,
            "ledger": ledger,
        }
        splits = {"train_split": train_split, "evaluation_split": evaluation_split, "local_models": int(local_models)}
        settings |= {name: parameters.encoded(choice, name) for name, choice in choices.items()}
        parameters.check(
            {
                key: value
                for key, value in (settings | splits).items()
                if not isinstance(value, data_types.RuntimeParameter)
            }
        )
        with_silo_models = local_models or parameters.is_personalized(settings["personalization"])
        super().__init__(
            spec=FederatedTrainerSpec(
                silo_examples=silo_examples,
                transform_graph=transform_graph,
                schema=schema,
                base_model=base_model,
                device_model=int(device_model),
                module_file=module_file,
                module_digest=_digest(module_file),
                label_key=label_key,
                custom_config=json.dumps(custom_config or {}, sort_keys=True),
                excluded_silos=_encoded_silos(excluded_silos),
                tff_python=tff_python,
                model=types.Channel(type=standard_artifacts.Model),
                federated_run=types.Channel(type=artifacts.FederatedRun),
                silo_models=types.Channel(type=artifacts.SiloModels) if with_silo_models else None,
                **settings,
                **splits,
            )
        )


def _digest(module_file: str) -> str | None:
    """Returns a digest of the module, so that a changed file is not served from TFX's cache."""
    if not fileio.exists(module_file):
        return None
    with fileio.open(module_file, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _encoded_silos(silos: Sequence[str] | data_types.RuntimeParameter) -> str | data_types.RuntimeParameter:
    if isinstance(silos, data_types.RuntimeParameter):
        return silos
    if isinstance(silos, str):
        raise ValueError(f"FederatedTrainer: excluded_silos is {silos!r}; it must be a list of silos")
    return json.dumps(list(silos))
