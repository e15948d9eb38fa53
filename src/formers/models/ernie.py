"""ERNIE (Sun et al. 2019, arXiv:1904.09223, arXiv:1907.12412): BERT that may be told the kind of task."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec


class ErnieConfig(bert.BertConfig):
    """Configuration of ERNIE."""

    model_type = "ernie"
    task_type_vocab_size: int = 3
    use_task_id: bool = False


NAMES = bert.NAMES.with_(embeddings={"task": "embeddings.task_type_embeddings"})


def stack(c: ErnieConfig) -> spec.Stack:
    """BERT's stack, and the kind of task where the config says so."""
    made = bert.stack(c, "ErnieLayer")
    assert isinstance(made.stem, spec.Tokens)
    tasks = c.task_type_vocab_size if c.use_task_id else 0
    return replace(made, stem=replace(made.stem, tasks=tasks), names=NAMES)


_HEADS = {
    "ForCausalLM" if ending == "LMHeadModel" else ending: head for ending, head in bert.BERT.heads.items()
}

ERNIE = register(
    replace(
        bert.BERT,
        model_type="ernie",
        name="Ernie",
        config=ErnieConfig,
        base="ernie",
        assembly=Single(stack, tasks=True),
        heads=_HEADS,
    )
)
