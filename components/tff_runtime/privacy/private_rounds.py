"""The rounds of a training under differential privacy: who may take part, with which noise, and what it costs."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from tff_runtime import job as job_lib
from tff_runtime.learning import host_task
from tff_runtime.privacy import budgets, ledger, poisson_batches, private_gradients
from tff_runtime.settings import cohorts
from tff_runtime.settings import privacy as privacy_settings

LEDGER_FILE = "ledger.jsonl"


class PrivateRounds(abc.ABC):
    """What privacy asks of each round."""

    @abc.abstractmethod
    def admitted(self, round_number: int, numbers: Sequence[int]) -> list[int]:
        """Returns which silos of a cohort may take part, and charges them; none when the training is at its end.

        To be called each time that a round is run, before its tasks are made.
        """

    def with_noise(self, tasks: Sequence[host_task.HostTask]) -> list[host_task.HostTask]:
        """Returns the tasks with what record-level privacy needs, drawn anew."""
        return list(tasks)

    @abc.abstractmethod
    def spent(self) -> dict[str, Any] | None:
        """Returns what was spent, as JSON values; None without privacy."""

    @property
    def hides_training_metrics(self) -> bool:
        """Whether nothing may be told of the training rows but the model."""
        return True

    @property
    def hides_silos(self) -> bool:
        """Whether nothing may be told of a single silo."""
        return False


class NoPrivacy(PrivateRounds):
    """Everybody may take part, and everything may be told."""

    def admitted(self, round_number: int, numbers: Sequence[int]) -> list[int]:
        """See `PrivateRounds.admitted`."""
        return list(numbers)

    def spent(self) -> dict[str, Any] | None:
        """See `PrivateRounds.spent`."""
        return None

    @property
    def hides_training_metrics(self) -> bool:
        """See `PrivateRounds.hides_training_metrics`."""
        return False


class _Charged(PrivateRounds):
    def __init__(self, directory: job_lib.JobDirectory, silos: Sequence[str], silo_budgets: Any) -> None:
        directory.checkpoints.mkdir(parents=True, exist_ok=True)
        self._silos = silos
        self._budgets = silo_budgets
        self._ledger = ledger.PrivacyLedger(directory.checkpoints / LEDGER_FILE, silo_budgets)

    def admitted(self, round_number: int, numbers: Sequence[int]) -> list[int]:
        """See `PrivateRounds.admitted`."""
        charged: Collection[str] = set(self._ledger.charge(round_number, [self._silos[number] for number in numbers]))
        return [number for number in numbers if self._silos[number] in charged]

    def spent(self) -> dict[str, Any] | None:
        """See `PrivateRounds.spent`."""
        return self._ledger.result()

    def _noise_multiplier(self, silo: str) -> float:
        return float(self._budgets[silo].mechanism.noise_multiplier)


class RecordLevel(_Charged):
    """Poisson batches, clipped row gradients and noise inside each silo."""

    def __init__(self, directory: job_lib.JobDirectory, job: job_lib.TrainingJob) -> None:
        """Chooses the noise of each silo."""
        silos = job.silos[job.train_split]
        width = host_task.batch_width(job)
        self._clip_norm = np.asarray(job.privacy.clip_norm, np.float32)
        self._samplings = {silo.silo: poisson_batches.sampling(silo.count, width, job.local_epochs) for silo in silos}
        rounds = budgets.planned_rounds(job.cohort, job.rounds, len(silos))
        super().__init__(
            directory,
            [silo.silo for silo in silos],
            budgets.record_level(job.privacy, self._samplings, rounds),
        )

    def with_noise(self, tasks: Sequence[host_task.HostTask]) -> list[host_task.HostTask]:
        """See `PrivateRounds.with_noise`."""
        samplings = [self._samplings[task.silo.silo] for task in tasks]
        drawn = zip(
            tasks, samplings, poisson_batches.draw(samplings), private_gradients.fresh_keys(len(tasks)), strict=True
        )
        return [
            task._replace(
                order=order,
                privacy={
                    "clip_norm": self._clip_norm,
                    "noise_multiplier": np.asarray(self._noise_multiplier(task.silo.silo), np.float32),
                    "expected_batch_size": np.asarray(sampled.expected_batch_size, np.float32),
                    "keys": keys,
                },
            )
            for task, sampled, order, keys in drawn
        ]


class SiloLevel(_Charged):
    """Noise on the sum of the silos' clipped updates; the aggregator adds it."""

    def __init__(self, directory: job_lib.JobDirectory, job: job_lib.TrainingJob) -> None:
        """Chooses the noise."""
        silos = [silo.silo for silo in job.silos[job.train_split]]
        rounds = budgets.planned_rounds(job.cohort, job.rounds, len(silos))
        super().__init__(directory, silos, budgets.silo_level(job.privacy, silos, rounds))

    @property
    def noise_multiplier(self) -> float:
        """The noise of a round."""
        return self._noise_multiplier(self._silos[0])

    @property
    def hides_silos(self) -> bool:
        """See `PrivateRounds.hides_silos`."""
        return True


def build(directory: job_lib.JobDirectory, job: job_lib.TrainingJob) -> PrivateRounds:
    """Returns what the job's privacy asks of each round.

    Raises:
        JobError: The targets do not fit the silos.
    """
    try:
        match job.privacy:
            case privacy_settings.RecordLevel():
                return RecordLevel(directory, job)
            case privacy_settings.SiloLevel():
                return SiloLevel(directory, job)
            case _:
                return NoPrivacy()
    except ValueError as error:
        raise job_lib.JobError("Privacy", str(error)) from error


def cohort_size(job: job_lib.TrainingJob) -> int:
    """Returns how many silos are planned for a round."""
    return len(job.silos[job.train_split]) if isinstance(job.cohort, cohorts.AllSilos) else int(job.cohort.size)
