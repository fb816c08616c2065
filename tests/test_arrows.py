"""All imports point one way, and no module keeps state: two caches fit into one process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pkgproxy

ROOT = Path(pkgproxy.__file__).parent

RANKS = {
    "__init__": -1,
    "message": 0, "builtin": 1,
    "http1": 1, "filters": 1, "access": 1, "store": 1, "barrier": 1, "deliver": 1,
    "download": 2, "upstream": 2,
    "cache": 3,
    "proxy": 4,
    "tap": 5, "__main__": 6,
}  # fmt: skip

#: The rules of one room in two files.
ALLOWED = {("filters", "builtin")}

MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS = {
    "list", "dict", "set", "bytearray", "defaultdict", "deque", "OrderedDict", "Counter",
    "ChainMap", "WeakSet", "WeakKeyDictionary", "WeakValueDictionary",
}  # fmt: skip
MUTATORS = {
    "append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "add", "discard",
    "update", "setdefault", "popitem", "difference_update", "intersection_update",
    "symmetric_difference_update", "appendleft", "popleft", "__setitem__", "__delitem__",
}  # fmt: skip
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def trees() -> dict[str, ast.Module]:
    """Module names below pkgproxy and what is in them."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


TREES = trees()


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and the rooms that they import from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            if base == "pkgproxy":
                modules = [f"{base}.{alias.name}" for alias in node.names]
            else:
                modules = [base]
        else:
            continue
        for module in modules:
            first, _, rest = module.partition(".")
            if first == "pkgproxy":
                room = rest.partition(".")[0]
                yield node.lineno, room if room in RANKS else room and "__init__"
            elif not first:
                yield node.lineno, "a relative import"


def wrong_arrows(name: str, tree: ast.AST) -> list[str]:
    """Imports of an equal or higher rank, other than within the room."""
    here = name.partition(".")[0]
    return [
        f"{name}:{line} imports {room}"
        for line, room in imported(tree)
        if room != here
        and (here, room) not in ALLOWED
        and (room not in RANKS or RANKS[room] >= RANKS[here])
    ]


def late_imports(tree: ast.AST) -> list[int]:
    """Lines of imports inside functions."""
    return [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, FUNCTIONS)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when a module is imported: in it, its classes, its conditions."""
    for statement in body:
        yield statement
        if not isinstance(statement, FUNCTIONS):
            for field in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from statements(handler.body)


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Tuple):
        return any(is_mutable(element) for element in value.elts)
    if isinstance(value, ast.Call):
        function = value.func
        name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
        return name.partition("[")[0] in MUTABLE_CALLS
    return isinstance(value, MUTABLE)


def holders(tree: ast.Module) -> set[str]:
    """Names that a module or a class binds to something that can change."""
    found = set()
    for statement in statements(tree.body):
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and is_mutable(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            found |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return {name for name in found if not (name.startswith("__") and name.endswith("__"))}


def last_name(node: ast.expr) -> str:
    """``PORTS`` of ``PORTS``, ``target.PORTS`` and ``PORTS["http"]``."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def mutated(tree: ast.AST) -> set[str]:
    """Names whose value is changed somewhere."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found |= set(node.names)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(last_name(node))
        elif isinstance(node, ast.AugAssign):
            found.add(last_name(node.target))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in MUTATORS
        ):
            found.add(last_name(node.func.value))
    return found


def state(tree: ast.Module, changed: set[str]) -> set[str]:
    """Module-level mutable state: all but constants that nobody changes."""
    return {name for name in holders(tree) if name in changed or not name.isupper()}


def test_known_rooms() -> None:
    """A new room has its place in the order before it has a line of code."""
    assert {name.partition(".")[0] for name in TREES} == set(RANKS)


@pytest.mark.parametrize("name", TREES)
def test_arrows(name: str) -> None:
    """An import points to a lower rank, and stands at the head of its file."""
    assert wrong_arrows(name, TREES[name]) == []
    assert late_imports(TREES[name]) == []


@pytest.mark.parametrize("name", TREES)
def test_no_state(name: str) -> None:
    """Nothing at module level can change; only ``tap`` knows the reactor."""
    changed = set().union(*(mutated(tree) for tree in TREES.values()))
    assert state(TREES[name], changed) == set()
    assert not any(isinstance(node, ast.Global) for node in ast.walk(TREES[name]))
    if name != "tap":
        assert "import reactor" not in ast.unparse(TREES[name])


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("message.heads", "import pkgproxy.store"),
        ("message", "from pkgproxy import store"),
        ("store.names", "from pkgproxy.barrier import LocalBarrier"),
        ("cache.lead", "if TYPE_CHECKING:\n    from pkgproxy.proxy import Proxy"),
        ("builtin", "from pkgproxy.filters import Action"),
        ("download", "from pkgproxy.upstream import Upstream"),
        ("store", "from .barrier import LocalBarrier"),
        ("store", "def f():\n    from pkgproxy.cache import Cache"),
    ],
)
def test_sees_wrong_arrows(name: str, source: str) -> None:
    """This check can fail."""
    assert len(wrong_arrows(name, ast.parse(source))) == 1


def test_sees_right_arrows() -> None:
    """And need not."""
    lines = ["cache import Cache", "cache.answer import Answer", "message.heads import HIT"]
    source = "from pkgproxy import __version__\n" + "".join(f"from pkgproxy.{x}\n" for x in lines)
    assert wrong_arrows("proxy.pages", ast.parse(source)) == []
    assert wrong_arrows("filters", ast.parse("from pkgproxy.builtin import BUILT_IN")) == []
    assert late_imports(ast.parse("def f():\n    if x:\n        import json")) == [3]


@pytest.mark.parametrize(
    "source",
    [
        "cache = {}", "_seen: set[str] = set()", "names = [n for n in x]", "A, b = [], 1",
        "if x:\n    table = dict()", "class C:\n    waiting = []", "q = collections.deque()",
        "SEEN = []\ndef f():\n    SEEN.append(1)", "PORTS = {}\nmodule.PORTS['x'] = 1",
        "PORTS = {}\ndel PORTS['x']", "A = [[]]\nA[0].append(1)", "A = set()\nA |= {1}",
    ],
)  # fmt: skip
def test_sees_state(source: str) -> None:
    """This one too."""
    tree = ast.parse(source)
    assert state(tree, mutated(tree))


def test_sees_constants() -> None:
    """A table that is only read is no state, nor is what a function or an object has."""
    source = "__all__ = []\n_PORTS = {}\nX = _PORTS['x']\ndef f():\n    a = []\n    self.b = {}"
    tree = ast.parse(source)
    assert state(tree, mutated(tree)) == set()
