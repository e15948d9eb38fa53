"""Code that checkpoints bring, which is never run: functions that read it, and those that say so."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any, NoReturn

from formers.core.notices import notice

_NEVER = (
    "code that checkpoints bring is never run here: import the class yourself, and make it known with "
    "AutoConfig.register and AutoModel.register, or use a family that formers has"
)


def get_relative_imports(module_file: str | os.PathLike[str]) -> list[str]:
    """The modules beside a Python file that it imports (`from .x import y`), without duplicates."""
    tree = ast.parse(Path(module_file).read_text(encoding="utf-8"))
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found.update(dict.fromkeys([node.module] if node.module else [one.name for one in node.names]))
    return list(found)


def get_relative_import_files(module_file: str | os.PathLike[str]) -> list[str]:
    """The files beside a Python file that it needs, and that those need in turn."""
    folder = Path(module_file).parent
    found: dict[str, None] = {}
    waiting = [Path(module_file)]
    while waiting:
        for name in get_relative_imports(waiting.pop()):
            file = folder / f"{name}.py"
            if str(file) not in found and file != Path(module_file):
                found[str(file)] = None
                waiting.append(file)
    return list(found)


def get_imports(filename: str | os.PathLike[str]) -> list[str]:
    """The packages that a Python file needs: imports that stand in no `try`, without relative ones."""
    found: set[str] = set()

    def read(node: ast.AST) -> None:
        if isinstance(node, ast.Try):
            return
        if isinstance(node, ast.Import):
            found.update(one.name.partition(".")[0] for one in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
        for below in ast.iter_child_nodes(node):
            read(below)

    read(ast.parse(Path(filename).read_text(encoding="utf-8")))
    return sorted(found)


def check_imports(filename: str | os.PathLike[str]) -> list[str]:
    """The files beside a Python file that it needs, once all packages that it needs are found.

    Raises:
        ImportError: naming those that are not installed.
    """
    from formers.core.extras import installed

    missing = [name for name in get_imports(filename) if not installed(name)]
    if missing:
        raise ImportError(f"{filename} needs {', '.join(missing)}: pip install {' '.join(missing)}")
    return get_relative_imports(filename)


def resolve_trust_remote_code(
    trust_remote_code: bool | None,
    model_name: Any,
    has_local_code: bool,
    has_remote_code: bool,
    error_message: str | None = None,
    upstream_repo: str | None = None,
) -> bool:
    """Whether a checkpoint's own code is to be run: never; what is registered here is used instead.

    Raises:
        ValueError: where there is nothing else.
    """
    if has_remote_code and not has_local_code:
        raise ValueError(f"{model_name} brings code of its own, and {_NEVER}")
    if trust_remote_code:
        notice(f"trust_remote_code=True has no effect for {model_name}: no code is loaded from checkpoints")
    return False


def get_class_from_dynamic_module(class_reference: str, *args: Any, **options: Any) -> NoReturn:
    """Refuse to run a checkpoint's code.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{class_reference} is a class that a checkpoint brings, and {_NEVER}")


def get_cached_module_file(name: Any, module_file: str, *args: Any, **options: Any) -> NoReturn:
    """Refuse to fetch a checkpoint's code, which would be run next.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{module_file} is code of {name}, and {_NEVER}")


def get_class_in_module(class_name: str, module_path: Any, **options: Any) -> NoReturn:
    """Refuse to run a checkpoint's code.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{class_name} stands in {module_path}, and {_NEVER}")


def custom_object_save(obj: Any, folder: str | os.PathLike[str], config: Any = None) -> NoReturn:
    """Refuse to save the code of a class beside its weights: it could not be loaded again here.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"the code of {type(obj).__name__} is not saved beside its weights: {_NEVER}")
