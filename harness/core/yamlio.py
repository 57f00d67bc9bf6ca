"""YAML files with line numbers, and one clear ConfigError for whatever is wrong with them.

Only plain data is read: mappings, lists and scalars. Duplicate keys, tags that build objects, recursive
aliases, alias bombs, deep nesting, other encodings than UTF-8 and empty files are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from harness.core.errors import ConfigError
from harness.core.units import FILE_CONTEXT
from harness.core.validation import config_error, path_of

MAX_FILE_BYTES = 256 * 2**20
"""Larger files are no configuration; a million flows take about 100 MB."""

MAX_DEPTH = 64
"""Deepest nesting; our files need eight."""

MAX_VALUES = 20_000_000
"""Most values after aliases are expanded, so that an alias bomb ends before the memory does."""

_MERGE = "tag:yaml.org,2002:merge"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

T = TypeVar("T")
Where = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its plain data, and the line of each key and list item (from 1)."""

    file: str
    data: Any
    lines: dict[Where, int] = field(default_factory=dict)

    def error(self, message: str, path: Where = (), **details: Any) -> ConfigError:
        """Return a ConfigError placed at a path of this file."""
        return ConfigError(message, file=self.file, line=self.lines.get(path), **details)

    def place(self, error: ConfigError) -> ConfigError:
        """Return an error that names a key of this file with the file and its line; others as they are."""
        line = self.lines.get(path_of(error.key)) if error.key and error.file is None else None
        return error if line is None else error.located(file=self.file, line=line, key=error.key)

    def part(self, key: str) -> Document:
        """Return the value of a top-level key as a document of its own, lines kept."""
        lines = {path[1:]: line for path, line in self.lines.items() if path[:1] == (key,)}
        return Document(self.file, self.data[key], lines)


def load_yaml(path: str | Path) -> Document:
    """Read a YAML file; raise ConfigError when it cannot be read or is not plain, finite YAML."""
    return parse_yaml(_read(Path(path)), str(path))


def parse_yaml(text: str, file: str) -> Document:
    """Read YAML text; `file` is the name in messages."""
    _refuse_deep_nesting(text, file)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError("the file is empty", file=file)
        builder = _Builder(loader, file)
        return Document(file, builder.build(node, (), 0), builder.lines)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"not YAML: {str(error) or 'nested too deeply'}", file=file) from None
    finally:
        loader.dispose()


def validate(document: Document, kind: type[T]) -> T:
    """Build a model of the document's data; raise one ConfigError with file, line, key and value."""
    try:
        return TypeAdapter(kind).validate_python(document.data, context=dict(FILE_CONTEXT))
    except ValidationError as error:
        raise config_error(error, file=document.file, lines=document.lines) from None


def dump_yaml(data: object) -> str:
    """Write plain data as YAML, keys in their order."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    return text


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise ConfigError("a folder where a file is expected", file=path)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                "the file is too large", file=path, value=path.stat().st_size, hint="at most 256 MiB"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            "the file is not UTF-8 text", file=path, line=line, hint="save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", file=path) from None


def _refuse_deep_nesting(text: str, file: str) -> None:
    """Look at the events first: the C library makes nodes by recursion, and deep ones end the process."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                mark = event.start_mark
                line = None if mark is None else mark.line + 1
                raise ConfigError(f"nested more than {MAX_DEPTH} deep", file=file, line=line)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {error}", file=file) from None


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    last = text.rstrip("\n").count("\n") + 1  # what is open at the end is reported behind it
    problem = error.problem or "syntax error"
    return ConfigError(
        f"not YAML: {problem}", file=file, line=None if mark is None else min(last, mark.line + 1)
    )


class _Builder:
    """Turns nodes into data: counts what it builds and notes the line of each key."""

    def __init__(self, loader: Any, file: str) -> None:
        self._loader = loader
        self._file = file
        self._open: set[int] = set()
        self._built = 0
        self.lines: dict[Where, int] = {}

    def build(self, node: yaml.Node, path: Where, depth: int) -> Any:
        """Return the data of a node; `path` leads to it."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._built += 1
        if self._built > MAX_VALUES:
            raise self._error(f"more than {MAX_VALUES} values: aliases multiply", node)
        if depth > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep", node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise self._error("an alias contains itself", node)
        self._open.add(id(node))
        built = (
            self._mapping(node, path, depth)
            if isinstance(node, yaml.MappingNode)
            else self._list(node, path, depth)
        )
        self._open.discard(id(node))
        return built

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node)
        except yaml.constructor.ConstructorError:
            raise self._error(f"tag {node.tag!r} is not plain data", node) from None
        except (ValueError, OverflowError):
            raise self._error("not a value that can be read", node, value=node.value) from None

    def _list(self, node: yaml.Node, path: Where, depth: int) -> list[Any]:
        if not node.tag.endswith(":seq"):
            raise self._error(f"tag {node.tag!r} is not plain data", node)
        return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Where, depth: int) -> dict[Any, Any]:
        if not node.tag.endswith(":map"):
            raise self._error(f"tag {node.tag!r} is not plain data", node)
        built: dict[Any, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            key = self._key(key_node, built)
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            built[key] = self.build(value_node, (*path, key), depth + 1)
        for value_node in merged:
            self._merge(built, value_node, path, depth)
        return built

    def _key(self, node: yaml.Node, built: dict[Any, Any]) -> Any:
        key = self._scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise self._error("a key is text", node, hint="put it in quotes")
        if key in built:
            raise self._error("the key is there twice", node, key=str(key))
        return key

    def _merge(self, built: dict[Any, Any], node: yaml.Node, path: Where, depth: int) -> None:
        """Put in what `<<: *anchor` names; keys of the mapping itself win."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise self._error("only mappings can be merged", source)
            for key, value in self.build(source, path, depth + 1).items():
                built.setdefault(key, value)

    def _error(self, message: str, node: yaml.Node, **details: Any) -> ConfigError:
        return ConfigError(message, file=self._file, line=node.start_mark.line + 1, **details)
