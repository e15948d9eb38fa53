"""Which tensor of the files becomes which of the model: settled before a value is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from formers.checkpoints.files import TensorFiles
from formers.checkpoints.renames import Rename, candidates
from formers.checkpoints.report import LoadReport


@dataclass
class Plan:
    """What becomes of every tensor of the files, and of the model.

    Attributes:
        files: the files.
        wanted: the model's parameters and buffers, as they were made.
        ties: name of the model -> the name whose parameter it shares.
        report: what is missing, new, unexpected, ...
        wide: names of the model that are float32 whatever dtype is asked for.
        stored: those that keep the dtype of the files.
        chosen: name of the model -> name in the files.
        donors: a tied name without a tensor of its own -> the name whose parameter it gets.
    """

    files: TensorFiles
    wanted: dict[str, Tensor]
    ties: dict[str, str]
    report: LoadReport
    wide: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    chosen: dict[str, str] = field(default_factory=dict)
    donors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        files: TensorFiles,
        renames: Sequence[Rename],
        ignored: Iterable[str],
        ties: Mapping[str, str],
        prefix: str,
    ) -> Plan:
        """Find a place in the model for every name in the files; exact names first."""
        held = model.state_dict(keep_vars=True)
        wanted = {name: value for name, value in held.items() if isinstance(value, Tensor)}
        report = LoadReport(files=files.paths, fingerprint=files.fingerprint())
        wide = {
            f"{path}.{leaf}".lstrip(".")
            for path, module in model.named_modules()
            for leaf in getattr(module, "_keep_float32", ())
        }
        stored = {
            f"{path}.{leaf}"
            for path, module in model.named_modules()
            if getattr(module, "keeps_stored", False)
            for leaf in module.state_dict()
            if leaf != "bias"
        }
        plan = cls(files, wanted, _with_shared(wanted, ties), report, wide, stored)
        useless = [re.compile(pattern) for pattern in ignored]
        names = files.names()
        spare: list[str] = []
        for name in sorted(names, key=lambda name: name not in wanted):
            options = [name] if name in wanted else candidates(name, renames, prefix)
            place = next((o for o in options if o in wanted and o not in plan.chosen), None)
            if place is not None:
                plan.chosen[place] = name
                if place != name:
                    report.renamed[place] = name
            elif any(pattern.search(name) for pattern in useless):
                report.ignored.append(name)
            else:
                spare.append(name)
        # another head's weights are nobody's business, those of the trunk are
        prefixed = bool(prefix) and any(name.startswith(f"{prefix}.") for name in names)
        for name in spare:
            inside = (
                name.startswith(f"{prefix}.") if prefixed else not prefix or _of_trunk(name, wanted, prefix)
            )
            (report.unexpected if inside else report.other_heads).append(name)
        return plan

    def sort_out(self, may_be_new: Callable[[str], bool]) -> None:
        """Decide what is new, what keeps its constructor's value, what is missing or misshapen."""
        report = self.report
        nothing_fits = bool(self.files.names()) and not self.chosen
        for name in [name for name in self.wanted if name in self.chosen]:
            found, expected = self.files.shape(self.chosen[name]), tuple(self.wanted[name].shape)
            if found != expected and {found, expected} != {(), (1,)}:
                report.mismatched.append((name, found, expected))
                del self.chosen[name]
        for source, targets in self.groups().items():
            held = [name for name in (source, *targets) if name in self.chosen]
            giver = held[0] if held else source
            self.donors |= {n: giver for n in (source, *targets) if n != giver and n not in self.chosen}
        settled = {*self.chosen, *self.donors, *(name for name, _, _ in report.mismatched)}
        for name, value in self.wanted.items():
            if name in settled:
                continue
            made = not value.is_meta and not nothing_fits  # by the constructor of a class of one's own
            if made and not isinstance(value, nn.Parameter):
                report.kept.append(name)
            else:
                (report.new if made or may_be_new(name) else report.missing).append(name)

    def groups(self) -> dict[str, list[str]]:
        """The ties as groups: the shared name, and the names that share it."""
        groups: dict[str, list[str]] = {}
        for target, source in self.ties.items():
            while source in self.ties and self.ties[source] != target:
                source = self.ties[source]
            groups.setdefault(source, []).append(target)
        return groups

    def steps(self) -> list[tuple[str, str]]:
        """(name in the files, name of the model) in the order in which the values lie in the files."""
        return sorted(
            ((source, name) for name, source in self.chosen.items()), key=lambda s: self.files.place(s[0])
        )

    def dtype(self, name: str, floating: torch.dtype | None) -> torch.dtype:
        """The dtype of a parameter that the files lack, where the others are `floating`."""
        like = self.wanted[name]
        if name in self.wide:
            return torch.float32
        return floating if floating is not None and like.is_floating_point() else like.dtype

    def floating(self) -> dict[torch.dtype, int]:
        """The floating dtypes of what is read, with their numbers of values; without `wide` and `stored`."""
        counts: dict[torch.dtype, int] = {}
        for name, source in self.chosen.items():
            if (kind := self.files.dtype(source)).is_floating_point and name not in self.wide | self.stored:
                counts[kind] = counts.get(kind, 0) + self.wanted[name].numel()
        return counts


def _with_shared(wanted: Mapping[str, Tensor], ties: Mapping[str, str]) -> dict[str, str]:
    """The declared ties, and those that a constructor made by giving one parameter two names."""
    found = {target: source for target, source in ties.items() if target in wanted and source in wanted}
    declared = {*found, *found.values()}
    first: dict[int, str] = {}
    for name, value in wanted.items():
        if (source := first.setdefault(id(value), name)) != name and not {name, source} & declared:
            found[name] = source
    return found


def _of_trunk(name: str, wanted: Mapping[str, Tensor], prefix: str) -> bool:
    """Whether a name without the prefix begins like a part of the base model."""
    first = name.split(".")[0]
    return any(other.startswith((f"{prefix}.{first}.", f"{first}.")) for other in wanted)
