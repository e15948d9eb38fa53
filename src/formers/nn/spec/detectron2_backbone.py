"""What Detectron2 builds of its settings to look at pictures: a ResNet or ResNeXt below a pyramid of maps.

He et al. 2015, arXiv:1512.03385; Xie et al. 2016, arXiv:1611.05431; Lin et al. 2016, arXiv:1612.03144. Files
have the package's names; the package itself is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from formers.core.notices import did_you_mean
from formers.nn.spec import multi_scale, nets

# what the backbone is built of: setting of Detectron2 -> its own default, and what else there is of it here
_ANY: tuple[Any, ...] = ()
SETTINGS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "META_ARCHITECTURE": ("GeneralizedRCNN", ("GeneralizedRCNN",)),
    "PIXEL_MEAN": ([103.53, 116.28, 123.675], _ANY),
    "PIXEL_STD": ([1.0, 1.0, 1.0], _ANY),
    "BACKBONE.NAME": ("build_resnet_backbone", ("build_resnet_fpn_backbone",)),
    "BACKBONE.FREEZE_AT": (2, (0, 1, 2, 3, 4, 5)),
    "FPN.IN_FEATURES": ([], _ANY),
    "FPN.OUT_CHANNELS": (256, _ANY),
    "FPN.NORM": ("", ("",)),
    "FPN.FUSE_TYPE": ("sum", ("sum", "avg")),
    "RESNETS.DEPTH": (50, (18, 34, 50, 101, 152)),
    "RESNETS.OUT_FEATURES": (["res4"], _ANY),
    "RESNETS.NUM_GROUPS": (1, _ANY),
    "RESNETS.NORM": ("FrozenBN", ("FrozenBN",)),
    "RESNETS.WIDTH_PER_GROUP": (64, _ANY),
    "RESNETS.STRIDE_IN_1X1": (True, (True, False)),
    "RESNETS.RES5_DILATION": (1, (1,)),
    "RESNETS.RES2_OUT_CHANNELS": (256, _ANY),
    "RESNETS.STEM_OUT_CHANNELS": (64, _ANY),
    "RESNETS.DEFORM_ON_PER_STAGE": ([False] * 4, ([False] * 4,)),
    "RESNETS.DEFORM_MODULATED": (False, _ANY),
    "RESNETS.DEFORM_NUM_GROUPS": (1, _ANY),
    # which Detectron2 itself does not know; configs have them
    "RESNETS.SIZES": (None, _ANY),
    "RESNETS.ASPECT_RATIOS": (None, _ANY),
}
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STAGES = ("res2", "res3", "res4", "res5")
RELU = multi_scale.Bare("relu")


class Settings(dict[str, Any]):
    """All settings of a backbone, by their names behind `MODEL.`."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Those that are given, and defaults for the others.

        Raises:
            ValueError: for a backbone that is not built here: names the setting, and what it may be.
        """
        found = {name.removeprefix("MODEL."): value for name, value in given.items()}
        for name in found:
            known = name in SETTINGS or not name.startswith(
                ("BACKBONE.", "FPN.", "RESNETS.", "PIXEL_", "META_")
            )
            if not known:  # those of detectors build no backbone
                near = did_you_mean(f"MODEL.{name}", [f"MODEL.{one}" for one in SETTINGS])
                raise ValueError(f"detectron2_config_args has no setting 'MODEL.{name}'{near}")
        made = cls({name: found.get(name, default) for name, (default, _) in SETTINGS.items()})
        for name, (_, able) in SETTINGS.items():
            if able and made[name] not in able:
                raise ValueError(
                    f"detectron2_config_args says MODEL.{name} = {made[name]!r}; the backbone is built of "
                    f"{' or '.join(map(repr, able))}"
                )
        made._check()
        return made

    def _check(self) -> None:
        """Refuse what does not go together."""
        read, made = (list(self[f"{part}_FEATURES"]) for part in ("FPN.IN", "RESNETS.OUT"))
        if not read or read != made or read != list(STAGES[: len(read)]):
            raise ValueError(
                f"MODEL.FPN.IN_FEATURES {read} and MODEL.RESNETS.OUT_FEATURES {made} must be the same "
                f"stages, from the first on, of {list(STAGES)}"
            )
        small = self["RESNETS.DEPTH"] < 50
        if small and (self["RESNETS.RES2_OUT_CHANNELS"], self["RESNETS.NUM_GROUPS"]) != (64, 1):
            raise ValueError(
                "a MODEL.RESNETS.DEPTH of 18 or 34 goes with MODEL.RESNETS.RES2_OUT_CHANNELS = 64 and "
                "MODEL.RESNETS.NUM_GROUPS = 1"
            )

    @property
    def stages(self) -> tuple[str, ...]:
        """Those that there are."""
        return STAGES[: len(self["FPN.IN_FEATURES"])]

    @property
    def stride(self) -> int:
        """How much smaller than pictures the last map is."""
        return int(2 ** (1 + len(self.stages)))


def conv(read: int, made: int, kernel: int, stride: int, groups: int, trained: bool) -> nets.NormedConv:
    """A convolution with a norm of its own."""
    return nets.NormedConv(nets.Conv(read, made, kernel, stride, groups), trained)


def block(c: Settings, number: int, read: int, made: int, stride: int, trained: bool) -> nets.Node:
    """Two convolutions or, in deep networks, three of which the middle one has groups; and a shortcut."""
    if c["RESNETS.DEPTH"] < 50:
        layers = [(read, made, 3, stride, 1), (made, made, 3, 1, 1)]
    else:
        groups, early = c["RESNETS.NUM_GROUPS"], c["RESNETS.STRIDE_IN_1X1"]
        inner = groups * c["RESNETS.WIDTH_PER_GROUP"] * 2**number
        first, second = (stride, 1) if early else (1, stride)
        layers = [(read, inner, 1, first, 1), (inner, inner, 3, second, groups), (inner, made, 1, 1, 1)]
    convs = {f"conv{i}": conv(*one, trained) for i, one in enumerate(layers, 1)}
    run = [step for name in convs for step in (name, RELU)][:-1]
    if read == made:
        return nets.Node(convs, (nets.BEGIN, *run, nets.SUM, RELU))
    shortcut = {"shortcut": conv(read, made, 1, stride, 1, trained)}
    return nets.Node({**shortcut, **convs}, (nets.BEGIN, *run, nets.Plus("shortcut"), RELU))


def bottom_up(c: Settings) -> nets.Node:
    """The stages, whose results are several maps; the first of them may be left out of training."""
    frozen, width = c["BACKBONE.FREEZE_AT"], c["RESNETS.STEM_OUT_CHANNELS"]
    channels, wide = len(c["PIXEL_MEAN"]), c["RESNETS.RES2_OUT_CHANNELS"]
    first = {"conv1": conv(channels, width, 7, 2, 1, frozen < 1), "pool": nets.Pool("largest", 3, 2, 1)}
    parts: dict[str, Any] = {"stem": nets.Node(first, ("conv1", RELU, "pool"))}
    for i, (name, depth) in enumerate(zip(c.stages, BLOCKS[c["RESNETS.DEPTH"]], strict=False)):
        made, trained = wide * 2**i, frozen < i + 2
        blocks = [
            block(c, i, made if j else width, made, 1 if j or not i else 2, trained) for j in range(depth)
        ]
        parts[name], width = nets.row(*blocks), made
    kept = [step for name in c.stages for step in (name, nets.BEGIN)][:-1]
    return nets.Node(parts, ("stem", *kept, multi_scale.Collected(len(c.stages) - 1)))


def pyramid(c: Settings) -> nets.Node:
    """From the last map to the first, each is added, twice as large, to the one before; the first is read."""
    wide, below = c["FPN.OUT_CHANNELS"], c["RESNETS.RES2_OUT_CHANNELS"]
    count, parts = len(c.stages), dict[str, Any]()
    for i in range(count):
        parts[f"fpn_lateral{i + 2}"] = nets.Conv(below * 2**i, wide, bias=True)
        parts[f"fpn_output{i + 2}"] = nets.Conv(wide, wide, 3, bias=True)
    mean = (multi_scale.Times(0.5),) if c["FPN.FUSE_TYPE"] == "avg" else ()
    run: list[nets.Run] = ["bottom_up", multi_scale.Released(), f"fpn_lateral{count + 1}"]
    for i in reversed(range(2, count + 1)):
        unread, raised = multi_scale.Unread(f"fpn_output{i + 1}"), multi_scale.Repeated()
        run += [unread, raised, nets.Plus(f"fpn_lateral{i}"), *mean]
    return nets.Node({**parts, "bottom_up": bottom_up(c)}, (*run, "fpn_output2"))


def pooled(c: Settings, shape: Sequence[int]) -> nets.Node:
    """Pixels to rows of the pooled map, of the `shape` down, across and (where it is said) channels.

    Raises:
        ValueError: where settings contradict each other.
    """
    down, across, *width = shape
    if width not in ([], [c["FPN.OUT_CHANNELS"]]):
        raise ValueError(
            f"image_feature_pool_shape says maps of {width[0]} channels, but MODEL.FPN.OUT_CHANNELS is "
            f"{c['FPN.OUT_CHANNELS']}"
        )
    mean, deviation = (tuple(c[f"PIXEL_{one}"]) for one in ("MEAN", "STD"))
    if len(mean) != len(deviation):
        raise ValueError(f"MODEL.PIXEL_MEAN {mean} and MODEL.PIXEL_STD {deviation} differ in their channels")
    parts = {"backbone": pyramid(c), "pool": nets.Pool(to=(down, across))}
    return nets.Node(parts, (multi_scale.Standardised(mean, deviation), *parts, nets.PLACES))
