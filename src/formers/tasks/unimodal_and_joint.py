"""What a text model, an image model and a model of both are trained on together: FLAVA's six tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.assemblies.base import states_in
from formers.core.notices import notice
from formers.core.outputs import ModelOutput
from formers.core.unimodal_and_joint_outputs import UnimodalAndJointLosses, UnimodalAndJointPreTrainingOutput
from formers.nn.activations import Activation
from formers.nn.first_row import FirstRow
from formers.nn.fresh import Constant, begins
from formers.nn.leaves import linear, norm
from formers.nn.losses import cross_entropy
from formers.nn.spec import Norm
from formers.nn.tree import Group
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.cross_modality import InTurn

_HIDDEN, _CODES, _SKIP = "input_ids_masked", "codebook_pixel_values", "skip_unmasked_multimodal_encoder"
_LARGEST = 4.6052  # logarithm of 100, the factor that cosines have at most in training


@dataclass(frozen=True)
class Telling:
    """A head for words: of texts, or of patches.

    Attributes:
        path: of its node.
        width: of what it reads.
        count: words.
        act: activation of the layer before the table.
        norm: behind that.
    """

    path: str
    width: int
    count: int
    act: str
    norm: Norm


@dataclass(frozen=True)
class Spec:
    """The heads of the six tasks.

    Attributes:
        tells: heads for words, by task: "mim" of patches and "mlm" of texts by themselves, "mmm_image" and
            "mmm_text" of both together.
        weights: of the tasks in the loss, "itm" (whether a text fits its image) and "global_contrastive"
            (which text of the batch does) among them. A task that weighs nothing is not computed.
        fits: path of the head of "itm", and the width of what it reads.
        compares: path of the node of "global_contrastive".
        width: of the states of both.
        coder: path of what says the words of patches, the class that it is of, and the field of its config;
            None where there is none.
        none: the label of places that are not told.
        loss: whether losses are computed, where a call does not say.
        skips: whether texts and images are read together with parts hidden alone, likewise.
    """

    tells: dict[str, Telling]
    weights: dict[str, float]
    fits: tuple[str, int]
    compares: str
    width: int
    coder: tuple[str, Callable[[], type[Any]], str] | None
    none: int = -100
    loss: bool = True
    skips: bool = True


class Words(Group):
    """A layer, its activation, a norm, and a table: [.., E] -> [.., V]."""

    def __init__(self, s: Telling, tied: bool) -> None:
        super().__init__()
        self.transform = InTurn()
        self.transform.add_module("dense", linear("linear", s.width, s.width))
        self.transform.add_module("transform_act_fn", Activation(s.act))
        self.transform.add_module("LayerNorm", norm(s.norm, s.width))
        self.decoder = linear("linear", s.width, s.count)
        self.bias = self.decoder.bias if tied else nn.Parameter(torch.zeros(s.count))
        begins(self, bias=Constant(0.0))

    def forward(self, rows: Tensor) -> Tensor:
        """The logits."""
        found: Tensor = self.decoder(self.transform(rows))
        return found


class Fits(Group):
    """Whether a text fits its image: [B, T, E] -> [B, 2]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pooler, self.seq_relationship = FirstRow(width), linear("linear", width, 2)

    def forward(self, rows: Tensor) -> Tensor:
        """The logits."""
        found: Tensor = self.seq_relationship(self.pooler(rows))
        return found


class Compared(Group):
    """Cosines of all images and all texts, of every process where several train, times a factor."""

    def __init__(self, everywhere: bool) -> None:
        super().__init__()
        self._everywhere = everywhere

    def forward(self, images: Tensor, texts: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, P] each -> [B, all] of images and of texts, and which of all belongs to each, [B]."""
        right = torch.arange(len(images), device=images.device)
        every_image, every_text = images, texts
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            right = right + torch.distributed.get_rank() * len(images)
            every_image, every_text = (gathered(one, self._everywhere) for one in (images, texts))
        factor = scale.exp()
        return images @ every_text.t() * factor, texts @ every_image.t() * factor, right


def gathered(rows: Tensor, everywhere: bool) -> Tensor:
    """Rows [B, P] of all processes, [processes * B, P]; gradients reach those `everywhere`, or none."""
    if everywhere:
        from torch.distributed.nn.functional import all_gather

        return torch.cat(all_gather(rows))  # type: ignore[no-untyped-call]  # torch does not type it
    found = [torch.zeros_like(rows) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(found, rows.contiguous())
    return torch.cat(found)


class UnimodalAndJointPreTraining(TaskModel):
    """Hidden words and patches, of texts and images alone and together, and which texts fit which images."""

    _by_place = (
        *("input_ids", _HIDDEN, "pixel_values", _CODES, "attention_mask", "token_type_ids"),
        *("bool_masked_pos", "position_ids", "image_attention_mask", _SKIP),
    )
    _targets = ("mlm_labels", "mim_labels", "itm_labels")
    _options = (_HIDDEN, _CODES, _SKIP, "return_dict", "return_loss")
    _unread_inputs = ("skip_multimodal_encoder",)
    _says = (
        "Predict what was hidden. `input_ids_masked`: [B, T], int64, the texts with words hidden; "
        "`codebook_pixel_values`: [B, 3, height, width], the images as what says the words of patches reads "
        "them; `mlm_labels`: [B, T], int64; `mim_labels`: [B, P], int64, words of patches, in place of those "
        "pixels; `itm_labels`: [B], int64, 1 where a text fits its image."
    )

    def __init__(self, config: Any, image_codebook: Any = None) -> None:
        super().__init__(config)
        if image_codebook is not None:
            self.image_codebook = image_codebook

    def _place_head(self, spec: Spec, config: Any) -> None:
        if spec.coder is None:
            self.image_codebook = None
        else:
            path, kind, field = spec.coder
            self.add_module(path, kind()(getattr(config, field), part=True))
        for task, one in spec.tells.items():
            if task.startswith("mmm") and one.width != spec.width:
                raise ValueError(
                    f"{one.path} reads states of the model of both, {spec.width} wide, by a head that is "
                    f"{one.width} wide: give text_config, image_config and multimodal_config one hidden_size"
                )
            self.add_module(one.path, Words(one, config.tie_word_embeddings))
        self.add_module(spec.fits[0], Fits(spec.fits[1]))
        self.add_module(spec.compares, Compared(config.global_backprop_contrastive))

    def _tied_weights(self) -> dict[str, str]:
        """Biases beside the tables' own."""
        spec: Spec = self._formers.facts["head"]
        if not self.config.tie_word_embeddings:
            return super()._tied_weights()
        own = {f"{one.path}.bias": f"{one.path}.decoder.bias" for one in spec.tells.values()}
        return {**super()._tied_weights(), **own}

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """The records of what is read as it is, and with parts hidden."""
        spec: Spec = self._formers.facts["head"]
        hidden, ids = given.get(_HIDDEN), given.get("input_ids")
        if hidden is None and ids is not None:
            notice(
                "input_ids_masked is missing, so that input_ids stand for it and no word is hidden",
                key="no masked texts",
            )
            hidden = ids
        read = {name: value for name, value in given.items() if name in self._assembly.inputs}
        read |= {"output_attentions": ask.attentions, "return_dict": True}
        skips = given.get(_SKIP)
        own = {"bool_masked_pos": None, "skip_multimodal_encoder": spec.skips if skips is None else skips}
        plain = self.base_model(**{**read, **own})
        masked = self.base_model(**{**read, "input_ids": hidden, "position_ids": None})
        states = states_in(plain)
        states.extras.update(plain=plain, masked=masked)
        return states

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        plain, masked = states.extras["plain"], states.extras["masked"]
        told = given.get("return_loss")
        wanted = spec.loss if told is None else bool(told)
        words, pairs = targets["mlm_labels"], targets["itm_labels"]
        patches = None
        if masked.image_embeddings is not None:
            patches = self._patch_labels(given, targets["mim_labels"], wanted)
        made = UnimodalAndJointPreTrainingOutput()
        losses = made.loss_info = UnimodalAndJointLosses()
        both, kept = masked.multimodal_embeddings, None
        if both is None:
            images, texts = masked.image_embeddings, masked.text_embeddings
            if images is not None and patches is not None:
                images = images[:, -patches.shape[1] :]
            self._tell("mim", images, patches, wanted, made)
            self._tell("mlm", texts, words, wanted, made)
        elif spec.weights["itm"] > 0:
            made.itm_logits = self.get_submodule(spec.fits[0])(both)
            if pairs is not None:
                pairs = pairs.reshape(-1)
                kept = pairs.ne(0) | ~pairs.ne(0).any()  # where no text fits, all count
                if wanted:
                    losses.itm = cross_entropy(made.itm_logits, pairs) * spec.weights["itm"]
                both, words, patches = (None if one is None else one[kept] for one in (both, words, patches))
        if both is not None:
            count = masked.image_embeddings.shape[1] - 1
            self._tell("mmm_image", both[:, 2 : 2 + count], patches, wanted, made)
            self._tell("mmm_text", both[:, -masked.text_embeddings.shape[1] :], words, wanted, made)
        self._compare(plain, kept, wanted, made)
        made.loss = sum(losses.values()) if len(losses) else None
        for name in ("image", "text", "multimodal"):
            for end in ("embeddings", "output"):
                setattr(made, f"{name}_{end}", plain.get(f"{name}_{end}"))
                setattr(made, f"{name}_masked_{end}", masked.get(f"{name}_{end}"))
        made.multimodal_masked_embeddings = both
        return made

    def _patch_labels(self, given: dict[str, Any], labels: Any, wanted: bool) -> Tensor | None:
        """The words of hidden patches, [B, P], and elsewhere the label of what is not told.

        Raises:
            ValueError: where nothing says them, or which are hidden.
        """
        spec: Spec = self._formers.facts["head"]
        if labels is None and not wanted:
            return None
        if labels is None:
            pixels = given.get(_CODES)
            if self.image_codebook is None:
                raise ValueError(
                    "the loss needs the words of patches, and there is no codebook: pass mim_labels, load "
                    "the model with init_codebook=True, or pass return_loss=False"
                )
            if pixels is None:
                raise ValueError(
                    "the loss needs the words of patches: pass codebook_pixel_values (the processor makes "
                    "them with return_codebook_pixels=True), mim_labels, or return_loss=False"
                )
            labels = self.image_codebook.get_codebook_indices(pixels)
        labels, hidden = labels.flatten(1), given.get("bool_masked_pos")
        if hidden is None or hidden.flatten(1).shape != labels.shape:
            found = None if hidden is None else list(hidden.shape)
            raise ValueError(
                f"bool_masked_pos says which of the patches are hidden, {list(labels.shape)}, not {found}: "
                "the processor makes it with return_image_mask=True"
            )
        told: Tensor = labels.masked_fill(~hidden.flatten(1).bool(), spec.none)
        return told

    def _tell(
        self,
        task: str,
        rows: Tensor | None,
        labels: Any,
        wanted: bool,
        made: UnimodalAndJointPreTrainingOutput,
    ) -> None:
        """Logits of words, of places that have a label where there are labels; and their loss."""
        spec: Spec = self._formers.facts["head"]
        weight = spec.weights[task]
        if rows is None or weight <= 0:
            return
        head = self.get_submodule(spec.tells[task].path)
        if labels is None:
            setattr(made, f"{task}_logits", head(rows))
            return
        if labels.dim() > 2:
            labels = labels.flatten(1)
        if labels.shape != rows.shape[:2]:
            raise ValueError(
                f"{task} tells one word of each of {list(rows.shape[:2])} places, but the labels have shape "
                f"{list(labels.shape)}"
            )
        told = labels != spec.none
        logits = head(rows[told])
        setattr(made, f"{task}_logits", logits)
        if wanted and made.loss_info is not None:
            setattr(made.loss_info, task, cross_entropy(logits, labels[told]) * weight)

    def _compare(
        self, plain: Any, kept: Tensor | None, wanted: bool, made: UnimodalAndJointPreTrainingOutput
    ) -> None:
        """Cosines of images and texts, of those that fit each other where that is said; and their loss."""
        spec: Spec = self._formers.facts["head"]
        base: Any = self.base_model
        weight = spec.weights["global_contrastive"]
        if plain.image_embeddings is None or plain.text_embeddings is None or weight <= 0:
            return
        texts = F.normalize(base.text_projection(plain.text_embeddings[:, 0]), dim=-1)
        images = F.normalize(base.image_projection(plain.image_embeddings[:, 0]), dim=-1)
        if self.training:
            base.logit_scale.data.clamp_(0, _LARGEST)
        of_images, of_texts, right = self.get_submodule(spec.compares)(images, texts, base.logit_scale)
        if kept is not None:
            of_images, of_texts, right = of_images[kept], of_texts[kept], right[kept]
        made.contrastive_logits_per_image, made.contrastive_logits_per_text = of_images, of_texts
        if wanted and made.loss_info is not None:
            loss = (cross_entropy(of_images, right) + cross_entropy(of_texts, right)) / 2
            made.loss_info.global_contrastive = loss * weight


def alike(told: Telling, **paths: str) -> dict[str, Telling]:
    """Heads that are made alike, by task, under those paths."""
    return {task: replace(told, path=path) for task, path in paths.items()}
