import hashlib

import pytest

from benchmarks.data import sources


def test_the_installed_files_are_those_of_the_benchmark():
    sources.check_flights()
    sources.check_taxi()


def test_another_file_is_refused_by_name_with_what_to_do(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    right = {"rows.csv": hashlib.sha256(b"a\n1\n").hexdigest()}
    sources.check(tmp_path, right, "install it")
    (tmp_path / "rows.csv").write_text("a\n2\n")
    with pytest.raises(sources.OtherSourceError, match=r"rows\.csv has the SHA-256 .*: install it"):
        sources.check(tmp_path, right, "install it")
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(sources.OtherSourceError, match=r"rows\.csv is missing"):
        sources.check(tmp_path, right, "install it")
