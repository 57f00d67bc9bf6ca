"""The index of the test plan, suites/README.md, from the tests themselves and plan.yaml.

`python -m suites.plan_index` writes it, `--check` says whether it is current. It reads the suites as text, so that it
needs neither a fabric nor pytest.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ANY = "any"
"""The shape of a test that names none: it runs on whatever fabric there is."""

INTRODUCTION = """# Test plan

Written by `python -m suites.plan_index`; change the tests or `plan.yaml`, not this file.

Each case of the plan is claimed by tests and shown to be able to fail by negative controls: the same measurements with
one thing broken on purpose, of which at least one must fail. Defects of simulated devices prove it once more
(`docs/defects.md`); those that a test names stand behind its criterion. `pytest suites/pfc` runs a family,
`pytest suites -k name` the tests of that name. How a test is written is told in `docs/writing-tests.md`.
"""


class PlanError(Exception):
    """The suites and plan.yaml do not fit together; the message lists every reason."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One test: where it is, what its docstring says, and its markers.

    `cases` counts its parameters; `catches` are the defects that it names.
    """

    file: str
    name: str
    criterion: str
    plan_ids: tuple[str, ...]
    needs: tuple[str, ...]
    topology: str
    control: str | None
    cases: int
    catches: tuple[str, ...] = ()


def read_suites(folder: Path) -> list[Claim]:
    """Return every test below `folder` that has a plan ID, in the order of files and lines."""
    files = sorted(folder.rglob("test_*.py"))
    return [claim for file in files for claim in _claims(file, file.relative_to(folder).as_posix())]


def read_plan(file: Path) -> dict[str, dict[str, str]]:
    """Return the cases of plan.yaml: ID to `case` and `source`; raise PlanError when an ID is there twice."""
    text = file.read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    ids = [key.value for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    double = sorted({plan_id for plan_id in ids if ids.count(plan_id) > 1})
    if double:
        raise PlanError(f"{file.name} has {', '.join(double)} twice")
    return dict(yaml.safe_load(text))


def render(claims: Sequence[Claim], plan: dict[str, dict[str, str]]) -> str:
    """Return the text of the index; raise PlanError when an ID is unknown, unclaimed or has no control."""
    mistakes = list(_mistakes(claims, plan))
    if mistakes:
        raise PlanError("\n".join(mistakes))
    cases = sum(claim.cases for claim in claims)
    head = f"{len(plan)} cases of the plan, {len(claims)} tests, {cases} with their parameters.\n"
    table = ["| ID | case | tests | controls |", "|---|---|---|---|"]
    table += [_row(plan_id, plan[plan_id]["case"], _of(claims, plan_id)) for plan_id in plan]
    sections = [_section(plan_id, plan[plan_id], _of(claims, plan_id)) for plan_id in plan]
    return "\n".join([INTRODUCTION, head, *table, "", *sections])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the index; return 1 when it is not current or the plan is not whole."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when the index is not current"
    )
    options = parser.parse_args(arguments)
    readme = HERE / "README.md"
    try:
        text = render(read_suites(HERE), read_plan(HERE / "plan.yaml"))
    except PlanError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not options.check:
        readme.write_text(text, encoding="utf-8")
    elif not readme.exists() or readme.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{readme.name} is not current: run python -m suites.plan_index\n")
        return 1
    return 0


def _claims(file: Path, name: str) -> Iterator[Claim]:
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    shared = [mark for node in tree.body for mark in _module_marks(node)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = [call for call in node.decorator_list if isinstance(call, ast.Call)]
            yield _claim(name, node, [*own, *shared])


def _module_marks(node: ast.stmt) -> list[ast.Call]:
    """Return the markers that a module gives to all its tests with `pytestmark = …`."""
    if not isinstance(node, ast.Assign) or ast.unparse(node.targets[0]) != "pytestmark":
        return []
    items = node.value.elts if isinstance(node.value, ast.List) else [node.value]
    return [item for item in items if isinstance(item, ast.Call)]


def _claim(file: str, node: ast.FunctionDef, marks: Sequence[ast.Call]) -> Claim:
    cases = 1
    for call in _named(marks, "parametrize"):
        cases *= len(call.args[1].elts) if isinstance(call.args[1], ast.List | ast.Tuple) else 1
    return Claim(
        file,
        node.name,
        ast.get_docstring(node) or "",
        tuple(_texts(marks, "plan")),
        tuple(dict.fromkeys(_capabilities(marks))),
        next(_texts(marks, "topology"), ""),
        next(_texts(marks, "negative_control"), None),
        cases,
        tuple(dict.fromkeys(str(ast.literal_eval(call.args[0])) for call in _named(marks, "catches"))),
    )


def _named(marks: Sequence[ast.Call], name: str) -> Iterator[ast.Call]:
    return (call for call in marks if ast.unparse(call.func) == f"pytest.mark.{name}")


def _texts(marks: Sequence[ast.Call], name: str) -> Iterator[str]:
    arguments = chain.from_iterable(call.args for call in _named(marks, name))
    return (str(ast.literal_eval(argument)) for argument in arguments)


def _capabilities(marks: Sequence[ast.Call]) -> Iterator[str]:
    arguments = chain.from_iterable(call.args for call in _named(marks, "needs"))
    return (ast.unparse(argument).removeprefix("Capability.") for argument in arguments)


def _of(claims: Sequence[Claim], plan_id: str) -> list[Claim]:
    return [claim for claim in claims if plan_id in claim.plan_ids]


def _mistakes(claims: Sequence[Claim], plan: dict[str, dict[str, str]]) -> Iterator[str]:
    places = [(claim.file, claim.name) for claim in claims]
    for file, name in sorted({place for place in places if places.count(place) > 1}):
        yield f"{file}: {name} is there twice; the first never runs"
    for claim in claims:
        for plan_id in sorted({each for each in claim.plan_ids if claim.plan_ids.count(each) > 1}):
            yield f"{claim.file}: {claim.name} names {plan_id} twice"
        if not claim.plan_ids or not claim.criterion:
            yield f"{claim.file}: {claim.name} has no {'docstring' if claim.plan_ids else 'plan ID'}"
        for plan_id in sorted(set(claim.plan_ids) - set(plan)):
            yield f"{claim.file}: {claim.name} names {plan_id}, which is not in plan.yaml"
    for plan_id in plan:
        mine = _of(claims, plan_id)
        if all(claim.control for claim in mine):
            yield f"{plan_id} is claimed by no test"
        if not any(claim.control for claim in mine):
            yield f"{plan_id} has no negative control"


def _row(plan_id: str, case: str, claims: Sequence[Claim]) -> str:
    tests = sum(claim.cases for claim in claims if not claim.control)
    controls = sum(claim.cases for claim in claims if claim.control)
    return f"| [{plan_id}](#{plan_id.lower()}) | {case} | {tests} | {controls} |"


def _section(plan_id: str, entry: dict[str, str], claims: Sequence[Claim]) -> str:
    lines = [f"## {plan_id}", "", f"{entry['case']}. Source: {entry['source']}.", "", "Criteria:", ""]
    lines += [_criterion(claim) for claim in claims if not claim.control]
    lines += ["", "Controls:", ""]
    lines += [f"- *{claim.control}*: {claim.criterion} (`{claim.name}`)" for claim in claims if claim.control]
    shapes = sorted({claim.topology or ANY for claim in claims})
    needs = sorted({need for claim in claims for need in claim.needs})
    return "\n".join([*lines, "", f"Topology: {', '.join(shapes)}. Needs: {', '.join(needs)}.", ""])


def _criterion(claim: Claim) -> str:
    times = f", {claim.cases} cases" if claim.cases > 1 else ""
    caught = f" Catches {', '.join(f'`{defect}`' for defect in claim.catches)}." if claim.catches else ""
    return f"- {claim.criterion} (`{claim.file}`, `{claim.name}`{times}){caught}"


if __name__ == "__main__":
    sys.exit(main())
