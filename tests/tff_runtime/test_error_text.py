import pytest

from tff_runtime import error_text
from tff_runtime import job as job_lib


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Received a label value of 918273 which is outside the range [0, 3).", "label value of # which is"),
        ("indices[5,0] = -735125 is not in [0, 4)", "indices[#,#] = # is not in [#, #)"),
        ("[x (x:0) = ] [[7351.25098 -7.35125e+03]]", " = ] [[# #]]"),
        ("values nan, inf, 1e-5 and .", "values #, #, # and ."),
        ('File "module.py", line 34, in model_fn', 'File "module.py", line 34, in model_fn'),
        ("{{node dense_1/MatMul}} float32 information", "{{node dense_1/MatMul}} float32 information"),
    ],
)
def test_numbers_are_withheld_and_names_are_kept(text, expected):
    assert expected in error_text.without_numbers(text)


def test_an_error_of_ours_keeps_its_numbers():
    error = job_lib.JobError("NonFiniteUpdate", "round 3", silo="a", round_number=3)
    assert error_text.to_job_error(error) is error


def fail():
    row = "735125"
    raise ValueError(f"a row has {row}")


def test_any_other_error_keeps_its_type_and_the_lines_of_its_traceback():
    with pytest.raises(ValueError, match="a row has 735125") as caught:
        fail()
    known = error_text.to_job_error(caught.value)
    assert (known.kind, str(known)) == ("ValueError", "a row has #")
    traceback = error_text.traceback_of(caught.value)
    assert f'test_error_text.py", line {caught.traceback[-1].lineno + 1}, in fail' in traceback
    assert traceback.endswith("ValueError: a row has #\n")
