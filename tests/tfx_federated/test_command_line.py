import subprocess
import sys

import pytest

from tfx_federated import command_line, tff_environment


def test_a_folder_that_exists_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").write_text("kept")
    assert command_line.main(["install-tff", str(tmp_path)]) == 1
    assert f"{tmp_path} exists; name a folder that does not" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "kept"


def test_a_failed_installation_leaves_no_folder(tmp_path, monkeypatch, capsys):
    lock = tmp_path / "wrong.txt"
    lock.write_text("no-such-package-of-tfx-federated==0 --hash=sha256:" + 64 * "0")
    monkeypatch.setattr(tff_environment, "_lock", lambda: lock)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert command_line.main(["install-tff", str(tmp_path / "tff")]) == 1
    assert "no-such-package-of-tfx-federated" in capsys.readouterr().err
    assert not (tmp_path / "tff").exists()


@pytest.mark.slow
def test_the_installed_interpreter_is_one_that_the_trainer_takes(tmp_path):
    command = [sys.executable, "-m", "tfx_federated.command_line", "install-tff", str(tmp_path / "tff")]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert f"{tff_environment.PYTHON_VARIABLE}={tmp_path}/tff/bin/python" in completed.stdout


def test_help_names_every_command_and_imports_none():
    script = "import sys; from tfx_federated import command_line; command_line.main(['--help'])"
    command = [sys.executable, "-X", "importtime", "-c", script]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip() for line in completed.stderr.splitlines()}
    assert "tfx_federated.command_line" in imported
    for name, (module, _) in command_line.COMMANDS.items():
        assert f"\n  {name} " in completed.stdout
        assert module not in imported


def test_a_command_has_a_help_of_its_own(capsys):
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["compile", "--help"])
    assert exit_.value.code == 0
    assert "--placement FILE" in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["run"])
    assert "invalid choice: 'run'" in capsys.readouterr().err
