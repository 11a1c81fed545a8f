"""The filter language of the history: `params.lr < 0.1 and not (state == 'failed')`.

Python's own grammar reads it, a short list of node types is let through, and what comes out is SQL with
bound parameters: no text of the user becomes SQL, and nothing is evaluated in Python.

- Names: `params.NAME`, `logged.NAME`, `metrics.NAME`, `metrics.val/NAME` (`params["odd name"]` where NAME
  is not a plain word), and the fields in `filter_fields.py`. A metric is its last value; `metrics.NAME.min`,
  `.max`, and the steps `.min_step`, `.max_step`, `.last_step` are the others. A name that no run has is
  refused.
- `<  <=  >  >=  ==  !=  in  not in`, chained as `0.01 < params.lr < 0.1`; `and  or  not  ( )`.
- Numbers, strings, true, false; dates are strings (`created >= '2026-01-31'`, local where no zone is
  named); `image == 'sha256:12ab'` may be shortened.
- A comparison with something that the run lacks is false, `!=` and `not in` too. Values of another
  type are unequal and in no order. NaN is unequal to everything. Numbers compare as 64-bit floats.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, not_, or_

from orchestrator.errors import UsageError
from orchestrator.record.history.filter_fields import PLAIN, Comparison, Field, Literal, Mismatch, compare
from orchestrator.record.history.recorded_names import KnownNames, named_field, quoted_field

LONGEST = 4000  # characters of a filter
DEEPEST = 40  # nested parentheses and nots

_HINT = "such as: params.lr < 0.1 and metrics.accuracy > 0.9 and state == 'succeeded'"
# What other languages write -> the hint.
_HABITS = (
    (re.compile(r"&&?|\bAND\b"), "write `and`"),
    (re.compile(r"\|\|?|\bOR\b"), "write `or`"),
    (re.compile(r"!(?!=)|\bNOT\b"), "write `not`"),
    (re.compile(r"<>"), "write `!=`"),
    (re.compile(r"(?<![=<>!])=(?!=)"), "write `==`"),
)
_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
# `metrics.val/accuracy`: a name as TensorBoard writes it. Other divisions are refused.
_TAG = re.compile(r"(metrics|params|logged)\.([^\W\d]\w*(?:[./][^\W\d]\w*)*)")
_WORDS: dict[str, bool] = {"true": True, "false": False}


class Condition(NamedTuple):
    sql: ColumnElement[bool]  # over run, job and image
    certain: tuple[Comparison, ...]  # some that every fitting run meets, so that an index may serve
    fields: tuple[Field, ...] = ()  # those that it names


def read_condition(text: str, names: KnownNames) -> Condition:
    """The filter as SQL, and what of it an index could serve. UsageError with the column and a hint."""
    reader = _FilterReader(text, names)
    return Condition(reader.read(), tuple(reader.certain), tuple(reader.fields))


class _FilterReader:
    def __init__(self, text: str, names: KnownNames) -> None:
        # One line without leading space, or Python would read an indented block.
        self.text = re.sub(r"\s", " ", text).strip()
        self.names = names
        self.fields: list[Field] = []
        self.certain: list[Comparison] = []

    def read(self) -> ColumnElement[bool]:
        if not self.text:
            raise self._error("the filter is empty", 0)
        if len(self.text) > LONGEST:
            raise self._error(f"the filter is longer than {LONGEST} characters", LONGEST)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are about Python code, which this is not
                tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            raise self._error("cannot be read", (error.offset or 1) - 1, self._habit()) from error
        except (ValueError, RecursionError, MemoryError) as error:  # NUL, or nesting beyond the parser
            raise self._error("cannot be read", 0) from error
        return self._condition(tree.body, 0, certain=True)

    def _condition(self, node: ast.expr, depth: int, *, certain: bool) -> ColumnElement[bool]:
        if depth > DEEPEST:
            raise self._error(f"is nested more than {DEEPEST} deep", self._column(node))
        match node:
            case ast.BoolOp(op=op, values=values):
                certain = certain and isinstance(op, ast.And)
                parts = [self._condition(value, depth + 1, certain=certain) for value in values]
                return and_(*parts) if isinstance(op, ast.And) else or_(*parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not_(self._condition(operand, depth + 1, certain=False))
            case ast.Compare(left=left, ops=ops, comparators=rights):
                lefts = [left, *rights[:-1]]
                found = [self._compare(*item) for item in zip(lefts, ops, rights, strict=True)]
                if certain:
                    self.certain += [comparison for comparison, _ in found]
                return and_(*(held for _, held in found))
            case _:
                raise self._error(
                    "is not a comparison",
                    self._column(node),
                    self._habit() or "compare it with a value: params.flag == true",
                )

    def _compare(
        self, left: ast.expr, op: ast.cmpop, right: ast.expr
    ) -> tuple[Comparison, ColumnElement[bool]]:
        operator = _OPERATORS.get(type(op))
        if operator is None:
            raise self._error("`is` means nothing here", self._column(left), "write == or !=")
        field = self._operand(left)
        word = right.id if isinstance(field, Field) and isinstance(right, ast.Name) else None
        if word is not None and word not in PLAIN and word.lower() not in _WORDS:
            raise self._error("an unknown name", self._column(right), f"strings need quotes: '{word}'")
        value = self._operand(right)
        if not isinstance(field, Field) and isinstance(value, Field) and operator in _MIRRORED:
            field, value, operator = value, field, _MIRRORED[operator]
        if not isinstance(field, Field) or isinstance(value, Field):
            raise self._error(
                "compares no name with a value",
                self._column(left),
                "a name on one side, a value on the other",
            )
        if isinstance(value, tuple) != (operator in ("in", "not in")):
            raise self._error(
                "`in` wants a list, and only `in` does", self._column(right), "params.lr in (0.1, 0.01)"
            )
        try:
            return Comparison(field, operator, value), compare(field, operator, value)
        except Mismatch as mismatch:
            raise self._error(mismatch.what, self._column(right), mismatch.hint) from mismatch

    def _operand(self, node: ast.expr) -> Field | Literal | tuple[Literal, ...]:
        match node:
            case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
                return tuple(self._literal(item) for item in items)
            case ast.Name(id=word) if word.lower() not in _WORDS:
                return self._field(node, word, None)
            case ast.Attribute():
                return self._dotted(node)
            case ast.BinOp(op=ast.Div()) if (tag := _TAG.fullmatch(self._source(node))) is not None:
                return self._field(node, tag[1], tag[2])
            case ast.Subscript(value=ast.Name(id=word), slice=ast.Constant(value=str(name))):
                return self._known(node, lambda: quoted_field(word, name, None, self.names))
            case _:
                return self._literal(node)

    def _dotted(self, node: ast.Attribute) -> Field:
        """`params.model.width` is the parameter `model.width`: names may hold dots."""
        match node.value:  # `metrics["odd name"].min`
            case ast.Subscript(value=ast.Name(id=word), slice=ast.Constant(value=str(name))):
                return self._known(node, lambda: quoted_field(word, name, node.attr, self.names))
        parts = [node.attr]
        inner = node.value
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise self._error("is not a name", self._column(node))
        return self._field(node, inner.id, ".".join(reversed(parts)))

    def _field(self, node: ast.expr, word: str, name: str | None) -> Field:
        return self._known(node, lambda: named_field(word, name, self.names))

    def _known(self, node: ast.expr, find: Callable[[], Field]) -> Field:
        try:
            field = find()
        except Mismatch as mismatch:
            raise self._error(mismatch.what, self._column(node), mismatch.hint) from mismatch
        self.fields.append(field)
        return field

    def _literal(self, node: ast.expr) -> Literal:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.Name(id=word) if word.lower() in _WORDS:
                return _WORDS[word.lower()]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=value)) if (
                isinstance(value, int | float) and not isinstance(value, bool)
            ):
                return -value if isinstance(sign, ast.USub) else value
            case _:
                hint = self._habit() or "numbers, 'strings', true, false; dates as 'strings'"
                raise self._error("is not a value", self._column(node), hint)

    def _source(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ""

    def _column(self, node: ast.expr) -> int:
        """The column in characters; Python counts bytes."""
        return len(self.text.encode()[: node.col_offset].decode(errors="replace"))

    def _habit(self) -> str | None:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", self.text)
        return next((hint for pattern, hint in _HABITS if pattern.search(bare)), None)

    def _error(self, what: str, column: int, hint: str | None = None) -> UsageError:
        rest = self.text[column : column + 30]
        where = f" at column {column + 1}: `{rest}`" if rest else ""
        return UsageError(f"where: {what}{where}", hint or _HINT)
