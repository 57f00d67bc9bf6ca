from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cli.outcome import result_folder
from harness.core.errors import ConfigError


def write(out: Path, text: str = "{}", *, force: bool = False) -> None:
    with result_folder(out, force=force) as part:
        (part / "result.json").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with result_folder(out, force=False) as part:
        (part / "result.json").write_text("{}")
        assert not out.exists()

    assert names(out) == ["result.json"]
    assert names(tmp_path / "a") == ["b"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with result_folder(tmp_path / "out", force=False) as part:
            (part / "result.json").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()

    assert names(tmp_path) == []


def test_a_result_is_replaced_only_by_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "first")

    with pytest.raises(ConfigError, match="--force"):
        write(out, "second")
    assert (out / "result.json").read_text() == "first"

    write(out, "third", force=True)
    assert (out / "result.json").read_text() == "third"
    assert names(tmp_path) == ["out"]


def test_a_failed_replacement_keeps_the_old_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "first")

    with pytest.raises(RuntimeError), result_folder(out, force=True):
        raise RuntimeError

    assert (out / "result.json").read_text() == "first"
    assert names(tmp_path) == ["out"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(ConfigError, match="something else"):
        write(tmp_path, force=True)

    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(ConfigError, match="is a file"):
        write(tmp_path / "out", force=True)


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "out.part"
    left.mkdir()
    (left / "queue_bytes.npy").write_text("half")

    write(tmp_path / "out")

    assert names(tmp_path / "out") == ["result.json"]


def test_two_runs_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with result_folder(out, force=False) as part:
        (part / "result.json").write_text("first")
        with pytest.raises(ConfigError, match="another run"):
            write(out, "second")

    assert (out / "result.json").read_text() == "first"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_place_is_refused_before_the_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with (
            pytest.raises(ConfigError, match="Permission denied"),
            result_folder(tmp_path / "out", force=False),
        ):
            pytest.fail("ran although the result cannot be written")
    finally:
        tmp_path.chmod(0o700)


def test_a_place_below_a_file_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(ConfigError, match="Not a directory"),
        result_folder(tmp_path / "file" / "out", force=False),
    ):
        pytest.fail("ran although the result cannot be written")
