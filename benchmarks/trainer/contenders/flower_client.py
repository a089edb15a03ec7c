"""The Flower client: node number k trains silo k. A module of its own, which Ray's actors import once."""

from __future__ import annotations

import functools
import pathlib

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from benchmarks.trainer import contract
from benchmarks.trainer.contenders import numpy_training

app = ClientApp()


@app.train()
def train_silo(message: Message, context: Context) -> Message:
    """Trains a silo for one round.

    Args:
        message: The global weights as `arrays`; the folder of the workload and the round as `config`.
        context: Says which node this is.

    Returns:
        The silo's weights, to be weighted by its rows.
    """
    config = message.content["config"]
    workload = _workload(config["workload"])
    rows = workload.order[config["server-round"] - 1, workload.parts[context.node_config["partition-id"]]]
    weights = message.content["arrays"].to_numpy_ndarrays()
    trained = numpy_training.train_silo(weights, workload.features[rows], workload.labels[rows], workload)
    content = {"arrays": ArrayRecord(trained), "metrics": MetricRecord({"num-examples": len(rows)})}
    return Message(RecordDict(content), reply_to=message)


@functools.cache
def _workload(folder: str) -> contract.Workload:
    return contract.Workload.read(pathlib.Path(folder))
