"""A config's text: YAML read safely, with the line of every key and list item."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stabilitysweep.config.problems import KeyPath, Problem, describe, shortened
from stabilitysweep.errors import ConfigError

# Aliases let a short text stand for an endless one; no honest config is as large as this.
_MOST_VALUES = 200_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; `1e-4` is a number, where YAML 1.1 reads a text."""


# Tried after YAML 1.1's own resolvers, so whole numbers stay whole.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


@dataclass(slots=True)
class Document:
    """What a config says, and where it says it.

    Attributes:
        source: the file, or another name of where it came from.
        value: the content: mappings, lists, and plain values.
        lines: the line of each key and list item, counted from 1; empty without a text.
        written: each plain value that is no text, as it stands there.
        problems: keys that stand twice; found in reading.
    """

    source: str
    value: object
    lines: dict[KeyPath, int] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def error(self, problems: Iterable[Problem]) -> ConfigError:
        """One error that says every problem, a line each, in the order of the file."""
        ordered = sorted(problems, key=lambda problem: self._line(problem) or 0)
        # An alias shows one value in several places: the same line need not be said twice.
        return ConfigError("\n".join(dict.fromkeys(map(self._sentence, ordered))))

    def _sentence(self, problem: Problem) -> str:
        line = self._line(problem)
        place = self.source if line is None else f"{self.source}:{line}"
        key = f"{_dotted(problem.path)}: " if problem.path else ""
        got = self.written.get(problem.path, problem.got) if problem.is_value else problem.got
        hint = f"; {problem.hint}" if problem.hint else ""
        return f"{place}: {key}expected {problem.expected}, got {got}{hint}"

    def _line(self, problem: Problem) -> int | None:
        """The problem's line, or that of the innermost thing around it that has one."""
        if problem.line is not None:
            return problem.line
        around = (problem.path[:length] for length in range(len(problem.path), -1, -1))
        return next((self.lines[path] for path in around if path in self.lines), None)


def read_yaml(text: str, source: str) -> Document:
    """Read YAML.

    Args:
        text: one YAML document.
        source: its file, named in errors.

    Returns:
        The content; a key that stands twice is among its problems.

    Raises:
        ConfigError: not YAML, or YAML that a config has no use for: tags, several documents.
    """
    document = Document(source, None, lines={(): 1})
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.value = _Reader(loader, document).read(node, (), _line_of(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise _not_yaml(document, str(error.problem), line) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reason = f"it has the character #x{error.character:04x}"
        raise _not_yaml(document, reason, line) from error
    except RecursionError as error:
        raise _not_yaml(document, "it is nested without end", None) from error
    return document


def _not_yaml(document: Document, reason: str, line: int | None) -> ConfigError:
    got = f"text that is not: {reason}"
    return document.error([Problem((), "a config in YAML", got, line=line)])


class _Reader:
    """Turns nodes into values, noting where each stands."""

    def __init__(self, loader: _Loader, document: Document) -> None:
        self._loader = loader
        self._document = document
        self._count = 0
        self._merged: set[int] = set()

    def read(self, node: Node, path: KeyPath, line: int) -> object:
        self._count += 1
        if self._count > _MOST_VALUES:
            raise self._refusal(node, path, f"at most {_MOST_VALUES:,} values", "more")
        self._document.lines[path] = line
        if isinstance(node, ScalarNode):
            value = self._scalar(node, path)
            if not isinstance(value, str):
                self._document.written[path] = _as_written(value, node.value)
            return value
        if isinstance(node, SequenceNode) and node.tag == _Loader.DEFAULT_SEQUENCE_TAG:
            return [
                self.read(item, (*path, place), _line_of(item))
                for place, item in enumerate(node.value)
            ]
        if isinstance(node, MappingNode) and node.tag == _Loader.DEFAULT_MAPPING_TAG:
            return self._mapping(node, path)
        raise self._refusal(node, path, "plain YAML", f"the tag {node.tag}")

    def _scalar(self, node: ScalarNode, path: KeyPath) -> object:
        try:
            return self._loader.construct_object(node)
        except yaml.constructor.ConstructorError as error:
            raise self._refusal(node, path, "plain YAML", f"the tag {node.tag}") from error
        except ValueError as error:  # no such day, or a number of thousands of digits
            got = describe(node.value)
            raise self._refusal(node, path, "a value that can be read", got) from error

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[object, object]:
        if id(node) not in self._merged:  # through an alias a node is met again
            self._merged.add(id(node))
            self._find_repeated_keys(node, path)
            # What `<<: *other` brings in comes first: own keys override it.
            self._loader.flatten_mapping(node)
        value = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            value[key] = self.read(value_node, (*path, str(key)), _line_of(key_node))
        return value

    def _find_repeated_keys(self, node: MappingNode, path: KeyPath) -> None:
        first: dict[object, int] = {}
        for key_node, _ in node.value:
            key, line = self._key(key_node, path), _line_of(key_node)
            if key in first:
                got = f"it again (first on line {first[key]})"
                self._document.problems.append(
                    Problem((*path, str(key)), "each key once", got, line=line)
                )
            first.setdefault(key, line)

    def _key(self, node: Node, path: KeyPath) -> object:
        if not isinstance(node, ScalarNode):
            raise self._refusal(node, path, "keys that are text", "a list or a mapping as key")
        if node.tag.endswith((":merge", ":value")):
            return node.value
        return self._scalar(node, path)

    def _refusal(self, node: Node, path: KeyPath, expected: str, got: str) -> ConfigError:
        return self._document.error([Problem(path, expected, got, line=_line_of(node))])


def _as_written(value: object, text: str) -> str:
    if isinstance(value, bool) and text.lower() not in ("true", "false"):
        return f"{text}, which YAML reads as {str(value).lower()}"
    return shortened(text) or "nothing"


def _line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _dotted(path: KeyPath) -> str:
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            name = key if key.isprintable() and key else repr(key)
            text += f".{name}" if text else name
    return text
