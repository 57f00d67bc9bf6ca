"""The house itself: documents, make targets and configuration say what is true of the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from harness.bindings.sim import known_defects
from reports.bounds import NO_SOURCE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs the source tree")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tool(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_the_changelog_has_the_version() -> None:
    assert f"## [{project()['project']['version']}]" in text("CHANGELOG.md")


def test_every_required_package_is_imported_somewhere() -> None:
    # Kept for what comes next, with its reason beside it in pyproject.toml.
    waiting = {"allure-pytest", "pytest-xdist"}
    modules = {"PyYAML": "yaml"}
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("harness", "reports")
        for path in (ROOT / folder).rglob("*.py")
        if "tests" not in path.parts
    )
    names = [re.split(r"[><=]", line)[0] for line in project()["project"]["dependencies"]]

    unused = [
        name
        for name in names
        if name not in waiting
        and not re.search(rf"^\s*(from|import) {modules.get(name, name)}\b", sources, re.MULTILINE)
    ]
    assert unused == []


def test_every_requirement_has_a_lower_bound() -> None:
    lines = project()["project"]["dependencies"] + project()["project"]["optional-dependencies"]["dev"]

    assert [line for line in lines if ">=" not in line] == []


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/index.md", "docs/cli.md", "docs/design.md"]
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text(page))
    folder = (ROOT / page).parent

    assert [target for target in targets if not (folder / target).exists()] == []


def test_make_targets_named_in_the_documents_exist() -> None:
    makefile = text("Makefile")
    pages = "\n".join(text(page) for page in ("README.md", "CONTRIBUTING.md", "docs/design.md"))
    # At the start of a line of a code block, or in back quotes: prose may use the verb.
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", pages, re.MULTILINE))

    assert {"setup", "demo", "test", "check", "bench"} <= named | {"bench"}
    assert [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_folders_of_the_design_exist() -> None:
    drawn = text("docs/design.md").split("## 2.")[1].split("```")[1]
    inside = [f"harness/{name}" for name in re.findall(r"^  ([a-z_]+)/", drawn, re.MULTILINE)]
    above = re.findall(r"^([a-z]+)/", drawn, re.MULTILINE)

    assert "harness/core" in inside
    assert [name for name in inside + above if not (ROOT / name).is_dir()] == []


def test_every_command_is_documented() -> None:
    from harness.cli.app import cli

    page = text("docs/cli.md")

    assert [name for name in cli.commands if f"`roce {name}" not in page] == []


def test_every_bound_has_a_source() -> None:
    page = text("docs/bounds.md")

    assert page.count("\n| test_") > 500
    assert [line for line in page.splitlines() if NO_SOURCE in line] == []


def test_the_page_of_defects_names_every_defect_and_no_test_is_unproven() -> None:
    page = text("docs/defects.md")
    rows = re.findall(r"^\| `([a-z_0-9]+)` \|", page, re.MULTILINE)

    assert rows == known_defects()
    assert [line for line in page.splitlines() if "**no" in line] == []


@pytest.mark.parametrize(
    "line",
    [
        "import subprocess",
        "from harness.bindings.sim import reserve",
        "from harness.core.flow import Flow",
        "from time import sleep",
        "import paramiko",
    ],
)
def test_suites_cannot_import_what_drives(line: str) -> None:
    rejected = lint_as("suites/pfc/test_probe.py", line)
    allowed = lint_as("harness/bindings/probe.py", line)

    assert "TID251" in rejected
    assert "TID251" not in allowed


def test_suites_can_import_words_and_patterns() -> None:
    lines = "from harness import Scenario\nfrom harness.patterns.incast import Incast\n"

    assert "TID251" not in lint_as("suites/pfc/test_probe.py", lines)


def lint_as(filename: str, source: str) -> str:
    """What ruff says about a source when it stands at this place of the tree."""
    command = [tool("ruff"), "check", "--quiet", "--output-format=concise", "--stdin-filename", filename, "-"]
    return subprocess.run(command, input=source, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif(find_spec("importlinter") is None, reason="import-linter is not installed")
@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("harness/core/probe.py", "import harness.analysis", "Imports point downwards"),
        ("harness/core/probe.py", "import pytest", "Core knows neither"),
        ("harness/patterns/probe.py", "import harness.patterns.incast", "Drop-in patterns"),
        ("harness/analysis/probe.py", "import harness.patterns", "Imports point downwards"),
        ("reports/probe.py", "import harness.bindings.sim", "Reports read records"),
    ],
)
def test_import_contracts_catch_a_violation(tmp_path: Path, module: str, line: str, contract: str) -> None:
    for name in ("harness", "reports"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / module).write_text(f"{line}\n", encoding="utf-8")
    # An editable install puts a finder before sys.path: without it the copy is what gets analysed.
    script = (
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'ScikitBuild' not in type(f).__name__]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from importlinter.cli import lint_imports\n"
        "sys.exit(lint_imports(no_cache=True))\n"
    )
    environment = {**os.environ, "NO_COLOR": "1"}

    command = [sys.executable, "-c", script]
    finished = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )

    assert finished.returncode == 1
    assert re.search(rf"^{contract}.*BROKEN", finished.stdout, re.MULTILINE)
