"""Which rows are partitioned, which are put aside and why."""

from __future__ import annotations

import collections
import hashlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms import window
from google.protobuf import message

from tfx_federated import silo_key as silo_key_lib
from tfx_federated.silo_partitioner import parameters as parameters_lib

UNPARSABLE_RECORD = "unparsable_record"
MALFORMED_SILO_KEY = "malformed_silo_key"
NON_FINITE_VALUE = "non_finite_value"
WITHOUT_SILO = "without_silo"
MALFORMED = (UNPARSABLE_RECORD, MALFORMED_SILO_KEY, NON_FINITE_VALUE)

SET_ASIDE_OUTPUT = "set_aside"
TALLY_OUTPUT = "tally"


class Judgement(NamedTuple):
    """What is to happen to a row.

    Attributes:
        reason: Why the row is put aside: one of `MALFORMED`, or `WITHOUT_SILO`; empty for a row that is partitioned.
        feature: The feature at fault, empty if it is none: of several non-finite ones the first by name.
        silo: The row's silo, empty if it has or shows none.
    """

    reason: str
    feature: str
    silo: str


def parse_example(record: bytes) -> tf.train.Example | None:
    """Returns the tf.Example of a record, None if there is none in it."""
    try:
        return tf.train.Example.FromString(record)
    except message.DecodeError:
        return None


def judge(example: tf.train.Example | None, silo_key: str) -> Judgement:
    """Judges one row; the first fault counts, in the order of `MALFORMED`, then `WITHOUT_SILO`.

    Args:
        example: The row, None for an unparsable record.
        silo_key: Name of the feature that holds the silo.
    """
    if example is None:
        return Judgement(UNPARSABLE_RECORD, "", "")
    try:
        silo = silo_key_lib.silo_of_example(example, silo_key)
    except silo_key_lib.MalformedSiloKeyError:
        return Judgement(MALFORMED_SILO_KEY, silo_key, "")
    non_finite = [name for name, feature in example.features.feature.items() if not _is_finite(feature)]
    if non_finite:
        return Judgement(NON_FINITE_VALUE, min(non_finite), silo or "")
    return Judgement("", "", silo) if silo else Judgement(WITHOUT_SILO, silo_key, "")


def _is_finite(feature: tf.train.Feature) -> bool:
    return feature.WhichOneof("kind") != "float_list" or all(map(math.isfinite, feature.float_list.value))


def shard_of(key: bytes, shards: int) -> int:
    """Returns the shard of a key, the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") % shards


def canonical(example: tf.train.Example) -> bytes:
    """Returns the row in the one serialization that depends on nothing but its features.

    Protocol buffers write the features of a row in any order, another one in each process; sorted by such bytes, the
    same rows would come in another order in each run, and train another model.
    """
    return example.SerializeToString(deterministic=True)


class JudgeRows(beam.DoFn):
    """Judges (split, record) pairs and counts them.

    Outputs:
        main: `(shard, (split, silo, record))`, the rows to partition, in their canonical serialization.
        SET_ASIDE_OUTPUT: `((split, shard), (reason, feature, silo, record))`, the rows put aside, spread over the
            shards by their bytes.
        TALLY_OUTPUT: `(key, rows)` per bundle, see `tally.Tally`.
    """

    def __init__(self, parameters: parameters_lib.PartitionParameters) -> None:
        self._parameters = parameters
        self._tally: collections.Counter[tuple[str, ...]] = collections.Counter()

    def start_bundle(self) -> None:
        """Starts the bundle's tally."""
        self._tally = collections.Counter()

    def process(self, element: tuple[str, bytes]) -> Iterator[Any]:
        """Judges one row."""
        split, record = element
        example = parse_example(record)
        reason, feature, silo = judge(example, self._parameters.silo_key)
        self._tally["rows_in", split] += 1
        for name in example.features.feature if example else ():
            self._tally["feature", name] += 1
        if reason == WITHOUT_SILO and self._parameters.assigned_silo is not None:
            self._tally["assigned", split] += 1
            reason, silo = "", self._parameters.assigned_silo
        if not reason:
            yield shard_of(silo.encode("utf-8"), self._parameters.shards), (split, silo, canonical(example))
            return
        self._tally["set_aside", split, reason, feature, silo] += 1
        key = split, shard_of(record, self._parameters.shards)
        yield beam.pvalue.TaggedOutput(SET_ASIDE_OUTPUT, (key, (reason, feature, silo, record)))

    def finish_bundle(self) -> Iterator[beam.pvalue.TaggedOutput]:
        """Hands out the bundle's tally."""
        for entry in self._tally.items():
            yield beam.pvalue.TaggedOutput(TALLY_OUTPUT, window.GlobalWindows.windowed_value(entry))
