import math

import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator.detection import small_federation
from tfx_federated.contribution_evaluator.detection import detectors, readings

# Positions of a small, a middle and a large silo.
SMALL, MIDDLE, LARGE = 2, 12, 21


def _tests(detection, silo):
    name = f"silo {silo}"
    return {finding.detector for finding in detection.findings if finding.silo == name and finding.p_value is not None}


def _accused(detection):
    return {finding.silo for finding in detection.findings if finding.p_value is not None}


@pytest.fixture(scope="module")
def honest():
    return [detectors.detect(small_federation.Federation(seed).train()) for seed in range(6)]


def test_honest_silos_are_rarely_accused(honest):
    # With no misbehaving silo, a false discovery rate of 5 % is the share of trainings with any accusation.
    assert sum(len(_accused(detection)) for detection in honest) <= 1


def test_small_honest_silos_look_odd_no_more_often_than_stated(honest):
    def suspects(silos):
        return np.mean([detection.p_value[f"silo {silo}"] < 0.05 for detection in honest for silo in silos])

    # 48 silos at a rate of 5 %: more than 5 are found in 4 % of all cases.
    assert suspects(range(8)) <= 5 / 48


def _with_lie(silo, lie, **options):
    federation = small_federation.Federation(11)
    federation.lies[silo] = lie
    return federation.train(**options)


@pytest.mark.parametrize("silo", [SMALL, MIDDLE, LARGE])
def test_silo_that_sends_the_model_back_is_found_whatever_its_size(silo):
    detection = detectors.detect(_with_lie(silo, lambda turn, now, before, update: 0 * update))

    assert _accused(detection) == {f"silo {silo}"}
    [finding] = [finding for finding in detection.findings if finding.detector == "no_update"]
    assert finding.kind is readings.Kind.FREE_RIDING
    assert (finding.p_value, finding.score) == (0.0, 1.0)
    assert "exactly zero in 18 of 18 rounds" in finding.reason
    assert finding.series["update_norm"] == [0.0] * small_federation.ROUNDS


def test_zero_updates_are_found_without_stored_updates():
    lie = lambda turn, now, before, update: 0 * update  # noqa: E731
    detection = detectors.detect(_with_lie(MIDDLE, lie, stores_updates=False, losses=False))

    assert _tests(detection, MIDDLE) == {"no_update"}


def test_silo_that_repeats_its_first_update_is_found():
    kept = []

    def lie(turn, now, before, update):
        kept.append(update)
        return kept[0]

    assert "repeated_update" in _tests(detectors.detect(_with_lie(MIDDLE, lie)), MIDDLE)


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_silo_that_replays_the_change_of_the_global_model_is_found_at_any_scale(scale):
    def lie(turn, now, before, update):
        return update if before is None else scale * (now - before)

    assert "replayed_global" in _tests(detectors.detect(_with_lie(MIDDLE, lie)), MIDDLE)


@pytest.mark.parametrize("copies_global", [False, True])
def test_noise_is_found_alone_and_on_top_of_a_copy(copies_global):
    generator = np.random.default_rng(3)

    def lie(turn, now, before, update):
        noise = generator.normal(size=len(update))
        noise *= np.linalg.norm(update) / np.linalg.norm(noise) / (turn + 1)
        return noise + (now - before if copies_global and before is not None else 0)

    assert "fabricated_noise" in _tests(detectors.detect(_with_lie(MIDDLE, lie)), MIDDLE)


def test_flipped_labels_are_found_as_harm():
    federation = small_federation.Federation(12)
    federation.y[LARGE] = 1 - federation.y[LARGE]

    detection = detectors.detect(federation.train())

    assert _accused(detection) == {f"silo {LARGE}"}
    assert {finding.kind for finding in detection.findings if finding.silo == f"silo {LARGE}"} >= {readings.Kind.HARM}


def test_garbage_labels_are_found_and_found_without_stored_updates():
    federation = small_federation.Federation(13)
    federation.y[LARGE] = np.random.default_rng(1).permutation(federation.y[LARGE])

    with_updates = detectors.detect(federation.train())
    without = detectors.detect(federation.train(stores_updates=False))

    for detection in (with_updates, without):
        assert max(detection.suspicion, key=detection.suspicion.get) == f"silo {LARGE}"


def test_both_silos_with_the_same_rows_are_named():
    federation = small_federation.Federation(14)
    federation.x[10], federation.y[10], federation.rows[10] = federation.x[16], federation.y[16], federation.rows[16]

    detection = detectors.detect(federation.train())

    peers = {finding.silo: finding.peer for finding in detection.findings if finding.detector == "duplicates"}
    assert peers == {"silo 10": "silo 16", "silo 16": "silo 10"}


def test_the_same_rows_are_found_where_every_silo_has_a_twin():
    federation = small_federation.Federation(14)
    for silo in range(1, small_federation.SILOS, 2):
        federation.x[silo], federation.y[silo] = federation.x[silo - 1], federation.y[silo - 1]
        federation.rows[silo] = federation.rows[silo - 1]

    detection = detectors.detect(federation.train())

    peers = {finding.silo: finding.peer for finding in detection.findings if finding.detector == "duplicates"}
    assert peers == {f"silo {silo}": f"silo {silo ^ 1}" for silo in range(small_federation.SILOS)}


def test_same_rows_are_found_by_their_updates_where_losses_are_unknown():
    federation = small_federation.Federation(14)
    federation.x[10], federation.y[10], federation.rows[10] = federation.x[16], federation.y[16], federation.rows[16]

    detection = detectors.detect(federation.train(losses=False))

    nearest = sorted(detection.scores["duplicates"], key=detection.scores["duplicates"].get)[-2:]
    assert set(nearest) == {"silo 10", "silo 16"}


def test_too_few_rows_are_said_as_such_and_not_as_free_riding():
    rows = np.geomspace(30, 600, small_federation.SILOS).astype(int)
    rows[5] = 3

    detection = detectors.detect(small_federation.Federation(15, rows).train())

    assert {finding.kind for finding in detection.findings if finding.silo == "silo 5"} == {readings.Kind.TOO_FEW_ROWS}
    [finding] = [finding for finding in detection.findings if finding.silo == "silo 5"]
    assert finding.p_value is None
    assert "3 rows" in finding.reason


def test_share_of_chance_follows_the_formula_of_spearman_and_brown(honest):
    finding_scores = honest[0].scores["too_few_rows"]
    rows = small_federation.Federation(0).rows
    # n0 from one silo gives the share of every other.
    half = rows[0] * finding_scores["silo 0"] / (1 - finding_scores["silo 0"])
    assert finding_scores["silo 20"] == pytest.approx(half / (half + rows[20]))


def test_the_silo_that_drowns_the_others_is_named():
    rows = np.full(small_federation.SILOS, 40)
    rows[3] = 4000

    detection = detectors.detect(small_federation.Federation(16, rows).train())

    [finding] = [finding for finding in detection.findings if finding.detector == "dominance"]
    assert finding.silo == "silo 3"
    assert finding.evidence["weight_share"] == pytest.approx(4000 / (4000 + 23 * 40))


def test_silos_that_are_not_always_asked_are_judged_by_their_rounds():
    federation = small_federation.Federation(17)
    federation.asked = lambda turn, silo: (turn + silo) % 3 > 0
    federation.lies[MIDDLE] = lambda turn, now, before, update: 0 * update

    detection = detectors.detect(federation.train())

    assert _accused(detection) == {f"silo {MIDDLE}"}
    assert "in 12 of 12 rounds" in detection.findings[0].reason


def test_what_could_not_be_told_is_said():
    detection = detectors.detect(small_federation.Federation(0).train(stores_updates=False, losses=False))

    impossible = {each.detector: each.reason for each in detection.impossible}
    assert set(impossible) == {
        "repeated_update",
        "replayed_global",
        "fabricated_noise",
        "duplicates",
    }
    assert "updates" in impossible["replayed_global"]


@pytest.mark.parametrize("silos", [1, 2])
def test_of_very_few_silos_nothing_is_claimed(silos):
    detection = detectors.detect(small_federation.Federation(0, np.full(silos, 50)).train())

    assert not _accused(detection)
    assert all(math.isnan(value) for value in detection.p_value.values())
    assert {"opposition", "replayed_global"} <= {each.detector for each in detection.impossible}


def test_silos_that_are_all_the_same_are_called_duplicates_or_nothing():
    federation = small_federation.Federation(0, np.full(small_federation.SILOS, 60))
    federation.x, federation.y = [federation.x[0]] * small_federation.SILOS, [federation.y[0]] * small_federation.SILOS

    detection = detectors.detect(federation.train())

    assert {finding.detector for finding in detection.findings} <= {"duplicates"}


def test_an_empty_ledger_is_refused():
    ledger = small_federation.Federation(0).train()
    ledger.rounds = []
    with pytest.raises(ValueError, match="at least one round"):
        detectors.detect(ledger)


def test_every_finding_has_words_and_finite_evidence(honest):
    findings = [finding for detection in honest for finding in detection.findings]
    findings += detectors.detect(_with_lie(MIDDLE, lambda turn, now, before, update: 0 * update)).findings
    for finding in findings:
        assert finding.reason
        assert 0 <= finding.score <= 1
        assert finding.evidence
