import pytest

from tfx_federated import whole_files


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_missing_folder_is_taken(tmp_path, exists):
    folder = tmp_path / "output"
    if exists:
        folder.mkdir()
    whole_files.require_empty(str(folder), "model")


def test_a_folder_with_a_file_is_refused_with_its_output(tmp_path):
    (tmp_path / "left_over").touch()
    with pytest.raises(FileExistsError, match=rf"output 'model': the folder {tmp_path} is not empty"):
        whole_files.require_empty(str(tmp_path), "model")


def test_text_is_written_as_utf8_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("old")
    whole_files.write_text(str(path), "Zoë\n")
    assert path.read_bytes() == b"Zo\xc3\xab\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_comes_back_from_json(tmp_path):
    value = {"silo": 'a"/\n<b>', "rows": [1, 2.5, None, True]}
    whole_files.write_json(str(tmp_path / "value.json"), value)
    assert whole_files.read_json(str(tmp_path / "value.json")) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_leaves_the_former_file(tmp_path, value):
    path = tmp_path / "value.json"
    path.write_text("1")
    with pytest.raises((ValueError, TypeError)):
        whole_files.write_json(str(path), {"value": value})
    assert path.read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_leaves_no_part(tmp_path):
    folder = tmp_path / "report.txt"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(Exception, match=r"report\.txt"):
        whole_files.write_text(str(folder), "text")
    assert list(tmp_path.iterdir()) == [folder]
