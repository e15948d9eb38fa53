"""Configs of models that can be another's backbone: which stages give maps to it."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.configs.base import PretrainedConfig


def refuse_named(kind: type[Any], values: dict[str, Any]) -> None:
    """Refuse a backbone that is named, and not described.

    Raises:
        ValueError: for one.
    """
    if values.get("backbone") is not None:
        raise ValueError(
            f"{kind.__name__}: the backbone {values['backbone']!r} is named, which may mean a network of "
            f"another library; describe it in backbone_config, a config of a family that gives maps"
        )


class BackboneConfig(PretrainedConfig):
    """A config with stages: `stem`, and `stage1`, .. for every number of `depths`, or every layer.

    `out_features` names the stages whose maps a backbone returns, `out_indices` their numbers; each follows
    from the other, and the last stage from neither.

    Raises:
        ValueError: for stages that are not there, twice or not in their order, or do not agree.
    """

    _stages: ClassVar[tuple[str, str]] = (
        "stem",
        "stage",
    )  # what comes first, and how the others' names begin
    stage_names: list[str] | None = None
    out_features: list[str] | None = None
    out_indices: list[int] | None = None

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("stage_names", None)  # they follow from the stages
        named, numbered = kwargs.pop("out_features", None), kwargs.pop("out_indices", None)
        super().__init__(**kwargs)
        first, rest = self._stages
        self.__dict__["stage_names"] = [first, *(f"{rest}{i}" for i in range(1, self._count() + 1))]
        self._settle(named, numbered)

    def _count(self) -> int:
        """Stages after the first."""
        depths = self.__dict__.get("depths")
        return self.__dict__["num_hidden_layers"] if depths is None else len(depths)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("out_features", "out_indices") and self.__dict__.get("stage_names"):
            self._settle(*((value, None) if name == "out_features" else (None, value)))
        else:
            super().__setattr__(name, value)

    def _settle(self, named: Any, numbered: Any) -> None:
        """Set both fields from one of them, or both."""
        stages: list[str] = self.__dict__["stage_names"]
        for field, value in (("out_features", named), ("out_indices", numbered)):
            if value is not None and not isinstance(value, (list, tuple)):
                raise ValueError(f"{field} is a list of stages, not {value!r}")
        if named is None:
            numbers = [len(stages) - 1] if numbered is None else list(numbered)
            if not all(-len(stages) <= number < len(stages) for number in numbers):
                raise ValueError(f"out_indices={numbers} are not all among the {len(stages)} stages {stages}")
            named = [stages[number] for number in numbers]
        else:
            named = list(named)
            if not set(named) <= set(stages):
                raise ValueError(f"out_features={named} are not all among the stages {stages}")
            numbers = [stages.index(name) for name in named] if numbered is None else list(numbered)
            if [stages[i] for i in numbers if -len(stages) <= i < len(stages)] != named:
                raise ValueError(f"out_features={named} and out_indices={numbers} name different stages")
        if named != [stage for stage in stages if stage in named]:
            raise ValueError(f"stages of a backbone are named once, in the order {stages}, not {named}")
        self.__dict__["out_features"], self.__dict__["out_indices"] = named, numbers


BackboneConfigMixin = BackboneConfig  # as the ecosystem calls it
