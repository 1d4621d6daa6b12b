"""Who may import whom: the judge of the house's rules, by walking the imports of every file."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from minigpt.cli.app import COMMANDS
from minigpt.render.views import every_face

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minigpt"
FLOORS = {
    "errors": 0, "settings": 0, "records": 0, "launch": 0, "versions": 0,
    "text": 1, "models": 1,
    "checkpoint": 2,
    "sampling": 3, "training": 3,
    "views": 4, "contest": 4,
    "render": 5, "app": 5,
    "explore": 6,
    "cli": 7,
    "api": 8,
}  # fmt: skip
DOORS = ("minigpt", "minigpt.__main__")  # exempt from the floors
HEAVY = {"torch", "tokenizers", "safetensors", "transformers"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
INSIDE = sorted(set(MODULES) - set(DOORS))


def part(module: str) -> str:
    """The folder, or the file on the ground floor: `text` of minigpt.text.tokenizer."""
    return module.split(".")[1] if "." in module else ""


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not those in functions, nor those for the type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import_time(child)


def imported(module: str, everywhere: bool = True) -> set[str]:
    """Full names of what `module` imports: anywhere, or only when it is imported itself."""
    names: set[str] = set()
    for node in ast.walk(tree(module)) if everywhere else at_import_time(tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where things come from"
            assert node.module
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update(inner & MODULES.keys() or {node.module})
    return names


def own(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] == "minigpt"}


def foreign(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - {"minigpt"}


@cache
def loads(module: str) -> frozenset[str]:
    """The heavy packages that importing `module` loads, itself or through others."""
    names, seen, heavy = [module], set(), set()
    while names:
        name = names.pop()
        if name in seen or name not in MODULES:
            continue
        seen.add(name)
        names += [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]  # packages around it
        found = imported(name, everywhere=False)
        heavy |= foreign(found) & HEAVY
        names += own(found)
    return frozenset(heavy)


def test_the_walk_finds_the_house() -> None:
    assert {"minigpt.text.tokenizer", "minigpt.models.gpt", "minigpt.sampling.engine"} <= MODULES.keys()
    assert "minigpt.models.native" in imported("minigpt.models.decoder")
    assert "torch" in foreign(imported("minigpt.models.gpt"))
    assert loads("minigpt.training.loop") >= {"torch", "tokenizers"}
    assert loads("minigpt.records") == frozenset()


@pytest.mark.parametrize("module", [module for module in INSIDE if part(module) == "sampling"])
def test_sampling_computes_with_arrays(module: str) -> None:
    assert "torch" not in foreign(imported(module))
    assert "torch" not in loads(module)


def test_the_walk_tells_import_time_from_later() -> None:
    lines = ["import a", "if TYPE_CHECKING:", "  import b", "def f():", "  import c", "class D:", "  import d"]
    nodes = at_import_time(ast.parse("\n".join([*lines, "try:", "  import e", "finally: 0"])))
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert found == ["a", "d", "e"]


@pytest.mark.parametrize("module", INSIDE)
def test_every_module_has_a_floor(module: str) -> None:
    assert part(module) in FLOORS, f"{module} stands on no floor: put {part(module)} into the table"


@pytest.mark.parametrize("module", INSIDE)
def test_imports_go_to_lower_floors_or_stay_in_the_folder(module: str) -> None:
    here = FLOORS[part(module)]
    for name in sorted(own(imported(module))):
        assert name not in DOORS, f"{module} imports {name}, the door of the house"
        there = FLOORS[part(name)]
        lower = there < here or here == 0  # those on the ground may know one another
        assert lower or part(name) == part(module), f"{module} (floor {here}) imports {name} (floor {there})"


def test_no_module_imports_itself_through_others() -> None:
    graph = {module: own(imported(module)) & set(INSIDE) for module in INSIDE}
    graph["minigpt.render.views"] |= {face.table.__module__ for face in every_face()}
    graph["minigpt.cli.app"] |= {f"minigpt.cli.{home.partition(':')[0]}" for home, _ in COMMANDS.values()}
    # Both import these by name.
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_typer_is_imported_only_in_cli_and_rich_only_where_something_is_shown(module: str) -> None:
    packages = foreign(imported(module))
    if part(module) != "cli":
        assert "typer" not in packages
    if part(module) not in ("cli", "explore", "render"):
        assert "rich" not in packages


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "render"])
def test_render_never_sees_tensors(module: str) -> None:
    names = imported(module)
    assert not foreign(names) & {*HEAVY, "numpy"}
    for name in own(names):
        records = name.endswith(".records") or part(name) == "views"
        assert FLOORS[part(name)] == 0 or part(name) == "render" or records, f"{module} imports {name}"
    assert not loads(module)


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "views" or m.endswith(".records")])
def test_a_record_needs_no_tensor(module: str) -> None:
    assert not loads(module)
    assert "numpy" not in foreign(imported(module, everywhere=False))


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "cli" or m in DOORS])
def test_the_command_line_loads_the_heavy_packages_only_when_it_runs(module: str) -> None:
    for name in sorted(imported(module, everywhere=False)):
        assert name.split(".")[0] not in HEAVY, f"{module} imports {name} at its top level"
        if name in MODULES:
            assert not loads(name), f"{module} imports {name} at its top level, which loads {sorted(loads(name))}"


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "app"])
def test_the_application_knows_no_terminal(module: str) -> None:
    assert not foreign(imported(module)) & {"typer", "rich", "textual", "plotext", "matplotlib"}
    assert not {name for name in own(imported(module)) if part(name) in ("render", "explore", "cli")}


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_on_a_screen_and_its_parameters_in_a_head(module: str) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= 60, f"{module}: {node.name} has {lines} lines"
            named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert len(named) <= 10, f"{module}: {node.name} has {len(named)} parameters"


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "cli"])
def test_a_command_asks_the_application_once(module: str) -> None:
    everywhere = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Import | ast.ImportFrom)]
    typing = [
        child
        for node in ast.walk(tree(module))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in node.body
    ]
    deferred = set(everywhere) - set(at_import_time(tree(module))) - set(typing)
    assert len(deferred) <= 1, f"{module} has {len(deferred)} imports inside functions"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_unpickles_or_runs_text(module: str) -> None:
    assert not foreign(imported(module)) & {"click", "pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.load", "torch.save", "np.load", "numpy.load"), (
                f"{module}:{node.lineno}"
            )


def test_what_the_tests_of_screens_share_needs_no_torch() -> None:
    """Where torch is not installed, a folder whose conftest.py needs it would be left out as a whole."""
    shared = ast.parse((ROOT / "tests" / "render" / "conftest.py").read_text("utf-8"))
    names = {node.module for node in at_import_time(shared) if isinstance(node, ast.ImportFrom) and node.module}
    assert own(names)
    assert [name for name in sorted(own(names)) if "torch" in loads(name)] == []


@pytest.mark.parametrize("module", ["minigpt", "minigpt.cli.app", "minigpt.render"])
def test_importing_it_loads_no_heavy_package(module: str) -> None:
    assert module in MODULES
    script = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.split() == []
    assert result.stderr == ""  # nor does it print


def literal(node: ast.expr) -> str:
    """A string as it is written, with {} for what is put in; "" for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def flags_in(source: ast.AST) -> list[str]:
    """The lines of strings that spell a flag, but not those that are typed whole: `minigpt train --resume FOLDER`."""
    found = []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node, clean=False) for node in ast.walk(source) if isinstance(node, documented)]
    inner = [part for node in ast.walk(source) if isinstance(node, ast.JoinedStr) for part in node.values]
    for node in ast.walk(source):
        text = literal(node) if isinstance(node, ast.expr) and node not in inner else ""
        for line in [] if text in docstrings else text.splitlines():
            before_command = re.split(r"\b(?:minigpt|torchrun|python|python3) |Go on with: ", line)[0]
            if re.search(r"(?<![\w-])--[a-z]", before_command):
                found.append(line)
    return found


def test_flags_are_found_in_messages() -> None:
    told = flags_in(ast.parse('f"{x} --top-k {y}"\ndef f():\n    """--x."""\n    return "minigpt train --resume x"'))
    assert told == ["{} --top-k {}"]


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) not in ("cli", "render", "explore")])
def test_only_what_a_terminal_shows_spells_flags(module: str) -> None:
    assert flags_in(tree(module)) == [], "name the setting: named('top_k')"
