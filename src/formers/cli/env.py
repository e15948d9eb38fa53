"""`formers env`: the versions and the hardware that results depend on."""

from __future__ import annotations

from formers.cli import choices


def env(
    as_json: choices.AsJson = False,
) -> None:
    """Show versions and hardware, as a report of a defect or a model card needs them."""
    from formers.core.environment import environment

    found = environment()
    if as_json:
        choices.as_json(found)
        return
    from formers.cli.show import table

    hardware = found["hardware"]
    rows = [("python", found["python"]), ("platform", found["platform"])]
    rows += [(name, number or "not installed") for name, number in found["packages"].items()]
    rows += [
        ("cpu", f"{hardware['cpu']}, {hardware['cores']} cores"),
        ("memory", f"{hardware['memory_gib']} GiB"),
    ]
    rows += [("accelerator", text) for text in found["accelerators"]] or [("accelerator", "none")]
    table([("", "left"), ("", "left")], rows)
