"""What lets every interpreter of an environment begin with formers in the place of other packages."""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from formers.dropin import commands
from formers.dropin.claimed import Claimed, described
from formers.dropin.packages import accepted_version, checked_version

PROGRAM = """#!{python}
import sys

from formers.dropin.commands import main

sys.exit(main({name!r}))
"""
STARTUP = Path(__file__).parent / "startup"
PTH, HOOK = "formers_dropin.pth", "_formers_dropin.py"


def install_pth(version: str | None = None, site: Path | None = None) -> list[Path]:
    """Write the files that make `import transformers` mean formers in this environment.

    Beside the hook a `transformers-<version>.dist-info` is written, so that pip takes packages that ask for
    transformers as served; `pip uninstall transformers` removes everything again, as `remove_pth` does. The
    commands of `formers.dropin.commands` are written where there are no others.

    Args:
        version: what is claimed; None as for `formers.dropin.install`.
        site: the site-packages folder; None for this interpreter's.

    Returns:
        The files written.

    Raises:
        FileExistsError: where the real package is installed.
        ValueError: for a version that is none.
    """
    scripts = _scripts(site)
    site = Path(sysconfig.get_path("purelib")) if site is None else Path(site)
    version = checked_version(version) or accepted_version()
    if (site / "transformers").exists():
        raise FileExistsError(
            f"transformers itself is installed in {site}: pip uninstall transformers first, or use "
            "formers.dropin.install() or python -m formers.dropin script.py, which leave it where it is"
        )
    remove_pth(site, scripts)
    folder = site / f"transformers-{version}.dist-info"
    files = {
        site / HOOK: (STARTUP / "hook.txt").read_text(encoding="utf-8"),
        site / PTH: "import _formers_dropin\n",
        folder / "METADATA": described("transformers", version),
        folder / "INSTALLER": "formers\n",
        folder / "top_level.txt": "transformers\n",
    }
    programs = [scripts / name for name in commands.programs()] if os.name != "nt" else []
    files |= {
        path: PROGRAM.format(python=sys.executable, name=path.name) for path in programs if not path.exists()
    }
    record = folder / "RECORD"
    names = [os.path.relpath(path, site).replace(os.sep, "/") for path in [*files, record]]
    files[record] = "".join(f"{name},,\n" for name in names)
    folder.mkdir(parents=True)
    scripts.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        if path in programs:
            path.chmod(0o755)
    return list(files)


def _scripts(site: Path | None) -> Path:
    """Where the commands of an environment lie; of a folder by itself, beside its modules."""
    return Path(sysconfig.get_path("scripts")) if site is None else Path(site) / "bin"


def remove_pth(site: Path | None = None, scripts: Path | None = None) -> list[Path]:
    """Remove what `install_pth` wrote, and nothing else.

    Returns:
        The files removed.
    """
    scripts = _scripts(site) if scripts is None else scripts
    site = Path(sysconfig.get_path("purelib")) if site is None else Path(site)
    compiled = site.glob(f"__pycache__/{Path(HOOK).stem}.*.pyc")
    removed = [path for path in (site / PTH, site / HOOK, *compiled) if path.exists()]
    for folder in site.glob("transformers-*.dist-info"):
        installer = folder / "INSTALLER"
        if installer.exists() and installer.read_text(encoding="utf-8").strip() == "formers":
            removed += sorted(folder.iterdir())
    removed += [path for path in map(scripts.joinpath, commands.programs()) if _is_ours(path)]
    for path in removed:
        path.unlink()
        if path.parent != site and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return removed


def _is_ours(path: Path) -> bool:
    """Whether a command was written here."""
    return path.is_file() and b"formers.dropin.commands" in path.read_bytes()


def status() -> list[str]:
    """How things stand here, a line each."""
    lines = []
    site = Path(sysconfig.get_path("purelib"))
    lines.append(f"{PTH}: {'installed in' if (site / PTH).exists() else 'not in'} {site}")
    for name in ("transformers", "peft", "optimum"):
        found = next((one for one in metadata.distributions(name=name)), None)
        if found is None:
            said = "not installed"
        elif isinstance(found, Claimed) or (found.read_text("INSTALLER") or "").strip() == "formers":
            said = f"formers, as {found.version}"
        else:
            said = f"{found.version}, the package itself"
        lines.append(f"{name}: {said}")
    lines.append(f"version that would be claimed: {checked_version(None) or accepted_version()}")
    return lines


def pass_on(version: str | None, packages: tuple[str, ...] | None) -> None:
    """Let the interpreters that this process starts begin as it did."""
    if version:
        os.environ["FORMERS_DROPIN_VERSION"] = version
    if packages:
        os.environ["FORMERS_DROPIN_PACKAGES"] = ",".join(packages)
    before = [
        one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and one != str(STARTUP)
    ]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(STARTUP), *before])
    sys.path[:] = [one for one in sys.path if one != str(STARTUP)]
