"""Devices and dtypes: what is there is found, what is not is named."""

import pytest
import torch

from formers.core.devices import infer_device, named_dtype, resolve, resolve_dtype
from formers.core.notices import Notice, forget_notices


@pytest.fixture(autouse=True)
def _fresh_notices():
    forget_notices()


def test_the_inferred_device_is_one_that_tensors_can_live_on():
    assert torch.zeros(1, device=infer_device()).device.type == infer_device()
    assert resolve(None).type == resolve("auto").type == infer_device()


def test_names_indices_and_devices_are_understood():
    assert resolve("cpu") == resolve(-1) == resolve(torch.device("cpu")) == torch.device("cpu")
    assert resolve("meta").type == "meta"


@pytest.mark.parametrize("device", ["cuda:97", "cpu:3", "toaster", 97, True])
def test_an_absent_device_is_an_error_that_names_those_present(device):
    with pytest.raises(ValueError, match=r"cpu|torch\.device"):
        resolve(device)


@pytest.mark.parametrize("name", ["float16", "torch.float16", "fp16", "half", torch.float16])
def test_dtype_spellings(name):
    assert named_dtype(name) is torch.float16


def test_a_misspelt_dtype_is_refused_with_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'bfloat16'"):
        named_dtype("bfloat61")


def test_half_precision_weights_open_in_float32_on_a_cpu_slow_at_them(monkeypatch):
    monkeypatch.setattr("formers.core.devices.fast_on_cpu", lambda dtype: dtype == torch.float32)
    with pytest.warns(Notice, match="stored in float16"):
        assert resolve_dtype("auto", device="cpu", checkpoint="float16") is torch.float32
    with pytest.warns(Notice, match="slow on this CPU"):
        assert resolve_dtype("float16", device="cpu") is torch.float16


def test_nothing_asked_nothing_changed():
    assert resolve_dtype(None) is None
    assert resolve_dtype("auto", device="cpu") is None
    assert resolve_dtype("auto", device="cpu", checkpoint=torch.float32) is torch.float32


@pytest.mark.parametrize("dtype", ["int8", "bool", "torch.uint8", torch.int64, torch.complex64])
def test_a_dtype_that_holds_no_weights_is_refused(dtype):
    with pytest.raises(
        ValueError, match="need a floating-point dtype, got '(int8|bool|uint8|int64|complex64)'"
    ):
        named_dtype(dtype)


def test_a_model_of_whole_numbers_says_so():
    from formers import AutoModel, BertConfig

    config = BertConfig(
        vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
    )
    model = AutoModel.from_config(config)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(torch.int8)
    assert model.dtype is torch.int8
