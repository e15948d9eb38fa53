"""The image of the server: its files hold together, as far as that can be read from them."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import yaml

from formers.cli.serve import serve
from formers.serving.rollout.front import OWN

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "examples" / "rollout"
KNOWN = {
    "FROM",
    "RUN",
    "WORKDIR",
    "COPY",
    "ARG",
    "USER",
    "ENV",
    "VOLUME",
    "EXPOSE",
    "STOPSIGNAL",
    "HEALTHCHECK",
}


def instructions() -> list[tuple[str, str]]:
    """(instruction, what it says) in order, with lines that go on joined."""
    lines = [line for line in (HOME / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line]  # type: ignore[misc]


def test_the_image_holds_code_and_volumes_hold_the_weights() -> None:
    said = instructions()
    names = [name for name, _ in said]
    assert {*names} <= {*KNOWN, "ENTRYPOINT", "CMD"}
    assert names[0] == "FROM"
    assert names.index("USER") < names.index("CMD")
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for name, text in said:
        if name == "COPY":
            for source in text.split()[:-1]:
                assert (ROOT / source.removeprefix("./")).exists()
                assert f"!{source}" in allowed
    volumes = json.loads(dict(said)["VOLUME"])
    command = json.loads(dict(said)["CMD"])
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(serve).parameters}
    assert (command[0], command[1]) == ("serve", volumes[0])
    assert {one for one in command if one.startswith("--")} <= options
    assert command[command.index("--queue") + 1].startswith(f"{volumes[1]}/")
    path = re.search(r"127\.0\.0\.1:8000(/[a-z/]+)", dict(said)["HEALTHCHECK"])
    assert path is not None
    assert path[1] in OWN


def test_the_services_share_the_registry() -> None:
    told = yaml.safe_load((HOME / "compose.yaml").read_text())
    for service in told["services"].values():
        built = (HOME / service["build"]["context"]).resolve()
        assert (built / service["build"]["dockerfile"]) == HOME / "Dockerfile"
        assert "models:/registry" in service["volumes"]
        assert {one.split(":")[0] for one in service["volumes"]} <= {*told["volumes"]}
