"""Which declared fields of requests the code reads, found in its source.

The type of a value is what annotations say: of parameters, of `self`, of fields, of what is assigned, and of the items
of lists in loops. A field of a struct is read where `.field` is taken of a value of the struct, of a base of it or of a
protocol that it fits, or where the whole struct goes to what takes all its fields. What a property reads counts where
the property is read.
"""

import ast
import functools
import gc
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

import watchword

SOURCE = Path(watchword.__file__).parent
_WHOLE = {"asdict", "astuple", "to_builtins"}
_SAME = {"enumerate", "list", "tuple", "sorted", "reversed", "zip", "replace"}  # give back what they are given
Field = tuple[str, str]  # class name ("module:name") and field


def structs_in(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type is made of."""
    waiting, seen = [kind], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        waiting += get_args(one)
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            yield one
            waiting += [field.type for field in msgspec.structs.fields(one)]


def key_of(struct: type) -> str:
    """The name of a class among those of the source."""
    return f"{struct.__module__}:{struct.__name__}"


class Source:
    """All classes of the source, and what is read of their fields."""

    def __init__(self) -> None:
        self.fields: dict[str, dict[str, tuple[str, ast.AST | None]]] = {}  # of a class: name -> module, annotation
        self.bases: dict[str, list[str]] = {}
        self.named: dict[str, list[str]] = defaultdict(list)  # short name -> classes
        self.aliases: dict[str, dict[str, ast.AST]] = defaultdict(dict)  # module -> name -> what it stands for
        self.reads: dict[str, set[str]] = defaultdict(set)
        self.inside: dict[Field, set[str]] = defaultdict(set)  # what a property or method reads of its own class
        trees = {}
        for path in sorted(SOURCE.rglob("*.py")):
            if path.relative_to(SOURCE).parts[0] in ("http", "services", "methods", "domain"):
                module = ".".join(("watchword", *path.relative_to(SOURCE).with_suffix("").parts))
                trees[module.removesuffix(".__init__")] = ast.parse(path.read_text())
        for module, tree in trees.items():
            self._declare(module, tree)
        for module, tree in trees.items():
            if module.split(".")[1] in ("http", "services", "methods"):
                _Reader(self, module).read(tree)

    def _declare(self, module: str, tree: ast.Module) -> None:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.aliases[module][node.targets[0].id] = node.value
            if isinstance(node, ast.ClassDef):
                key = f"{module}:{node.name}"
                self.named[node.name].append(key)
                self.bases[key] = [_last(base) for base in node.bases]
                self.fields[key] = dict[str, tuple[str, ast.AST | None]]()
                self.fields[key] |= {
                    item.target.id: (module, item.annotation)
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                }
                self.fields[key] |= {
                    item.name: (module, item.returns)
                    for item in node.body
                    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
                }

    def classes(self, name: str, module: str) -> list[str]:
        """The classes that a name may mean in a module: its own one, or any."""
        own = f"{module}:{name}"
        return [own] if own in self.fields else self.named.get(name, [])

    def line(self, key: str) -> list[str]:
        """A class and all that it is made from."""
        found = [key]
        for base in self.bases.get(key, ()):
            for one in self.classes(base, key.partition(":")[0]):
                found += self.line(one)
        return found

    def kinds(self, annotation: ast.AST | None, module: str) -> set[str]:
        """The classes that an annotation names."""
        found: set[str] = set()
        waiting = [annotation] if annotation is not None else []
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Name):
                if node.id in self.aliases[module]:
                    waiting.append(self.aliases[module][node.id])
                elif node.id in self.named:
                    found.update(self.classes(node.id, module))
            elif isinstance(node, ast.Attribute):
                found.update(self.named.get(node.attr, ()))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(self.classes(node.value.rpartition(".")[2], module))
            elif isinstance(node, ast.Subscript | ast.Tuple | ast.List | ast.BinOp | ast.Call):
                waiting += ast.iter_child_nodes(node)
        return found

    def field(self, key: str, name: str) -> set[str]:
        """The classes that a field of a class may hold."""
        return _field(self, key, name)

    def protocols(self, key: str) -> list[str]:
        """The protocols that a class fits."""
        have = {name for one in self.line(key) for name in self.fields[one]}
        return [
            other
            for other, bases in self.bases.items()
            if "Protocol" in bases and self.fields[other] and self.fields[other].keys() <= have
        ]

    def read_of(self, *keys: str) -> set[str]:
        """The fields that are read of the classes, or of what they are made from, or fit."""
        line = [one for key in keys for one in self.line(key)]
        found = {name for one in (*line, *(p for key in keys for p in self.protocols(key))) for name in self.reads[one]}
        while more := {inner for one in line for name in found for inner in self.inside[one, name]} - found:
            found |= more
        return found


@functools.cache
def _field(source: Source, key: str, name: str) -> set[str]:
    for one in source.line(key):
        if name in source.fields[one]:
            module, annotation = source.fields[one][name]
            return source.kinds(annotation, module)
    return set()


def _last(node: ast.AST) -> str:
    """The last part of a name."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


class _Reader:
    """Reads one module."""

    def __init__(self, source: Source, module: str) -> None:
        self.source = source
        self.module = module
        self.scopes: list[dict[str, set[str]]] = [{}]
        self.own: Field | None = None  # the class and method that is being read

    def kinds_of(self, node: ast.AST) -> set[str]:
        """The classes that an expression, or the items of it, may be of."""
        match node:
            case ast.Name(id=name):
                return next((scope[name] for scope in reversed(self.scopes) if name in scope), set())
            case ast.Attribute(value=value, attr=attr):
                return {kind for one in self.kinds_of(value) for kind in self.source.field(one, attr)}
            case ast.Subscript(value=value) | ast.Starred(value=value) | ast.Await(value=value):
                return self.kinds_of(value)
            case ast.BoolOp(values=values):
                return {kind for value in values for kind in self.kinds_of(value)}
            case ast.IfExp(body=body, orelse=orelse):
                return self.kinds_of(body) | self.kinds_of(orelse)
            case ast.Call(func=func, args=args):
                if _last(func) in _SAME:
                    return {kind for value in args for kind in self.kinds_of(value)}
                return set(self.source.classes(_last(func), self.module))
        return set()

    def bind(self, target: ast.AST, kinds: set[str]) -> None:
        """Say what the names in a target hold."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and kinds:
                self.scopes[-1][node.id] = self.scopes[-1].get(node.id, set()) | kinds

    def note(self, value: ast.AST, name: str | None) -> None:
        """Note that a field of a value is read, or with None all fields."""
        for kind in self.kinds_of(value):
            names = [name] if name else [n for one in self.source.line(kind) for n in self.source.fields[one]]
            if self.own is not None and isinstance(value, ast.Name) and value.id == "self":
                self.source.inside[self.own].update(names)
            else:
                self.source.reads[kind].update(names)

    def read(self, node: ast.AST) -> None:
        """Read a node and all below it."""
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    before, self.own = self.own, (f"{self.module}:{node.name}", item.name)
                    self._function(item)
                    self.own = before
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._function(node)
            return
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self.bind(target, self.kinds_of(value))
            case ast.AnnAssign(target=ast.Name() as target, annotation=annotation):
                self.bind(target, self.source.kinds(annotation, self.module))
            case ast.NamedExpr(target=target, value=value):
                self.bind(target, self.kinds_of(value))
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                self.bind(target, self.kinds_of(value))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                for one in node.generators:
                    self.bind(one.target, self.kinds_of(one.iter))
            case ast.Attribute(value=value, attr=attr, ctx=ast.Load()):
                self.note(value, attr)
            case ast.Call(func=func, args=[value, *rest]):
                if _last(func) in _WHOLE:
                    self.note(value, None)
                elif _last(func) == "getattr" and isinstance(rest[0], ast.Constant):
                    self.note(value, str(rest[0].value))
        for child in ast.iter_child_nodes(node):
            self.read(child)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        scope = {one.arg: self.source.kinds(one.annotation, self.module) for one in arguments}
        if self.own is not None and arguments and arguments[0].arg == "self":
            scope["self"] = {self.own[0]}
        self.scopes.append(scope)
        for child in node.body:
            self.read(child)
        self.scopes.pop()


@functools.cache
def source() -> Source:
    """The source, read once."""
    gc.disable()  # nothing of what is made here is garbage, and looking for some takes half of the time
    try:
        return Source()
    finally:
        gc.enable()
