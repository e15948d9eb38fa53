"""What every test runs under: one thread, no network but loopback, its own Hub cache, fresh notices."""

from __future__ import annotations

import atexit
import gc
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Neither a busy machine nor a draw must decide an outcome: the same examples every time.
# To look for new ones: pytest --hypothesis-profile=search
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("formers", settings.get_profile("search"), derandomize=True)
settings.load_profile("formers")

# Settings of the person who runs the tests must not decide their outcome. This happens while the
# conftest is imported, before torch and huggingface_hub read their environment.
for _name in list(os.environ):
    if _name.startswith(("HF_", "TRANSFORMERS_", "HUGGING_FACE_", "HUGGINGFACE_", "FORMERS_")):
        del os.environ[_name]
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Without bytecode every interpreter that a test starts compiles torch anew, which takes longer than the test.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Collecting makes much that stays, which the garbage collector would go through again and again.
gc.disable()
_home = tempfile.mkdtemp(prefix="formers-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["HF_HOME"] = _home
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Then collect garbage again, but not what was made so far: modules and tests, which stay."""
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


class NetworkTouched(AssertionError):
    """A test reached for a machine other than this one."""


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _guarded(method):
    def call(self, address, *rest):
        if self.family != getattr(socket, "AF_UNIX", None) and not _is_loopback(str(address[0])):
            raise NetworkTouched(f"a test tried to connect to {address!r}; only loopback is allowed")
        return method(self, address, *rest)

    return call


def _guarded_lookup(lookup):
    def call(host, *rest, **keywords):
        name = host.decode() if isinstance(host, bytes) else host
        own = (None, "0.0.0.0", "::", socket.gethostname())
        if name not in own and not _is_loopback(name):
            raise NetworkTouched(f"a test tried to look up {name!r}; only loopback is allowed")
        return lookup(host, *rest, **keywords)

    return call


@pytest.fixture(autouse=True, scope="session")
def only_loopback():
    """Refuse every connection and name look-up that would leave this machine."""
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
    patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
    patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def fresh_notices():
    """Each notice comes once per process; here a process runs many tests, so start each one afresh."""
    from formers.core.notices import forget_notices

    forget_notices()
    yield
    forget_notices()
