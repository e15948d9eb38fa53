"""A text model whose embeddings show pictures in crops and let sounds be heard: Phi-4-multimodal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from formers.assemblies.base import BaseModel, assembly_of, states_of
from formers.assemblies.multimodal.image_text import InPlace, placed_at, shown_by
from formers.assemblies.single import Single
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant, begins
from formers.nn.leaves import linear
from formers.nn.stems.sized_patches import SIZES, sizes_in
from formers.nn.stems.tokens import check_ids, look_up
from formers.nn.tiling import Canvas, useful_lines
from formers.nn.tree import hold
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_PIXELS, _PATCHES = "image_pixel_values", "image_attention_mask"
_SOUNDS, _FILLS, _REAL = "audio_input_features", "audio_embed_sizes", "audio_attention_mask"
_MODE = "audio_projection_mode"
MODES = ("speech", "vision")


@dataclass(frozen=True)
class Pictures:
    """How texts show pictures.

    Attributes:
        field: of the config that describes the image model.
        token: id of the places that they take.
        crop: pixels along a side of a crop.
        edge: patches along it.
        layer: which of the image model's hidden states are read.
    """

    field: str
    token: int
    crop: int
    edge: int
    layer: int

    @property
    def half(self) -> int:
        """Vectors along a side of a crop: one for each square of two patches."""
        return -(-self.edge // 2)


@dataclass(frozen=True)
class Sounds:
    """How sounds are heard in texts.

    Attributes:
        field: of the config that describes the model of sounds.
        token: id of the places that they take.
    """

    field: str
    token: int


class PictureEmbedding(nn.Module):
    """What stands for pictures: squares of patches as one vector each, lines that end, two layers.

    Args:
        model: of pictures.
        read: its width.
        width: E, of the text.
        s: how they are shown.
        dropout: on the embeddings into which they are put.
    """

    def __init__(self, model: nn.Module, read: int, width: int, s: Pictures, dropout: float) -> None:
        super().__init__()
        self.shows = s
        self.drop = Dropout(dropout)
        self.img_processor = model
        if s.edge % 2:
            self.img_processor_padding = nn.ReflectionPad2d((0, 1, 0, 1))
        self.image_token_compression = nn.AvgPool2d(2, 2)
        self.img_projection_up = linear("linear", read, width)
        self.img_projection_down = linear("linear", width, width)
        self.global_img_feature_extensor = nn.Parameter(torch.zeros(1, 1, read))
        self.sub_img_feature_extensor = nn.Parameter(torch.zeros(1, 1, 1, read))
        zeros = Constant(0.0)
        begins(self, global_img_feature_extensor=zeros, sub_img_feature_extensor=zeros)

    def forward(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor,
        image_pixel_values: Tensor,
        image_sizes: Any = None,
        image_attention_mask: Tensor | None = None,
        ask: Ask | None = None,
    ) -> Tensor:
        """Embeddings [B, T, E] with the pictures' vectors at their tokens; see `VisionSpeechText`."""
        canvases, mask = canvases_in(self.shows, image_pixel_values, image_sizes, image_attention_mask)
        crops = self._crops(image_pixel_values, mask, ask or Ask(padded=True))
        end, between = self.sub_img_feature_extensor.flatten(), self.global_img_feature_extensor.flatten()
        up, down, made = self.img_projection_up, self.img_projection_down, list[Tensor]()
        for one, each in zip(canvases, crops, strict=True):
            made.append(down(nn.functional.gelu(up(useful_lines(one, each, end, between)[None])))[0])
        rows = torch.cat(made)
        token = self.shows.token
        x: Tensor = self.drop(placed_at(None, token, input_ids, inputs_embeds, rows, "image")[0])
        return x

    def _crops(self, pixels: Tensor, mask: Tensor, ask: Ask) -> Tensor:
        """[pictures, crops, C, H, W] -> [pictures, crops, h * h, read]."""
        given = {"pixel_values": pixels.flatten(0, 1), "patch_attention_mask": mask.flatten(0, 1)}
        wanted = Ask(hidden=True, backend=ask.backend, keep_padding=True, rows=False, padded=ask.padded)
        hidden = states_of(self.img_processor, given, wanted).hidden
        assert hidden is not None
        edge = self.shows.edge
        maps = hidden[self.shows.layer].reshape(-1, edge, edge, hidden[0].shape[-1]).permute(0, 3, 1, 2)
        maps = self.img_processor_padding(maps) if self.shows.edge % 2 else maps
        found: Tensor = self.image_token_compression(maps).flatten(2).transpose(1, 2)
        return found.reshape(*pixels.shape[:2], *found.shape[1:])


class SoundEmbedding(nn.Module):
    """What stands for sounds: two layers behind a model of them, others where the text shows pictures too.

    Args:
        model: of sounds.
        read: its width.
        width: E, of the text.
        s: how they are heard.
        dropout: on the embeddings into which they are put.
    """

    def __init__(self, model: nn.Module, read: int, width: int, s: Sounds, dropout: float) -> None:
        super().__init__()
        self.heard = s
        self.drop = Dropout(dropout)
        self.encoder = model
        self.up_proj_for_speech = linear("linear", read, width)
        self.down_proj_for_speech = linear("linear", width, width)
        self.up_proj_for_vision_speech = linear("linear", read, width)
        self.down_proj_for_vision_speech = linear("linear", width, width)

    def forward(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor,
        audio_input_features: Tensor,
        audio_embed_sizes: Tensor,
        audio_attention_mask: Tensor | None = None,
        audio_projection_mode: Sequence[str] = ("speech",),
        ask: Ask | None = None,
    ) -> Tensor:
        """Embeddings [B, T, E] with the sounds' vectors at their tokens; see `VisionSpeechText`."""
        given = {"hidden_states": audio_input_features, "mask": audio_attention_mask}
        ask = ask or Ask(padded=True)
        heard = states_of(self.encoder, given, Ask(backend=ask.backend, rows=False, padded=ask.padded)).last
        layers = {
            "speech": (self.up_proj_for_speech, self.down_proj_for_speech),
            "vision": (self.up_proj_for_vision_speech, self.down_proj_for_vision_speech),
        }
        made = {
            mode: down(nn.functional.gelu(up(heard)))
            for mode, (up, down) in layers.items()
            if mode in audio_projection_mode
        }
        each = zip(audio_projection_mode, audio_embed_sizes.tolist(), strict=True)
        rows = torch.cat([made[mode][i, :count] for i, (mode, count) in enumerate(each)])
        x: Tensor = self.drop(placed_at(None, self.heard.token, input_ids, inputs_embeds, rows, "sound")[0])
        return x


class ShownAndHeard(nn.Module):
    """Embeddings of texts with what stands for pictures and sounds.

    Args:
        pictures, sounds: what makes that.
    """

    row_wise = True

    def __init__(self, pictures: PictureEmbedding, sounds: SoundEmbedding) -> None:
        super().__init__()
        self.image_embed, self.audio_embed = pictures, sounds

    def forward(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor,
        pictures: Mapping[str, Any] | None = None,
        sounds: Mapping[str, Any] | None = None,
        ask: Ask | None = None,
    ) -> Tensor:
        """[B, T, E] -> the same; inputs of both by name."""
        x, shown = inputs_embeds, None
        if pictures:
            x = shown = self.image_embed(input_ids, inputs_embeds, **pictures, ask=ask)
        if sounds:
            x = self.audio_embed(input_ids, inputs_embeds, **sounds, ask=ask)
            if shown is not None:
                here = (input_ids == self.image_embed.shows.token)[..., None]
                x = torch.where(here, shown, x)
        return x


class VisionSpeechText(InPlace, Single):
    """A text model that is shown pictures in crops and hears sounds (Microsoft 2025, arXiv:2503.01743).

    Args:
        stack: config -> the spec of the text model.
        model_of: a config -> the class without a head of its family.
        pictures, sounds: config -> how they stand in texts.
        home: path of what makes that.
    """

    sees = _PIXELS
    once = (_PIXELS, SIZES, _PATCHES, _SOUNDS, _FILLS, _REAL, _MODE)

    def __init__(
        self,
        stack: Callable[[Any], spec.Stack],
        model_of: Callable[[Any], type[BaseModel]],
        pictures: Callable[[Any], Pictures],
        sounds: Callable[[Any], Sounds],
        home: str,
    ) -> None:
        reads = (
            *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
            *(*self.once, "use_cache", "cache_position"),
        )
        super().__init__(stack, reads=reads)
        self.model_of, self.pictures, self.sounds, self.home = model_of, pictures, sounds, home
        self.means = {
            **self.means,
            _PIXELS: "[pictures, crops, channels, height, width], floating, each picture whole and in crops.",
            SIZES: "[pictures, 2], int64, height and width of what was cut.",
            _PATCHES: "[pictures, crops, down, across], 1 at patches that show something.",
            _SOUNDS: "[sounds, frames, bins], floating.",
            _FILLS: "[sounds], int64, how many tokens each takes.",
            _REAL: "[sounds, frames], 1 at real frames.",
            _MODE: '"speech" or "vision", one for all sounds or a list: which layers stand behind the model '
            "of sounds. By default the second where a sound's own text shows a picture.",
        }

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the text model, and what makes vectors of pictures and sounds."""
        super().place(model, config, pooler, masked)
        width, rate = self.spec(config).width, float(config.embd_pdrop)

        def part(field: str) -> tuple[BaseModel, int]:
            own = getattr(config, field)
            kind = self.model_of(own)
            return kind(own, part=True), assembly_of(kind).spec(own).width

        shows, hears = self.pictures(config), self.sounds(config)
        shown = PictureEmbedding(*part(shows.field), width, shows, rate)
        heard = SoundEmbedding(*part(hears.field), width, hears, rate)
        hold(model, self.home, ShownAndHeard(shown, heard))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Embed the text, put what stands for pictures and sounds into it, and run the text model.

        Raises:
            ValueError: when texts have more or fewer tokens than those fill, or come as vectors alone.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        told = {name: given.pop(name, None) for name in self.once}
        told = {name: value for name, value in told.items() if value is not None}
        ids, x = given.get("input_ids"), given.get("inputs_embeds")
        if told and ids is None:
            raise ValueError(
                f"{', '.join(told)} stand at tokens of input_ids, not of inputs_embeds: pass those"
            )
        if ids is None or x is not None or not (told or ask.padded):
            return super().run(model, given, ask)
        check_ids(ids)
        pictures, sounds = self._pictures(model, told), self._sounds(model, ids, told)
        x = look_up(model, "token", ids, "input_ids")
        both = {name: one for name, one in (("pictures", pictures), ("sounds", sounds)) if one}
        given["inputs_embeds"] = getattr(model, self.home)(ids, x, **both, **({"ask": ask} if both else {}))
        given.pop("input_ids")
        return super().run(model, given, ask)

    @staticmethod
    def _pictures(model: Any, told: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of pictures, if there are any.

        Raises:
            ValueError: for what says more of pictures, without them.
        """
        found = {name: told[name] for name in (_PIXELS, SIZES, _PATCHES) if name in told}
        if found and _PIXELS not in found:
            raise ValueError(f"{', '.join(found)} say more of pictures: pass {_PIXELS} too")
        return found

    def _sounds(self, model: Any, ids: Tensor, told: Mapping[str, Any]) -> dict[str, Any]:
        """Likewise of sounds, with how many tokens each takes, and which layers make them.

        Raises:
            ValueError: for what does not fit the sounds.
        """
        found = {name: told[name] for name in (_SOUNDS, _FILLS, _REAL, _MODE) if name in told}
        if not found:
            return {}
        if _SOUNDS not in found:
            raise ValueError(f"{', '.join(found)} say more of sounds: pass {_SOUNDS} too")
        fills = self._fills(model, found)
        return {**found, _FILLS: fills, _MODE: self._modes(model.config, ids, told, fills.tolist())}

    def _fills(self, model: Any, told: Mapping[str, Any]) -> Tensor:
        """How many tokens each sound takes, [sounds].

        Raises:
            ValueError: for more than there are rows, or numbers of other sounds.
        """
        sounds, real, said = told[_SOUNDS], told.get(_REAL), told.get(_FILLS)
        if not isinstance(sounds, Tensor) or sounds.dim() != 3:
            shape = list(sounds.shape) if isinstance(sounds, Tensor) else type(sounds).__name__
            raise ValueError(
                f"{_SOUNDS} are [sounds, frames, bins], not {shape}: pass what the processor gives"
            )
        own = getattr(model.config, self.sounds(model.config).field)
        stem: Any = assembly_of(self.model_of(own)).spec(own).stem
        most = stem.rows(sounds.shape[1])
        if said is None:
            return cast(
                Tensor,
                sounds.new_full((len(sounds),), most).long()
                if real is None
                else stem.rows(real.long().sum(1)),
            )
        fills = torch.as_tensor(said)
        if tuple(fills.shape) != (len(sounds),) or bool((fills < 1).any()) or bool((fills > most).any()):
            raise ValueError(
                f"{_FILLS} says how many tokens each of {len(sounds)} sounds takes, 1 to {most}, not "
                f"{fills.tolist()}: pass what the processor gives"
            )
        return fills

    def _modes(self, config: Any, ids: Tensor, told: Mapping[str, Any], fills: list[int]) -> list[str]:
        """Which layers stand behind the model of sounds, for each of them.

        Raises:
            ValueError: for others than there are.
        """
        said = told.get(_MODE)
        if said is None:
            pictured = (ids == self.pictures(config).token).any(1).tolist()
            rows = shown_by(ids == self.sounds(config).token, fills)
            row_of = {one: row for row, each in enumerate(rows) for one in each}
            shows = _PIXELS in told
            return [MODES[shows and pictured[row_of.get(one, 0)]] for one in range(len(fills))]
        modes = [said] * len(fills) if isinstance(said, str) else list(said)
        if len(modes) != len(fills) or any(one not in MODES for one in modes):
            raise ValueError(
                f"{_MODE} is {' or '.join(map(repr, MODES))}, one for all sounds or one for each of "
                f"{len(fills)}, not {said!r}"
            )
        return modes

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with what `which` names, by the tokens of all and how many each fills."""
        told = {name: given[name] for name in self.once if given.get(name) is not None}
        rest = {name: value for name, value in given.items() if name not in self.once}
        config = model.config
        if _PIXELS in told:
            shows = self.pictures(config)
            canvases = canvases_in(shows, told[_PIXELS], told.get(SIZES), told.get(_PATCHES))[0]
            kept = which(ids == shows.token, [one.count for one in canvases])
            if kept:
                rest |= {name: told[name][kept] for name in (_PIXELS, SIZES, _PATCHES) if name in told}
        if _SOUNDS in told:
            sounds = self._sounds(model, ids, told)
            kept = which(ids == self.sounds(config).token, sounds[_FILLS].tolist())
            if kept:
                rest |= {name: sounds[name][kept] for name in (_SOUNDS, _FILLS, _REAL) if name in sounds}
                rest[_MODE] = [sounds[_MODE][one] for one in kept]
        return rest


def canvases_in(s: Pictures, pixels: Any, sizes: Any, mask: Any) -> tuple[list[Canvas], Tensor]:
    """How each picture was cut, and which patches of its crops show something.

    Raises:
        ValueError: for crops, sizes or masks that do not fit each other.
    """
    if not isinstance(pixels, Tensor) or pixels.dim() != 5:
        said = list(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
        raise ValueError(
            f"{_PIXELS} are [pictures, crops, channels, height, width], not {said}: pass what the processor "
            "gives"
        )
    told, room = sizes_in(sizes, "of each picture that was cut"), pixels.shape[1] - 1
    wanted = (*pixels.shape[:2], s.edge, s.edge)
    if mask is None:
        mask = pixels.new_ones(wanted)
    if not isinstance(mask, Tensor) or tuple(mask.shape) != wanted:
        said = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{_PATCHES} has an entry for every patch, {list(wanted)}, not {said}")
    grids = [(down // s.crop, across // s.crop) for down, across in told]
    if len(grids) != len(pixels) or any(not 0 < math.prod(grid) <= room for grid in grids):
        raise ValueError(
            f"{SIZES} {told} are {[math.prod(grid) for grid in grids]} crops of {s.crop} x {s.crop} pixels, "
            f"but {_PIXELS} {list(pixels.shape)} are {len(pixels)} pictures of up to {room} and the whole"
        )
    mask = mask.to(device=pixels.device, dtype=torch.bool)
    found = []
    for grid, own in zip(grids, mask, strict=True):
        parts = own[1 : 1 + math.prod(grid), ::2, ::2].reshape(*grid, s.half, s.half).transpose(1, 2)
        seen = parts.reshape(grid[0] * s.half, grid[1] * s.half)
        found.append(Canvas(grid, s.half, (int(seen[:, 0].sum()), int(seen[0].sum()))))
    return found, mask
