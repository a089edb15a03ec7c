"""Algorithms that leave each silo with a model of its own, one a module, around another algorithm."""

from __future__ import annotations

from tff_runtime import job as job_lib
from tff_runtime.learning import local_algorithm
from tff_runtime.learning.personalization import ditto, local_layers, mean_regularized
from tff_runtime.settings import personalizations as settings


def build(inner: local_algorithm.LocalAlgorithm, job: job_lib.TrainingJob) -> local_algorithm.LocalAlgorithm:
    """Returns the job's algorithm with its personalization; fine-tuning comes after the last round instead."""
    setting = job.personalization
    if isinstance(setting, settings.Ditto):
        return ditto.Ditto(inner, setting)
    if isinstance(setting, settings.LocalLayers):
        return local_layers.LocalLayers(inner, setting)
    if isinstance(setting, settings.MeanRegularized):
        return mean_regularized.MeanRegularized(inner, setting)
    return inner
