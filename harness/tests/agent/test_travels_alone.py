"""The agent runs on hosts we do not choose: Python 3.9 syntax, and nothing but what it brings along."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import harness.hosts.agent

SOURCES = sorted(Path(harness.hosts.agent.__file__).parent.glob("*.py"))
NEWER_ARGUMENTS = {"slots", "kw_only", "strict", "weakref_slot"}
"""Keywords of dataclass and zip that came with Python 3.10 and 3.11."""

SINCE_3_9 = {"tomllib", "graphlib"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_python_3_9_compiles_it(path):
    assert ast.parse(path.read_text("utf-8"), feature_version=(3, 9)).body


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_postpones_annotations(path):
    tree = ast.parse(path.read_text("utf-8"))
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert "annotations" in names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_imports_itself_and_the_standard_library(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module]
        else:
            assert not isinstance(node, ast.ImportFrom) or node.level == 1
            continue
        for module in modules:
            assert module.split(".")[0] in sys.stdlib_module_names - SINCE_3_9


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_uses_no_newer_keywords_and_unions(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"dataclass", "zip"}:
            assert not NEWER_ARGUMENTS & {keyword.arg for keyword in node.keywords}
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"isinstance", "issubclass"}:
            assert not isinstance(node.args[1], ast.BinOp)
