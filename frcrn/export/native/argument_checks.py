"""C that checks a program's arguments before anything runs, made from the table of operations."""

from __future__ import annotations

import ast
from collections.abc import Callable

from frcrn.export.native.structs import Field, Operation, Struct

ARITHMETIC: dict[type[ast.AST], str] = {ast.Mult: "times({}, {})", ast.Add: "plus({}, {})", ast.Sub: "({} - {})"}
ARITHMETIC |= {ast.Div: "({} / {})", ast.Mod: "({} % {})"}
COMPARED: dict[type[ast.AST], str] = {ast.Eq: "==", ast.Lt: "<", ast.LtE: "<=", ast.GtE: ">="}

Named = Callable[[str], str]
"""What stands in C for a name."""


def expression(node: ast.AST, named: Named) -> str:
    """Return an expression in C; what grows cannot overflow."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name):
        return named(node.id)
    if isinstance(node, ast.BinOp):
        return ARITHMETIC[type(node.op)].format(expression(node.left, named), expression(node.right, named))
    if isinstance(node, ast.Compare):
        sides = (expression(side, named) for side in (node.left, node.comparators[0]))
        return f"({next(sides)} {COMPARED[type(node.ops[0])]} {next(sides)})"
    if isinstance(node, ast.BoolOp):
        word = " || " if isinstance(node.op, ast.Or) else " && "
        return f"({word.join(expression(part, named) for part in node.values)})"
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name), ast.dump(node)
    return f"{node.func.id}({', '.join(expression(part, named) for part in node.args)})"


def in_c(text: str, named: Named) -> str:
    """Return what an expression of the table is in C."""
    return expression(ast.parse(text, mode="eval").body, named)


def names_of(operation: type[Operation], inner: type[Struct] | None = None) -> Named:
    """Return how the arguments of an operation are reached, from inside one of many structures where given.

    What only these many structures have is the sum of all of them.
    """
    own = {field.name for field in operation.fields()}
    within = {field.name for field in inner.fields()} if inner is not None else set()

    def named(name: str) -> str:
        if name in ("window", "hop"):
            return f"m->{name}"
        if name in within:
            return f"b->{name}"
        return f"a->{name}" if name in own else name

    return named


def checker(operation: type[Operation], c_name: str, inner_name: str = "") -> str:
    """Return the function that checks an operation's arguments: numbers first, as sizes are made of them."""
    title, named = c_name.upper(), names_of(operation)
    many = next((field for field in operation.fields() if field.many), None)
    single = [field for field in operation.fields() if field.structure is None]
    more = f" + (uint64_t)most(0, a->count) * sizeof({inner_name})" if many else ""
    lines = [
        f"static const char *check_{c_name}(checks *m, const {c_name}_arguments *a, int32_t size) {{",
        f'    CHECK_SIZE("{title}", sizeof *a{more})',
        *(number_check(field, title, "a") for field in single if not field.size),
    ]
    if many is not None and many.structure is not None:
        lines += sums(many, title, inner_name)
    lines += [f'    CHECK_RULE("{title}", "{rule}", {in_c(rule, named)})' for rule in operation.rules]
    lines += [array_check(field, title, "a", in_c(field.size, named)) for field in single if field.size]
    if many is not None and many.structure is not None:
        lines += arrays(operation, many, title, inner_name)
    lines += [f"    m->cost = plus(m->cost, {in_c(operation.cost, named)});", "    return NULL;", "}\n"]
    return "\n".join(lines)


def number_check(field: Field, title: str, of: str) -> str:
    """Return the check of a plain number."""
    assert field.kind is not None
    return f'    CHECK_{field.kind.name}("{field.name} of {title}", {of}->{field.name})'


def array_check(field: Field, title: str, of: str, size: str) -> str:
    """Return the check that values are where they may be, all of them."""
    assert field.kind is not None
    return f'    CHECK_{field.kind.name}("{field.name} of {title}", {of}->{field.name}, {size})'


def each(many: Field, inner_name: str) -> str:
    """Return the beginning of a loop over many structures."""
    return f"    for (const {inner_name} *b = a->{many.name}; b < a->{many.name} + a->count; b++) {{"


def sums(many: Field, title: str, inner_name: str) -> list[str]:
    """Return the checks of the plain numbers of many structures, and the sums of them."""
    assert many.structure is not None
    plain = [field for field in many.structure.fields() if not field.size]
    return [
        *(f"    int64_t {field.name} = 0;" for field in plain),
        each(many, inner_name),
        *(f"    {number_check(field, title, 'b')}" for field in plain),
        *(f"        {field.name} = plus({field.name}, b->{field.name});" for field in plain),
        "    }",
    ]


def arrays(operation: type[Operation], many: Field, title: str, inner_name: str) -> list[str]:
    """Return the checks of the values that many structures stand for."""
    assert many.structure is not None
    named = names_of(operation, many.structure)
    sized = [field for field in many.structure.fields() if field.size]
    checks = [f"    {array_check(field, title, 'b', in_c(field.size, named))}" for field in sized]
    return [each(many, inner_name), *checks, "    }"]
