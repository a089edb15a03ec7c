import dataclasses
import json
import logging

import numpy as np
import pytest

from tests.tfx_federated import small_job
from tff_runtime import job as job_lib
from tfx_federated.federated_trainer import silo_agreement


def examine(folder, sizes, features, labels):
    """Examines silos named s0, s1, ... of the given numbers of rows."""
    directory = small_job.write(folder, rounds=1)
    stored = {}
    for number, (name, values) in enumerate(features.items()):
        file = f"{number}.npy"
        np.save(directory.data / "train" / file, np.asarray(values, np.float32))
        stored[name] = job_lib.StoredFeature("float32", np.shape(values)[1:], file)
    np.save(directory.data / "train" / "label.npy", np.asarray(labels, np.float32).reshape(-1, 1))
    ends = np.cumsum(sizes)
    silos = tuple(
        job_lib.SiloRows(f"s{number}", int(end) - int(size), int(size))
        for number, (end, size) in enumerate(zip(ends, sizes, strict=True))
    )
    job = dataclasses.replace(
        directory.read_job(),
        features=stored,
        label=job_lib.StoredFeature("float32", (1,), "label.npy"),
        silos={"train": silos},
    )
    return silo_agreement.examine(directory, job)


def named(disagreements):
    return [(item.severity, item.silo, item.feature, item.kind) for item in disagreements]


RANDOM = np.random.default_rng(0)
SIZES = np.array([200, 12, 60, 900, 35, 80, 15, 150])
ROWS = SIZES.sum()
SILO = np.repeat(np.arange(len(SIZES)), SIZES)
LABELS = RANDOM.integers(0, 2, ROWS)
# Celsius, in places of different climate; dollars, with the long tail of prices.
TEMPERATURE = 10 + 4 * RANDOM.normal(size=len(SIZES))[SILO] + 8 * RANDOM.normal(size=ROWS)
PRICE = np.exp(3 + 0.5 * RANDOM.normal(size=len(SIZES))[SILO] + RANDOM.normal(size=ROWS))
FLAG = (RANDOM.random(ROWS) < 0.3) * 1.0


def changed(values, silo, change):
    return np.where(silo == SILO, change(values), values)


def test_silos_that_differ_as_silos_do_are_not_named(tmp_path):
    features = {"temperature": TEMPERATURE, "price": PRICE, "flag": FLAG, "both": np.stack([PRICE, FLAG], axis=1)}
    assert examine(tmp_path, SIZES, features, LABELS) == []


@pytest.mark.parametrize("silo", [1, 3])
@pytest.mark.parametrize(
    ("name", "values", "change", "kind"),
    [
        ("temperature", TEMPERATURE, lambda celsius: 1.8 * celsius + 32, "shifted"),
        ("temperature", TEMPERATURE, lambda celsius: celsius + 273.15, "scaled"),
        ("price", PRICE, lambda dollars: 100 * dollars, "scaled"),
        ("price", PRICE, lambda dollars: dollars / 1000, "scaled"),
        ("price", PRICE, np.zeros_like, "constant"),
        ("flag", FLAG, lambda flag: 2 * flag - 1, "not_binary"),
        ("flag", FLAG, lambda flag: flag + 1, "not_binary"),
        ("price", PRICE, lambda dollars: np.where(dollars > 20, np.nan, dollars), "not_finite"),
        ("price", PRICE, lambda dollars: np.where(dollars > 20, -np.inf, dollars), "not_finite"),
    ],
)
def test_the_silo_that_does_not_match_is_named_whether_it_is_small_or_large(tmp_path, silo, name, values, change, kind):
    features = {"other": PRICE[::-1], name: changed(values, silo, change)}
    assert named(examine(tmp_path, SIZES, features, LABELS)) == [("warning", f"s{silo}", name, kind)]


def test_an_element_of_a_wider_feature_is_named_by_its_number(tmp_path):
    wide = np.stack([TEMPERATURE, changed(PRICE, 5, lambda dollars: 100 * dollars)], axis=1)
    (found,) = examine(tmp_path, SIZES, {"wide": wide}, LABELS)
    assert (found.silo, found.feature, found.kind) == ("s5", "wide[1]", "scaled")
    assert found.measure == pytest.approx(100, rel=0.7)


@pytest.mark.parametrize("code", [lambda label: label + 1, lambda label: 2 * label - 1, lambda label: 7 * label])
def test_labels_of_another_code_are_errors_and_all_their_silos_are_named(tmp_path, code):
    labels = changed(changed(LABELS, 1, code), 6, code)
    found = examine(tmp_path, SIZES, {"price": PRICE}, labels)
    assert named(found) == [("error", "s1", "y", "not_binary"), ("error", "s6", "y", "not_binary")]
    with pytest.raises(silo_agreement.SiloAgreementError, match=r"silo 's1': 'y' is neither(.|\n)*silo 's6': 'y'"):
        silo_agreement.report(found)


def test_a_class_that_one_silo_alone_has_is_named(tmp_path):
    classes = np.random.default_rng(0).integers(0, 4, ROWS)
    labels = changed(classes, 7, lambda label: label + 1)
    assert named(examine(tmp_path, SIZES, {}, labels)) == [("warning", "s7", "y", "unknown_class")]


def test_labels_of_another_unit_are_named(tmp_path):
    labels = changed(PRICE, 2, lambda dollars: 100 * dollars)
    assert named(examine(tmp_path, SIZES, {}, labels)) == [("warning", "s2", "y", "scaled")]


def test_a_silo_whose_labels_are_all_the_same_is_a_note(tmp_path):
    labels = changed(LABELS, 3, np.zeros_like)
    found = examine(tmp_path, SIZES, {"price": PRICE}, labels)
    assert named(found) == [("note", "s3", "y", "one_class")]
    silo_agreement.report(found)


@pytest.mark.parametrize(
    "labels",
    [
        RANDOM.poisson(0.05, ROWS),
        np.where(SILO == 1, 2, SILO % 2),
        np.exp(RANDOM.normal(size=ROWS)),
        (RANDOM.random(ROWS) < 0.01) * 1,
        RANDOM.integers(0, 10, ROWS),
    ],
    ids=["counts that are mostly 0 or 1", "one class a silo", "a quantity", "a rare class", "ten classes"],
)
def test_labels_that_chance_or_unequal_silos_explain_are_no_errors(tmp_path, labels):
    found = examine(tmp_path, SIZES, {}, labels)
    assert [item for item in found if item.severity == "error"] == []


def test_where_every_silo_has_values_that_are_not_finite_it_is_an_error(tmp_path):
    broken = PRICE.copy()
    broken[np.cumsum(SIZES) - 1] = np.nan
    found = examine(tmp_path, SIZES, {"price": broken}, LABELS)
    assert named(found) == [("error", f"s{silo}", "price", "not_finite") for silo in range(len(SIZES))]


def test_of_two_silos_none_is_said_to_be_wrong(tmp_path):
    values = np.concatenate([PRICE[:100], 1000 * PRICE[100:200]])
    assert examine(tmp_path, [100, 100], {"x": values}, LABELS[:200]) == []


@pytest.mark.parametrize("seed", range(3))
def test_chance_names_no_silo_among_a_thousand_small_ones(tmp_path, seed):
    random = np.random.default_rng(seed)
    sizes = np.clip(random.lognormal(2.5, 1.2, 1000), 1, 2000).astype(int)
    rows = sizes.sum()
    features = {
        "normal": random.normal(size=rows),
        "silos differ": random.normal(size=1000).repeat(sizes) + random.normal(size=rows),
        "long tail": np.exp(1.5 * random.normal(size=rows)),
        "longer tail": random.standard_t(1.5, rows),
        "mostly zero": (random.random(rows) < 0.03) * np.exp(random.normal(size=rows)),
        "rare flag": (random.random(rows) < 0.01) * 1.0,
        "count": random.poisson(0.1, rows),
    }
    found = examine(tmp_path, sizes, features, random.poisson(0.1, rows))
    assert [item for item in found if item.severity != "note"] == []


def test_more_than_ten_are_counted(tmp_path, caplog):
    broken = PRICE.copy()
    broken[np.cumsum(SIZES)[:-1] - 1] = np.nan
    found = examine(tmp_path, SIZES, {"price": broken, "again": broken}, LABELS)
    assert len(found) == 14
    with caplog.at_level(logging.WARNING):
        silo_agreement.report(found)
    assert caplog.text.count("is not finite in 1 rows") == 10
    assert "7 silos in all" in caplog.text


def test_no_value_is_in_any_message(tmp_path):
    sentinel = 123454321.0
    features = {
        "shifted": changed(TEMPERATURE, 2, lambda values: values + sentinel),
        "scaled": changed(PRICE, 2, lambda values: values * sentinel),
        "constant": changed(PRICE, 4, lambda values: 0 * values + sentinel),
        "flag": changed(FLAG, 4, lambda values: values * sentinel),
    }
    found = examine(tmp_path, SIZES, features, changed(LABELS, 3, lambda label: label * sentinel))
    assert {item.feature for item in found} == {*features, "y"}
    written = json.dumps([dataclasses.asdict(item) for item in found]) + "".join(map(str, found))
    with pytest.raises(silo_agreement.SiloAgreementError) as caught:
        silo_agreement.report(found)
    for text in (written, str(caught.value)):
        assert "12345" not in text
