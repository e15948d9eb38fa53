"""Methods of storing weights that somebody registers: a model is loaded, kept and read again by them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import formers
from formers.quantization import registered

SHAPE = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


class SignConfig(formers.QuantizationConfigMixin):
    def __init__(self, spared=()):
        self.quant_method, self.spared = "sign", list(spared)


class SignLinear(nn.Module):
    """Signs, and one scale."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("signs", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ (self.signs * self.scale).T + self.bias


class SignQuantizer(formers.HfQuantizer):
    def _process_model_before_weight_loading(self, model, **kwargs):
        if self.pre_quantized:
            self._turn(model)

    def _process_model_after_weight_loading(self, model, **kwargs):
        if not self.pre_quantized:
            self._turn(model)

    def _turn(self, model):
        for path, module in list(model.named_modules()):
            if type(module) is nn.Linear and formers.should_convert_module(
                path, self.quantization_config.spared
            ):
                made = SignLinear(module.in_features, module.out_features)
                if not module.weight.is_meta:
                    made.signs.copy_(module.weight.sign())
                    made.scale.copy_(module.weight.abs().mean())
                    made.bias = module.bias
                parent, name = formers.get_module_from_name(model, path)
                setattr(parent, name, made)


@pytest.fixture
def method(monkeypatch):
    for name in ("AUTO_QUANTIZER_MAPPING", "AUTO_QUANTIZATION_CONFIG_MAPPING"):
        monkeypatch.setattr(registered, name, dict(getattr(registered, name)))
    formers.register_quantization_config("sign")(SignConfig)
    formers.register_quantizer("sign")(SignQuantizer)


def _plain(folder):
    torch.manual_seed(0)
    formers.BertForSequenceClassification(formers.BertConfig(**SHAPE)).save_pretrained(folder)


def test_a_model_is_loaded_kept_and_read_again_by_a_method_of_ones_own(method, tmp_path):
    _plain(tmp_path / "plain")
    kind = formers.BertForSequenceClassification
    model = kind.from_pretrained(tmp_path / "plain", quantization_config=SignConfig(spared=["classifier"]))
    turned = [module for module in model.modules() if isinstance(module, SignLinear)]
    assert len(turned) == 7
    assert type(model.classifier) is nn.Linear
    model.save_pretrained(tmp_path / "kept")
    again = kind.from_pretrained(tmp_path / "kept")
    assert again.config.quantization_config == {"quant_method": "sign", "spared": ["classifier"]}
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(again(ids).logits, model(ids).logits)
    assert formers.AutoQuantizationConfig.from_pretrained(tmp_path / "kept").spared == ["classifier"]


def test_a_method_that_turns_single_parameters_says_where_to_do_it(method, tmp_path, monkeypatch):
    _plain(tmp_path)
    monkeypatch.setattr(SignQuantizer, "create_quantized_param", lambda *_: None, raising=False)
    with pytest.raises(NotImplementedError, match="_process_model_after_weight_loading"):
        formers.BertForSequenceClassification.from_pretrained(tmp_path, quantization_config=SignConfig())


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: formers.AutoHfQuantizer.from_config({"quant_method": "gptq"}), "packed as they are read"),
        (lambda: formers.AutoHfQuantizer.from_config({"quant_method": "gtpq"}), "did you mean 'gptq'"),
        (lambda: formers.register_quantization_config("gptq")(SignConfig), "there is a config for 'gptq'"),
    ],
)
def test_what_no_registered_method_does_is_refused(call, why):
    with pytest.raises(ValueError, match=why):
        call()


def test_records_of_methods_here_are_configs_of_the_ecosystem():
    made = formers.AutoQuantizationConfig.from_dict({"load_in_4bit": True})
    assert isinstance(made, formers.BitsAndBytesConfig)
    assert isinstance(made, formers.QuantizationConfigMixin)
    assert formers.QuantizationMethod.GPTQ == "gptq"
