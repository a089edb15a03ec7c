import csv

import pandas as pd
import pytest
from pipelines.taxi import data


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taxi") / "data"
    return folder, data.prepare(folder)


def test_label_is_a_tip_above_a_fifth_of_the_fare():
    source = pd.read_csv(data.source_file())
    rides = data.load_rides()
    assert rides["generous_tip"].tolist() == [
        int(tip > 0.2 * fare) for tip, fare in zip(source["tips"], source["fare"], strict=True)
    ]
    assert rides["generous_tip"].mean() == pytest.approx(0.225, abs=0.001)


def test_the_tip_itself_is_no_column():
    assert "tips" not in data.load_rides().columns


def test_rides_of_a_day_are_in_one_split():
    rides = data.load_rides()
    is_eval = rides["day"].map(data.is_eval_day)
    assert rides.assign(is_eval=is_eval).groupby("day")["is_eval"].nunique().max() == 1
    assert is_eval.mean() == pytest.approx(0.3, abs=0.03)


def test_all_rides_are_written_and_a_third_have_no_company(prepared):
    folder, rows = prepared
    written = {}
    for split in data.SPLITS:
        with (folder / split / "rides.csv").open(newline="") as file:
            written[split] = list(csv.DictReader(file))
    assert {split: len(rides) for split, rides in written.items()} == rows
    assert sum(rows.values()) == 15_002
    assert sum(ride["company"] == "" for rides in written.values() for ride in rides) == 5_140


def test_codes_are_written_as_integers_or_empty(prepared):
    folder, _ = prepared
    with (folder / "train" / "rides.csv").open(newline="") as file:
        codes = {ride["dropoff_community_area"] for ride in csv.DictReader(file)}
    assert "" in codes
    assert all(code == "" or code.isdigit() for code in codes)


def test_prepared_folder_is_used_again(prepared):
    folder, rows = prepared
    before = (folder / "train" / "rides.csv").stat().st_mtime_ns
    assert data.prepare(folder) == rows
    assert (folder / "train" / "rides.csv").stat().st_mtime_ns == before


def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ValueError, match="no taxi data set"):
        data.prepare(tmp_path)
