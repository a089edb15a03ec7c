"""The artifact types that the components exchange beside TFX's standard ones.

Kubeflow Pipelines finds a custom type by importing its name, so each class is also an attribute of `tfx_federated`. The
types declare no `PROPERTIES`: the Kubeflow compiler knows custom properties only.
"""

from tfx.types import artifact


class SiloExamples(artifact.Artifact):
    """Examples grouped by silo: shards sorted by silo, and an index of where each silo's rows lie.

    The layout is described in `tfx_federated.silo_examples`.
    """

    TYPE_NAME = "tfx_federated.SiloExamples"


class SiloModels(artifact.Artifact):
    """One model per silo: the weights of all silos stacked, and a SavedModel that routes each row to its silo's."""

    TYPE_NAME = "tfx_federated.SiloModels"


class FederatedRun(artifact.Artifact):
    """The record of a training: settings, per-round and per-silo metrics, silo weights, TensorBoard summaries."""

    TYPE_NAME = "tfx_federated.FederatedRun"


class FairnessReport(artifact.Artifact):
    """The judgement of a model silo by silo: `report.html` for people, `report.json` for programs."""

    TYPE_NAME = "tfx_federated.FairnessReport"


class ContributionReport(artifact.Artifact):
    """What each silo gave and got, and who rides free: `report.html` for people, `report.json` for programs."""

    TYPE_NAME = "tfx_federated.ContributionReport"
