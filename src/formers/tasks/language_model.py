"""Logits over the vocabulary: for hidden words, and for the next word; and states alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from formers.assemblies.base import BaseModel
from formers.core.outputs import BalancedOutput, ModelOutput, TaskOutput
from formers.generation.mixin import GenerationMixin
from formers.model.structure import token_path
from formers.nn.fresh import Constant, begins
from formers.nn.losses import balance, cross_entropy, following
from formers.nn.program import Step, build
from formers.nn.spec import Norm
from formers.nn.steps import Bar, Cap, Parted, Scale, Shift, dense
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel, labels_on_padding
from formers.tasks.transform import Transform


@dataclass(frozen=True)
class Ahead:
    """The table reads streams that look ahead, the first of which predicts the next token.

    Qi et al. 2020, arXiv:2001.04063, section 2.2.

    Attributes:
        streams: how many there are; `trained`: so many of them are in the loss.
        smoothing: weight of all words alike in the targets.
    """

    streams: int
    trained: int
    smoothing: float = 0.0


@dataclass(frozen=True)
class Spec:
    """A head for words.

    Attributes:
        out: path of the output table.
        dense: path of a layer before it, or None; `act` (whose node is `act_path`) and `norm` follow that.
        width: of what it returns, where that is not E.
        norm: path of the norm.
        eps: epsilon of the norm.
        bias_path: path of a bias that is kept beside the table, and is one with the table's own, if it has
            one.
        bias: the table has a bias.
        tied: the table is the token table where the config says so; False where it never is.
        scale: factor on the states.
        logits_scale: factor on the logits.
        cap: logits become c * tanh(logits / c).
        shifts: label i + 1 is what place i predicts.
        logits_bias: name of a buffer [1, V] that is added to the logits.
        apart: checkpoints may hold a table of their own whatever the config says about ties.
        vocabulary: rows of the table, where that is not the config's `vocab_size`.
        table: path of the table that it is tied to, where that is not the token table.
        leads: where both tables are one, files hold it under this one's name.
        balance: experts that read each token, and the weight in the loss of how unevenly experts are used.
        beside: path of a table [E - width, V], which reads the features beyond those of the output table.
        z_loss: weight in the loss of how far the logarithm of all exponentials is from zero.
        steady: weight in the loss of how large routers' logits are; None where that is not told.
        before: what stands before the table, in place of `dense`, `act`, `norm` and `eps`.
        within: the table lies in the decoder, whose states are logits.
        sparse: the label of places without one, where those that have one alone get logits in training.
        ahead: the states of the streams that are read, in place of the last ones.
        real_only: labels of padding count for nothing.
        barred: words that are never written.
    """

    out: str
    dense: str | None = None
    width: int | None = None
    act: str | None = None
    act_path: str | None = None
    norm: str | None = None
    eps: float = 1e-12
    bias_path: str | None = None
    bias: bool = True
    tied: bool = True
    scale: float = 1.0
    logits_scale: float = 1.0
    cap: float | None = None
    shifts: bool = True
    logits_bias: str | None = None
    apart: bool = False
    vocabulary: int | None = None
    table: str | None = None
    leads: bool = False
    balance: tuple[int, float] | None = None
    beside: str | None = None
    z_loss: float = 0.0
    steady: float | None = 0.0
    before: Transform | None = None
    within: bool = False
    sparse: int | None = None
    ahead: Ahead | None = None
    real_only: bool = False
    barred: tuple[int, ...] = ()

    @property
    def transform(self) -> Transform:
        """What stands before the table."""
        own = Transform(self.dense, self.act, self.act_path, self.norm, Norm(eps=self.eps))
        return self.before or own

    def steps(self, width: int, vocabulary: int) -> list[Step]:
        """[.., E] -> [.., V]."""
        inner = self.width or width
        steps = self.transform.steps(width, width if self.beside else inner)
        if self.scale != 1.0:
            steps.append(Scale(self.scale))
        if self.beside:
            steps.append(Parted("out", "beside", inner, width - inner, vocabulary, self.bias))
        else:
            steps.append(dense("out", inner, vocabulary, bias=self.bias))
        if self.biased_apart:
            steps.append(Shift("out", vocabulary))
        if self.logits_scale != 1.0:
            steps.append(Scale(self.logits_scale))
        if self.cap is not None:
            steps.append(Cap(self.cap))
        return [*steps, Bar(self.barred)] if self.barred else steps

    def names(self) -> dict[str, str | None]:
        """Role -> path."""
        apart = {"out_shift": self.bias_path} if self.biased_apart else {}
        return {**self.transform.names, "out": self.out, "beside": self.beside, **apart}

    @property
    def biased_apart(self) -> bool:
        """Whether the bias beside the table is the only one."""
        return self.bias_path is not None and not self.bias


class VocabularyHead(TaskModel):
    """States to vocabulary logits: an optional dense layer with activation and norm, then the output table.

    Where the family keeps the output bias beside its table, both are one parameter.
    """

    _options = (*TaskModel._options, "logits_to_keep")

    def _place_head(self, spec: Spec, config: Any) -> None:
        if spec.within:
            return
        build(self, *self._steps(spec, config))
        if spec.bias_path is not None and spec.bias:
            group, _, name = spec.bias_path.rpartition(".")
            value = self._out().bias.detach().clone()
            self.get_submodule(group).register_parameter(name, nn.Parameter(value))
            begins(self.get_submodule(group), **{name: Constant(0.0)})

    def _steps(self, spec: Spec, config: Any) -> tuple[list[Step], dict[str, str | None]]:
        """The head's steps, and the paths of their leaves."""
        count = spec.vocabulary or config.get_text_config().vocab_size
        return spec.steps(self._width(), count), spec.names()

    def _out(self) -> Any:
        spec: Spec = self._formers.facts["head"]
        return self.get_submodule(spec.out)

    def _tied_weights(self) -> dict[str, str]:
        """Those of the stacks; and output table to token table, output bias to the bias beside it."""
        spec: Spec = self._formers.facts["head"]
        ties = super()._tied_weights()
        if spec.tied and getattr(self.config, "tie_word_embeddings", True):
            pair = f"{spec.out}.weight", f"{spec.table or token_path(self)}.weight"
            ties.update([pair[::-1] if spec.leads else pair])
            if spec.bias_path is not None and spec.bias:
                ties[f"{spec.out}.bias"] = spec.bias_path
        return ties

    def get_output_embeddings(self) -> nn.Module:
        """The output table."""
        table: nn.Module = self._out()
        return table

    def _tables_beside(self) -> tuple[nn.Linear, ...]:
        """What the features beyond those of the output table are read from."""
        path = self._formers.facts["head"].beside
        found = None if path is None else self.get_submodule(path)
        return (found,) if isinstance(found, nn.Linear) else ()

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the output table, and the bias that is kept beside it."""
        spec: Spec = self._formers.facts["head"]
        group, _, name = spec.out.rpartition(".")
        self.get_submodule(group).add_module(name, value)
        if spec.bias_path is not None:
            group, _, name = spec.bias_path.rpartition(".")
            bias: Any = value.bias
            if spec.biased_apart:  # as long as the new table; new words have none
                held = getattr(self.get_submodule(group), name).detach()
                bias = nn.Parameter(
                    nn.functional.pad(held, (0, value.get_parameter("weight").shape[0] - len(held)))
                )
            setattr(self.get_submodule(group), name, bias)

    def _vocabulary(self, states: States, kept: Any = 0) -> Tensor:
        """Logits [B, T, V], of the places to keep, or [kept, V] of those that a mask [B, T] keeps."""
        if self._formers.facts["head"].within:
            return states.last
        if kept is None or (isinstance(kept, int) and kept == 0):
            return states.spread(self._compute(states, states.rows))
        if isinstance(kept, Tensor) and kept.dim() == 2:
            return self._compute(states, states.last[kept])
        places = slice(-kept, None) if isinstance(kept, int) else kept
        chosen = states.last[:, places]  # [B, kept, E]
        flat = chosen if states.watched else chosen.flatten(0, 1)
        return self._compute(states, flat).view(*chosen.shape[:2], -1)

    def _foreseen(
        self, ahead: Ahead, states: States, labels: Tensor | None, items: Any
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """The loss, the next tokens' logits [B, T, V], and those of the streams behind [B, n - 1, T, V]."""
        rows = states.extras["last_hidden_state_ngram"]
        shape = (rows.shape[0], ahead.streams, -1, rows.shape[-1])
        rows = rows.view(shape) if states.watched else rows.reshape(-1, rows.shape[-1])
        logits = self._compute(states, rows).view(*shape[:2], states.layout.length, -1)  # [B, n, T, V]
        loss = None
        if labels is not None:
            trained = logits[:, : ahead.trained]
            every = labels[:, None].expand(trained.shape[:-1])
            items = None if items is None else items * ahead.trained
            loss = cross_entropy(trained, every, items, smoothing=ahead.smoothing)
        return loss, logits[:, 0], logits[:, 1:] if ahead.streams > 1 else None

    def _targets_of(self, labels: Tensor) -> Tensor:
        """The label of what each place predicts, [B, T]."""
        return labels

    def _judged(
        self, states: States, labels: Tensor | None, kept: Any, items: Any, before: int
    ) -> tuple[Tensor, Tensor | None]:
        """Logits as callers see them, and the loss; of packed rows where no other place has a label.

        So many rows stand `before` the text, and predict none of it.
        """
        if labels is None:
            return self._vocabulary(states, kept), None
        sparse = self._formers.facts["head"].sparse
        if sparse is not None:
            told = labels != sparse  # [B, T]
            logits = self._vocabulary(states, told)  # [told, V]
            return logits, cross_entropy(logits, labels[told], items)
        wanted, layout = self._targets_of(labels), states.layout
        if before:
            wanted = nn.functional.pad(wanted, (before, 0), value=-100)
        packed = not (states.watched or states.spread_out or layout.index is None)
        if (
            packed
            and not isinstance(kept, Tensor)
            and not kept
            and wanted.shape == (layout.batch, layout.length)
        ):
            own = layout.pack(wanted)  # [N]
            if int((own != -100).sum()) == int((wanted != -100).sum()):
                rows = self._compute(states, states.rows)
                return states.spread(rows), cross_entropy(rows, own, items)
        logits = self._vocabulary(states, kept)
        return logits, cross_entropy(logits, wanted, items)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        spec: Spec = self._formers.facts["head"]
        none = -100 if spec.sparse is None else spec.sparse
        mask = given.get("attention_mask")
        if spec.real_only and targets["labels"] is not None and mask is not None and mask.dim() == 2:
            targets["labels"] = targets["labels"].masked_fill(mask == 0, -100)
        told = labels_on_padding(targets["labels"], given.get("attention_mask"), none)
        ask.keep_padding = told or bool(spec.z_loss and targets["labels"] is not None)  # it counts padding

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        labels = targets["labels"]
        if spec.ahead is not None:
            found = self._foreseen(spec.ahead, states, labels, items)
            passed = {"cross_attentions": states.cross_attentions, **self._assembly.passed_on(states)}
            return TaskOutput(*found, **passed)
        before = self._assembly.before(self, given)
        logits, loss = self._judged(states, labels, given.get("logits_to_keep", 0), items, before)
        passed = self._assembly.passed_on(states)
        if loss is not None and spec.z_loss:
            loss = loss + spec.z_loss * logits.float().logsumexp(-1).square().mean()
        if spec.balance is not None and states.router_logits:
            chosen, weight = spec.balance
            uneven = balance(states.router_logits, chosen, _computed(states, given.get("attention_mask")))
            loss = None if loss is None else loss + weight * uneven.to(loss.device)
            return BalancedOutput(loss, uneven, logits, **passed)
        return TaskOutput(loss, logits, **{"cross_attentions": states.cross_attentions, **passed})


def _computed(states: States, mask: Any) -> Tensor | None:
    """Which of the rows that routers read hold tokens, [B * T]; None where no mask [B, S] tells."""
    if not isinstance(mask, Tensor) or mask.dim() != 2:
        return None
    return mask[:, -states.layout.length :].reshape(-1)


class MaskedLM(VocabularyHead):
    """Predict the words that were hidden."""

    _says = "Predict hidden words. `labels`: [B, T], int64, -100 where there is none."


class CausalLM(GenerationMixin, VocabularyHead):
    """Predict the next word."""

    _keeps_cache = True
    _says = "Predict the next tokens. `labels`: [B, T], int64, -100 where there is none."

    @classmethod
    def can_generate(cls) -> bool:
        """There is a next token to predict."""
        return True

    def __init__(self, config: Any, *args: Any, **options: Any) -> None:
        if self._head.over == "decoder":
            config.is_decoder, config.is_encoder_decoder = True, False
        super().__init__(config, *args, **options)

    def _targets_of(self, labels: Tensor) -> Tensor:
        return following(labels) if self._formers.facts["head"].shifts else labels


class Bare(BaseModel):
    """One stack of a pair by itself, as it lies in a file of its own: `ProphetNetDecoder`."""


class Encoder(BaseModel):
    """The encoder of an encoder-decoder, without a head: `T5EncoderModel`."""

    def __init__(self, config: Any, *args: Any, **options: Any) -> None:
        config.is_encoder_decoder = config.use_cache = False
        super().__init__(config, *args, **options)
