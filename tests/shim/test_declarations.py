# SPDX-License-Identifier: BSD-3-Clause
"""What cffi and mypy are told of the C code is what its own headers say."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

import pytest

from tests.processes import LATE_S

ROOT = Path(__file__).resolve().parents[2]
#: The module that says how a compiled module is built, and the compiled module.
MODULES = {
    "bridge.shim.build": "bridge.shim._shim",
    "bridge.bench.native.build": "bridge.bench.native._native",
}
every_module = pytest.mark.parametrize("builder", MODULES)


def build(builder: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that builds; its paths are relative to the root of the tree."""
    monkeypatch.chdir(ROOT)
    return importlib.import_module(builder)


def functions(lib: Any) -> set[str]:
    return {name for name in dir(lib) if isinstance(getattr(lib, name), BuiltinFunctionType)}


def prototypes(declarations: str) -> dict[str, str]:
    """The functions that cffi is told of, each as it stands there."""
    code = re.sub(r"/\*.*?\*/|^#[^\n]*$", "", declarations, flags=re.S | re.M)
    code = re.sub(r"\{[^}]*\}", "", code)
    found = {}
    for statement in code.split(";"):
        name = re.match(r"\s*[\w\s*]*?\b(\w+)\([^()]*\)\s*$", statement)
        if name:
            found[name[1]] = statement.strip() + ";"
    return found


def field_checks(ffi: Any) -> list[str]:
    """An assertion for each field of each struct that cffi was given the fields of."""
    checks = []
    for name in ffi.list_types()[1]:
        struct = ffi.typeof(f"struct {name}")
        try:
            ffi.sizeof(struct)
        except ffi.error:  # without fields: cffi aborts when asked for them
            continue
        for field, declared in struct.fields:
            kind = ffi.getctype(declared.type).replace("_Bool", "bool")
            if declared.type.kind == "array":  # cffi takes the length of these from C
                continue
            # cffi forgets the const of what a pointer points at.
            fits = " || ".join(
                f"__builtin_types_compatible_p(__typeof__(((struct {name} *)0)->{field}), {each})"
                for each in (kind, f"const {kind}")
            )
            checks.append(f'_Static_assert({fits}, "struct {name}: {field} is no {kind}");')
    return checks


def compiled(headers: str, include_dirs: list[str], checks: list[str]) -> str:
    """What the compiler finds wrong with `checks` behind the headers."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler is installed")
    done = subprocess.run(
        [compiler, "-std=gnu11", "-Werror"]
        + [f"-I{ROOT / folder}" for folder in include_dirs]
        + ["-fsyntax-only", "-xc", "-"],
        input="\n".join([headers, *checks]),
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    return done.stderr


def parameters(prototype: str) -> list[str]:
    """The names of a function's parameters."""
    inside = prototype[prototype.index("(") + 1 : prototype.rindex(")")]
    return [] if inside.strip() == "void" else re.findall(r"(\w+)(?:\[\w*\])?\s*(?:,|$)", inside)


def python_type(ctype: Any) -> str:
    """What stands in the .pyi for a C type; text and buffers may be given as bytes."""
    if ctype.kind == "void":
        return "None"
    if ctype.kind == "pointer":
        return "CData"
    return "bool" if ctype.cname == "_Bool" else "int"


def typed(path: Path) -> dict[str, ast.FunctionDef]:
    """The methods of class _Lib."""
    [lib] = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "_Lib"
    ]
    return {
        node.name: node
        for node in lib.body
        if isinstance(node, ast.FunctionDef) and node.name != "__getattr__"
    }


@every_module
def test_every_function_is_declared_as_in_its_header(
    builder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = build(builder, monkeypatch)
    declared = prototypes(how.DECLARATIONS)
    assert declared.keys() == functions(importlib.import_module(MODULES[builder]).lib)
    assert not compiled(how.HEADERS, how.INCLUDE_DIRS, list(declared.values()))


@every_module
def test_every_field_has_the_type_of_its_header(
    builder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = build(builder, monkeypatch)
    checks = field_checks(importlib.import_module(MODULES[builder]).ffi)
    assert not compiled(how.HEADERS, how.INCLUDE_DIRS, checks)


def test_a_declaration_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    how = build("bridge.shim.build", monkeypatch)
    wrong = {
        "int gb_pump_report_fd(struct gb_pump *pump);": "gb_pump_report_fd",
        "_Static_assert(__builtin_types_compatible_p("
        '__typeof__(((struct gb_report *)0)->kind), int32_t), "kind");': "kind",
    }
    for check, name in wrong.items():
        assert name in compiled(how.HEADERS, how.INCLUDE_DIRS, [check])


@every_module
def test_types_for_python_are_those_of_c(builder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(MODULES[builder])
    declared = prototypes(build(builder, monkeypatch).DECLARATIONS)
    methods = typed(ROOT / (MODULES[builder].replace(".", "/") + ".pyi"))
    assert methods.keys() == declared.keys()
    for name, method in methods.items():
        c = module.ffi.typeof(getattr(module.lib, name))
        arguments = method.args.args[1:]
        assert [argument.arg for argument in arguments] == parameters(declared[name]), name
        for argument, ctype in zip(arguments, c.args, strict=True):
            assert argument.annotation is not None
            given = ast.unparse(argument.annotation)
            allowed = {python_type(ctype)}
            if ctype.kind == "pointer":
                allowed |= {"CData | bytes", "bytes"}
            assert given in allowed, f"{name}({argument.arg}): {given} for {ctype.cname}"
        assert method.returns is not None
        assert ast.unparse(method.returns) == python_type(c.result), name


@every_module
def test_python_uses_only_names_that_exist(builder: str) -> None:
    lib = importlib.import_module(MODULES[builder]).lib
    native = "native" in builder
    used = set()
    for path in (ROOT / "bridge").rglob("*.py"):
        module = ""
        # A file may import both, each where it is needed: a name is of the import above it.
        for imported, name in re.findall(
            r"^ *from (\S+) import .*\blib\b|(?<![\w.])lib\.([A-Za-z]\w+)",
            path.read_text(),
            re.MULTILINE,
        ):
            module = imported or module
            if name and module.endswith("_native") == native:
                used.add(name)
    assert used
    assert used <= set(dir(lib))
