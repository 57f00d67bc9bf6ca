from __future__ import annotations

import pytest

from harness.core.errors import ConfigError
from harness.core.yamlio import load_yaml, parse_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9)
)


def test_lines_of_keys_and_items_are_known():
    document = parse_yaml("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n", "f.yaml")
    assert document.data == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    assert document.lines[("b",)] == 2
    assert document.lines[("b", 1)] == 4
    assert document.lines[("b", 1, "d")] == 5


def test_anchors_and_merge_keys_work():
    document = parse_yaml("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nsame: *b\n", "f.yaml")
    assert document.data["use"] == {"x": 1, "y": 3}
    assert document.data["same"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: the key is there twice"),
        ("a: [1, 2", "f.yaml:1: not YAML"),
        ("a:\n\t- 1\n", "not YAML"),
        ("a: !!python/object/apply:os.system ['true']", "f.yaml:1: tag"),
        ("a: !!python/name:os.system", "is not plain data"),
        ("a: !thing 3", "is not plain data"),
        ("a: &x [*x]", "f.yaml:1: an alias contains itself"),
        ("a: &x {b: {c: *x}}", "an alias contains itself"),
        ("a: *nowhere", "not YAML"),
        ("? [1, 2]\n: 3\n", "a key is text"),
        ("2026-01-01: 3\n", "a key is text; put it in quotes"),
        ("a: " + "[" * 200 + "]" * 200, "nested more than 64 deep"),
        ("a: 1\n---\nb: 2\n", "not YAML: but found another document"),
        ("a: \x00\n", "not YAML"),
        ("<<: 3\n", "only mappings can be merged"),
        ("a: 2026-13-45\n", "not a value that can be read"),
    ],
)
def test_what_is_not_plain_yaml_is_one_clear_error(text, message):
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "f.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_alias_bomb_ends_before_the_memory_does(monkeypatch):
    monkeypatch.setattr("harness.core.yamlio.MAX_VALUES", 10_000)
    with pytest.raises(ConfigError, match="aliases multiply"):
        parse_yaml(BOMB, "bomb.yaml")


def test_hundred_thousand_brackets_do_not_end_the_process():
    with pytest.raises(ConfigError):
        parse_yaml("[" * 100_000, "deep.yaml")


def test_block_nesting_does_not_end_the_process():
    with pytest.raises(ConfigError):
        parse_yaml("".join(f"{' ' * i}a:\n" for i in range(3000)), "deep.yaml")


def test_other_encodings_folders_and_missing_files_are_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nname: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin.yaml:2: the file is not UTF-8 text"):
        load_yaml(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="a folder where a file is expected"):
        load_yaml(tmp_path)
    with pytest.raises(ConfigError, match="No such file"):
        load_yaml(tmp_path / "none.yaml")
