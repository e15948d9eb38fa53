"""I-BERT counts in integers as the reference does, where that is put right, and follows ranges to do so.

The reference hands the scale of the embeddings to every layer in place of that of the layer before, and its
gradients leave the residual sums out; both is mended here as the code that it was made from has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.models.ibert import quant_modules

import formers

SIZES = {
    "vocab_size": 99,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 30,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def _inputs(seed: int = 1) -> dict[str, Tensor]:
    ids = torch.randint(3, 99, (3, 9), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1, 6:], ids[1, 6:] = 0, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.arange(9).expand(3, -1) // 5}


def _hand_on(model: Any) -> None:
    """Let every layer of the reference read by the scale of the layer before."""
    layers = model.encoder.layer
    for before, layer in zip(layers, layers[1:], strict=False):
        rounds = before.output.output_activation
        layer.register_forward_pre_hook(lambda _m, a, r=rounds: (a[0], r.act_scaling_factor, *a[2:]))


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    back = quant_modules.FixedPointMul.backward

    def both(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        first, *_, second, _none = back(ctx, grad)
        return first, None, None, None, second, None

    monkeypatch.setattr(quant_modules.FixedPointMul, "backward", staticmethod(both))


def _trained(folder: Path, force: str) -> tuple[Any, Any]:
    """Both, after some steps in floating point that only noted ranges."""
    torch.manual_seed(0)
    theirs = transformers.IBertModel(transformers.IBertConfig(**SIZES, force_dequant=force))
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    theirs.save_pretrained(folder)
    ours = formers.IBertModel.from_pretrained(folder).train()
    for seed in range(3):
        for model in (theirs.train(), ours):
            model(**_inputs(seed))
    return theirs, ours


def _same_state(theirs: Any, ours: Any) -> None:
    expected, found = theirs.state_dict(), ours.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("force", ["none", "softmax", "gelu", "nonlinear"])
def test_integers_ranges_and_gradients_are_the_references(force: str, tmp_path: Path, mended: None) -> None:
    theirs, ours = _trained(tmp_path / "first", force)
    _same_state(theirs, ours)
    theirs.config.quant_mode = True
    theirs.save_pretrained(tmp_path / "second")
    pair = [kind.IBertModel.from_pretrained(tmp_path / "second") for kind in (transformers, formers)]
    _hand_on(pair[0])
    real = _inputs()["attention_mask"].bool()
    for training in (True, False):
        outs = [one.train(training)(**_inputs(), output_hidden_states=True) for one in pair]
        for one, other in zip(*(out.hidden_states for out in outs), strict=True):
            torch.testing.assert_close(other[real], one[real], atol=1e-5, rtol=1e-5)
        if training:
            for out in outs:
                out.last_hidden_state.square().sum().backward()
            named = dict(pair[1].named_parameters())
            for name, value in pair[0].named_parameters():
                if value.grad is not None:
                    torch.testing.assert_close(named[name].grad, value.grad, atol=1e-4, rtol=1e-4, msg=name)
    _same_state(*pair)
    with torch.no_grad():
        plain, shown = pair[1](**_inputs()), pair[1](**_inputs(), output_attentions=True)
        expected = pair[0](**_inputs(), output_attentions=True)
    torch.testing.assert_close(plain.last_hidden_state[real], shown.last_hidden_state[real])
    for one, other in zip(expected.attentions, shown.attentions, strict=True):
        torch.testing.assert_close(other.transpose(1, 2)[real], one.transpose(1, 2)[real])


def test_what_goes_on_is_whole(tmp_path: Path) -> None:
    model = _trained(tmp_path, "none")[1]
    model.config.quant_mode = True
    model.save_pretrained(tmp_path)
    whole = formers.IBertModel.from_pretrained(tmp_path)
    seen: list[Tensor] = []
    for part in whole.encoder.layer:
        part.output.output_activation.register_forward_hook(lambda _m, _a, out: seen.append(out[0] / out[1]))
    with torch.no_grad():
        whole(**_inputs())
        weights = whole.encoder.layer[1].output.dense.weight_integer
    for steps in (*seen, weights):
        torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
        assert steps.abs().max() <= 128


def test_what_integers_cannot_do_is_refused() -> None:
    config = formers.IBertConfig(**SIZES, quant_mode=True)
    model = formers.IBertForSequenceClassification(config).eval()
    with pytest.raises(ValueError, match="vectors have no scale"):
        model(inputs_embeds=torch.zeros(1, 4, 24))
    with pytest.raises(ValueError, match="call the model, not a part"):
        model.ibert.encoder.layer[0](torch.zeros(1, 4, 24))
    with pytest.raises(ValueError, match="integers beside"):
        model.resize_token_embeddings(120)
    with pytest.raises(ValueError, match="hidden_act"):
        formers.IBertConfig(**SIZES, hidden_act="relu")
    with pytest.raises(ValueError, match="NaN"):
        model.train().ibert.embeddings.output_activation(torch.full((1, 2), float("nan")))
