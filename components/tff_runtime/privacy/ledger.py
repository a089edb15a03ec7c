"""The ledger of a run's privacy losses: written before the noise is drawn, never rewritten, read again after a crash.

A JSON-lines file. One line says how a round of each silo works, and is written when that is new:

    {"mechanisms": [[sampling probability, steps, noise multiplier], ...], "silos": {"a": 0, "b": 0, "c": 1}}

Each round adds a line with the silos that take part, or with all others if these are fewer:

    {"round": 1, "all_but": []}
    {"round": 2, "only": ["a", "c"]}

A round that is killed and run again has two lines and costs twice: both its noises may have been seen.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tff_runtime.privacy import accounting, budgets


class PrivacyLedger:
    """What each silo has spent, and whether it can go on."""

    def __init__(self, path: pathlib.Path, silo_budgets: Mapping[str, budgets.SiloBudget]) -> None:
        """Opens the ledger, a local file, or begins it.

        Args:
            path: The file. It must outlive the process: after a crash the same file has to be found again.
            silo_budgets: The budgets of all silos.

        Raises:
            ValueError: The file is damaged; the message names the line.
        """
        self._path = path
        self._budgets = dict(silo_budgets)
        self._sections = _read(path)
        section = _Section.of({silo: budget.mechanism for silo, budget in self._budgets.items()})
        if not self._sections or self._sections[-1].mechanisms != section.mechanisms:
            self._append(section.to_json())
            self._sections.append(section)

    def charge(self, round_number: int, silos: Collection[str]) -> list[str]:
        """Charges a round to those silos that can afford it; they are on the disk when this returns.

        To be called before the round's randomness is drawn, each time that the round is run.

        Args:
            round_number: The first is 1.
            silos: The silos that are to take part.

        Returns:
            The silos that may take part. The others would exceed their epsilon. Where there is none, nothing is
            charged, and the run is at its end.
        """
        charged = [silo for silo in silos if self.can_afford_a_round(silo)]
        if charged:
            entry = self._sections[-1].round_entry(round_number, charged)
            self._append(entry)
            self._sections[-1].add(entry)
        return charged

    def can_afford_a_round(self, silo: str) -> bool:
        """Returns whether one more round keeps a silo within its epsilon."""
        budget = self._budgets[silo]
        rounds = self._rounds(silo)
        rounds[budget.mechanism] = rounds.get(budget.mechanism, 0) + 1
        # For these the noise was calibrated; the accountant need not be asked again.
        if len(rounds) == 1 and rounds[budget.mechanism] <= budget.rounds:
            return True
        return accounting.epsilon_of_rounds(rounds, budget.epsilon, budget.delta) <= budget.epsilon

    def spent(self, silo: str) -> float:
        """Returns the epsilon that a silo has spent, at its delta."""
        budget = self._budgets[silo]
        return accounting.epsilon_of_rounds(self._rounds(silo), budget.epsilon, budget.delta)

    def result(self) -> dict[str, Any]:
        """Returns what was spent, as JSON values: of the run, which is the most of any silo, and of each silo."""
        silos = {silo: self._result(silo) for silo in self._budgets}
        return {
            "unit": next(iter(self._budgets.values())).unit,
            "epsilon": max(silo["epsilon"] for silo in silos.values()),
            "delta": max(silo["delta"] for silo in silos.values()),
            "silos": silos,
        }

    def _result(self, silo: str) -> dict[str, Any]:
        budget = self._budgets[silo]
        rounds = self._rounds(silo)
        return {
            "epsilon": self.spent(silo),
            "target_epsilon": budget.epsilon,
            "delta": budget.delta,
            "rounds": sum(rounds.values()),
            "steps": sum(mechanism.steps * count for mechanism, count in rounds.items()),
            "accounted_sampling_probability": budget.mechanism.sampling_probability,
            "noise_multiplier": budget.mechanism.noise_multiplier,
            "out_of_budget": not self.can_afford_a_round(silo),
        }

    def _rounds(self, silo: str) -> dict[accounting.RoundMechanism, int]:
        rounds: dict[accounting.RoundMechanism, int] = {}
        for section in self._sections:
            if count := section.rounds_of(silo):
                mechanism = section.mechanisms[silo]
                rounds[mechanism] = rounds.get(mechanism, 0) + count
        return rounds

    def _append(self, entry: Mapping[str, Any]) -> None:
        is_new = not self._path.exists()
        with self._path.open("ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_directory(self._path.parent)


@dataclasses.dataclass
class _Section:
    """Rounds of the same mechanisms."""

    mechanisms: dict[str, accounting.RoundMechanism]
    positions: dict[str, int]
    rounds: np.ndarray

    @classmethod
    def of(cls, mechanisms: dict[str, accounting.RoundMechanism]) -> _Section:
        positions = {silo: position for position, silo in enumerate(mechanisms)}
        return cls(mechanisms, positions, np.zeros(len(mechanisms), np.int64))

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> _Section:
        distinct = [accounting.RoundMechanism(*values) for values in entry["mechanisms"]]
        return cls.of({silo: distinct[number] for silo, number in entry["silos"].items()})

    def to_json(self) -> dict[str, Any]:
        distinct = {mechanism: number for number, mechanism in enumerate(dict.fromkeys(self.mechanisms.values()))}
        return {
            "mechanisms": [dataclasses.astuple(mechanism) for mechanism in distinct],
            "silos": {silo: distinct[mechanism] for silo, mechanism in self.mechanisms.items()},
        }

    def round_entry(self, round_number: int, silos: Collection[str]) -> dict[str, Any]:
        if 2 * len(silos) <= len(self.mechanisms):
            return {"round": round_number, "only": list(silos)}
        return {"round": round_number, "all_but": sorted(set(self.mechanisms) - set(silos))}

    def add(self, entry: Mapping[str, Any]) -> None:
        if "only" in entry:
            self.rounds[[self.positions[silo] for silo in entry["only"]]] += 1
        else:
            self.rounds += 1
            self.rounds[[self.positions[silo] for silo in entry["all_but"]]] -= 1

    def rounds_of(self, silo: str) -> int:
        return int(self.rounds[self.positions[silo]]) if silo in self.positions else 0


def _read(path: pathlib.Path) -> list[_Section]:
    if not path.exists():
        return []
    text = path.read_bytes()
    # A line without its end was cut off before its round drew any noise.
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(path, len(whole))
    sections: list[_Section] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            if "mechanisms" in entry:
                sections.append(_Section.from_json(entry))
            else:
                sections[-1].add(entry)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}, is damaged: {error!r}. What was spent is not known; restore the file from a "
                "backup, or count the budget of its silos as spent"
            ) from error
    return sections


def _sync_directory(directory: pathlib.Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
