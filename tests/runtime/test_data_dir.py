"""The folder of state: whose it is, and what is said when it cannot be used."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.runtime.data_dir import make_data_dir


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    make_data_dir(tmp_path / "a" / "data")
    assert mode(tmp_path / "a" / "data") == 0o700


def test_a_folder_that_is_there_keeps_the_rights_that_somebody_gave_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o750)
    make_data_dir(data)
    assert mode(data) == 0o750


def test_a_file_in_its_place_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(ConfigError, match="data_dir cannot be created: File exists"):
        make_data_dir(tmp_path / "data")


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.runtime.data_dir.os.access", lambda _path, _mode: False)  # root may write everywhere
    with pytest.raises(ConfigError, match="data_dir is not writable"):
        make_data_dir(tmp_path / "data")
