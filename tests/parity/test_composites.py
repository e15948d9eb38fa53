"""Models that are made of models: their parts, their methods, their names in files of other years."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import formers
from formers.checkpoints import LoadError
from formers.core.notices import Notice
from formers.training.optim.parameter_order import to_file
from tests.parity.shapes import SHAPES, inputs_of, write_checkpoint

TOLERANCE = 1e-5
LLAVA = "LlavaForConditionalGeneration"


def _close(theirs: Any, ours: Any) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.fixture(scope="module", params=list(SHAPES["clip"]))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The reference's model and ours, from one folder."""
    folder = tmp_path_factory.mktemp("clip")
    theirs = write_checkpoint("clip", request.param, "CLIPModel", folder)
    return theirs, formers.CLIPModel.from_pretrained(folder), folder


@pytest.fixture(scope="module", params=list(SHAPES["llava"]))
def llava(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The reference's model and ours, from one folder."""
    folder = tmp_path_factory.mktemp("llava")
    theirs = write_checkpoint("llava", request.param, LLAVA, folder)
    return theirs, formers.LlavaForConditionalGeneration.from_pretrained(folder), folder


@torch.no_grad()
def test_a_tower_gives_the_references_features_by_itself(clip: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = clip
    inputs = inputs_of(ours)
    images = {"pixel_values": inputs.pop("pixel_values")}
    for name, given in (("get_text_features", inputs), ("get_image_features", images)):
        expected, found = (getattr(model, name)(**given) for model in (theirs, ours))
        assert list(found.keys()) == list(expected.keys())
        _close(expected.pooler_output, found.pooler_output)
        as_tuple = getattr(ours, name)(**given, return_dict=False)
        _close(expected.pooler_output, as_tuple[1])


@torch.no_grad()
@pytest.mark.parametrize(
    "name",
    [
        "CLIPTextModel",
        "CLIPTextModelWithProjection",
        "CLIPVisionModel",
        "CLIPVisionModelWithProjection",
        "CLIPForImageClassification",
    ],
)
def test_a_part_is_loaded_from_a_checkpoint_of_the_whole(clip: tuple[Any, Any, Path], name: str) -> None:
    theirs, whole, folder = clip
    if name.endswith("WithProjection") and theirs.config.projection_dim != 20:
        with pytest.raises(LoadError, match="of another shape"):  # the parts' configs name another width
            getattr(formers, name).from_pretrained(folder)
        return
    torch.manual_seed(0)
    expected = getattr(transformers, name).from_pretrained(folder).eval()
    with pytest.warns(Notice, match="afresh") if "Classification" in name else nullcontext():
        ours = getattr(formers, name).from_pretrained(folder)
    assert ours.load_report.new == [n for n in ours.state_dict() if n.startswith("classifier")]
    if "Classification" in name:
        ours.classifier.load_state_dict(expected.classifier.state_dict())
    inputs = {key: value for key, value in inputs_of(whole).items() if key in inputs_of(ours)}
    real = inputs["attention_mask"].bool() if name == "CLIPTextModel" else slice(None)
    _close(expected(**inputs)[0][real], ours(**inputs)[0][real])


@torch.no_grad()
def test_images_of_another_size_are_read_as_the_reference_reads_them(clip: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = clip
    inputs = inputs_of(ours)
    inputs["pixel_values"] = torch.randn(4, 2, 24, 18)
    expected, found = (model(**inputs, interpolate_pos_encoding=True) for model in (theirs, ours))
    _close(expected.logits_per_image, found.logits_per_image)
    with pytest.raises(ValueError, match="interpolate_pos_encoding=True reads other sizes"):
        ours(**inputs)


@torch.no_grad()
def test_texts_and_images_need_not_be_as_many_unless_the_loss_is_wanted(clip: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = clip
    inputs = inputs_of(ours)
    inputs["pixel_values"] = inputs["pixel_values"][:3]
    expected, found = theirs(**inputs), ours(**inputs)
    assert found.logits_per_image.shape == (3, 4)
    _close(expected.logits_per_image, found.logits_per_image)
    with pytest.raises(ValueError, match="4 texts and 3 images"):
        ours(**inputs, return_loss=True)
    with pytest.raises(ValueError, match="pixel_values must be given too"):
        ours(input_ids=inputs["input_ids"])


@torch.no_grad()
def test_a_text_is_summed_up_by_its_end_wherever_padding_stands(clip: tuple[Any, Any, Path]) -> None:
    _, ours, _ = clip
    inputs = inputs_of(ours)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    whole = ours.get_text_features(ids, mask).pooler_output
    for row in range(4):
        alone = ours.get_text_features(ids[row : row + 1, : int(mask[row].sum())]).pooler_output
        _close(whole[row : row + 1], alone)
    left = torch.stack([row.roll(int((seen == 0).sum())) for row, seen in zip(ids, mask, strict=True)])
    places = (mask.flip(1).cumsum(1) - 1).clamp(min=0)
    found = ours.get_text_features(left, mask.flip(1), places).pooler_output
    _close(whole, found)


def test_files_of_older_versions_have_the_tower_under_a_name_of_its_own(tmp_path: Path) -> None:
    for model_type, name, part in (
        ("clip_text_model", "CLIPTextModel", "text_model"),
        ("clip_vision_model", "CLIPVisionModel", "vision_model"),
    ):
        folder = tmp_path / part
        theirs = write_checkpoint(model_type, next(iter(SHAPES[model_type])), name, folder)
        tensors = {f"{part}.{key}": value for key, value in theirs.state_dict().items()}
        tensors[f"{part}.embeddings.position_ids"] = torch.arange(40)[None]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        ours = getattr(formers, name).from_pretrained(folder)
        assert not [*ours.load_report.new, *ours.load_report.unexpected]
        inputs = inputs_of(ours)
        with torch.no_grad():
            _close(theirs(**inputs).pooler_output, ours(**inputs).pooler_output)


def test_llava_is_read_under_the_names_of_every_year(llava: tuple[Any, Any, Path], tmp_path: Path) -> None:
    theirs, ours, folder = llava
    written = load_file(folder / "model.safetensors")
    base = type(ours.model.vision_tower).base_model_prefix
    years = (
        {name.replace("vision_tower.", f"vision_tower.{base}."): value for name, value in written.items()},
        ours.state_dict(),
    )
    inputs = inputs_of(ours)
    with torch.no_grad():
        expected = theirs(**inputs).logits
        for tensors in years:
            again = formers.LlavaForConditionalGeneration.from_pretrained(
                None, config=ours.config, state_dict=dict(tensors)
            )
            assert not [*again.load_report.new, *again.load_report.unexpected]
            _close(
                expected[inputs["attention_mask"].bool()],
                again(**inputs).logits[inputs["attention_mask"].bool()],
            )


def test_configs_are_one_and_two(tmp_path: Path) -> None:
    text = formers.CLIPTextConfig(vocab_size=101, hidden_size=32)
    image = formers.CLIPVisionConfig(image_size=12, patch_size=4)
    whole = formers.CLIPConfig.from_text_vision_configs(text, image, projection_dim=20)
    whole.save_pretrained(tmp_path)
    theirs = transformers.CLIPConfig.from_pretrained(tmp_path)
    assert (theirs.text_config.hidden_size, theirs.vision_config.patch_size) == (32, 4)
    assert formers.CLIPTextConfig.from_pretrained(tmp_path).hidden_size == 32
    assert formers.CLIPVisionConfig.from_pretrained(tmp_path).patch_size == 4
    assert formers.AutoConfig.from_pretrained(tmp_path).to_diff_dict() == whole.to_diff_dict()
    assert formers.CLIPConfig().text_config == formers.CLIPTextConfig()


def test_an_older_spelling_of_the_parts_of_a_config_wins() -> None:
    given = {"text_config": {"hidden_size": 16, "eos_token_id": 7}, "text_config_dict": {"hidden_size": 32}}
    theirs, ours = transformers.CLIPConfig(**given), formers.CLIPConfig(**given)
    for name in ("hidden_size", "eos_token_id", "num_hidden_layers"):
        assert getattr(ours.text_config, name) == getattr(theirs.text_config, name)
    assert "text_config_dict" not in ours.to_dict()


def test_a_part_of_llavas_config_is_of_the_family_that_it_names(tmp_path: Path) -> None:
    given = {"vision_config": {"model_type": "vit", "image_size": 12}, "text_config": {"vocab_size": 103}}
    ours, theirs = formers.LlavaConfig(**given), transformers.LlavaConfig(**given)
    assert [type(part).__name__ for part in (ours.vision_config, ours.text_config)] == [
        "ViTConfig",
        "LlamaConfig",
    ]
    assert [part.model_type for part in (theirs.vision_config, theirs.text_config)] == ["vit", "llama"]
    for name in ("hidden_size", "patch_size", "image_size", "num_hidden_layers"):
        plain, other = formers.LlavaConfig().vision_config, transformers.LlavaConfig().vision_config
        assert getattr(plain, name) == getattr(other, name)
    with pytest.raises(ValueError, match="model type 'vitt' is not available; did you mean 'vit'"):
        formers.LlavaConfig(vision_config={"model_type": "vitt"})
    with pytest.raises(ValueError, match="it is 'default' or 'full'"):
        formers.LlavaConfig(vision_feature_select_strategy="half")


def test_auto_classes_take_models_that_are_made_of_models(clip: Any, llava: Any, tmp_path: Path) -> None:
    found = {
        formers.AutoModel.from_pretrained(clip[2]),
        formers.AutoModelForZeroShotImageClassification.from_pretrained(clip[2]),
        formers.AutoModelForImageTextToText.from_pretrained(llava[2]),
        formers.AutoModel.from_pretrained(llava[2]),
        formers.AutoModelForImageClassification.from_config(clip[1].config),
        formers.AutoModelForTextEncoding.from_config(clip[1].config.text_config),
    }
    assert sorted(type(model).__name__ for model in found) == [
        "CLIPForImageClassification",
        "CLIPModel",
        "CLIPModel",
        "CLIPTextModel",
        LLAVA,
        "LlavaModel",
    ]


@torch.no_grad()
def test_what_stands_for_images_is_the_references(llava: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = llava
    inputs = inputs_of(ours)
    images = inputs["pixel_values"]
    for model in (ours, ours.model):
        for more in (
            {},
            {"vision_feature_layer": 1},
            {"vision_feature_select_strategy": "full"},
            {"vision_feature_select_strategy": "default"},
        ):
            if "vision_feature_layer" in more and isinstance(ours.config.vision_feature_layer, list):
                more = {"vision_feature_layer": [1, 2]}
            expected, found = (m.get_image_features(images, **more) for m in (theirs, model))
            _close(torch.stack(expected.pooler_output), torch.stack(found.pooler_output))
            _close(expected.last_hidden_state, found.last_hidden_state)
    before = {"image": ours.get_image_features(inputs.pop("pixel_values"))}
    once = ours(**inputs, pixel_values=images).logits
    _close(once, ours(**inputs, mm_encoder_outputs=before).logits)
    with pytest.raises(ValueError, match="default or full"):
        ours.get_image_features(images, vision_feature_select_strategy="half")


@torch.no_grad()
@pytest.mark.parametrize("sided", ["left", "right"])
def test_decoding_goes_on_after_the_images(llava: tuple[Any, Any, Path], sided: str) -> None:
    theirs, ours, _ = llava
    inputs = inputs_of(ours)
    if sided == "left":
        empty = (inputs["attention_mask"] == 0).sum(1).tolist()
        for name in ("input_ids", "attention_mask"):
            rows = zip(inputs[name], empty, strict=True)
            inputs[name] = torch.stack([row.roll(count) for row, count in rows])
    ids, mask, images = (inputs[name] for name in ("input_ids", "attention_mask", "pixel_values"))
    whole = ours(**inputs).logits
    _close(theirs(**inputs).logits[mask.bool()], whole[mask.bool()])
    past, at, steps = None, 0, []
    for width in (16, 1, 2):
        given = {"attention_mask": mask[:, : at + width], "past_key_values": past, "use_cache": True}
        shown = {} if at else {"pixel_values": images}
        output = ours(ids[:, at : at + width], **given, **shown)
        past, at = output.past_key_values, at + width
        steps.append(output.logits)
        assert ("image_hidden_states" in output) == bool(shown)
    _close(whole[mask.bool()], torch.cat(steps, 1)[mask.bool()])


@torch.no_grad()
def test_llava_writes_what_the_reference_writes_and_reads_its_images_once(tmp_path: Path) -> None:
    theirs = write_checkpoint("llava", next(iter(SHAPES["llava"])), LLAVA, tmp_path)
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight) * 2)
    theirs.save_pretrained(tmp_path)
    ours = formers.AutoModelForImageTextToText.from_pretrained(tmp_path)
    inputs, image = inputs_of(ours), [ours.config.image_token_index]
    empty = (inputs["attention_mask"] == 0).sum(1).tolist()
    for name in ("input_ids", "attention_mask"):  # padding on the left
        inputs[name] = torch.stack([row.roll(count) for row, count in zip(inputs[name], empty, strict=True)])
    for options in ({}, {"num_beams": 2}, {"use_cache": False}):
        asked = {"max_new_tokens": 6, "suppress_tokens": image, "do_sample": False, **options}
        found = ours.generate(**inputs, **asked)
        if "use_cache" not in options:
            assert found.tolist() == theirs.generate(**inputs, **asked).tolist()
        alone = {name: value[1:2] for name, value in inputs.items()}
        alone |= {name: alone[name][:, empty[1] :] for name in ("input_ids", "attention_mask")}
        assert ours.generate(**alone, **asked)[0].tolist() == found[1, empty[1] :].tolist()


@torch.no_grad()
def test_image_tokens_and_images_must_agree(llava: tuple[Any, Any, Path]) -> None:
    _, ours, _ = llava
    inputs = inputs_of(ours)
    each = len(ours.get_image_features(inputs["pixel_values"]).pooler_output[0])
    with pytest.raises(ValueError, match=f"{4 * each} image tokens .id 102., but the images fill {3 * each}"):
        ours(**{**inputs, "pixel_values": inputs["pixel_values"][:3]})
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        ours(pixel_values=inputs["pixel_values"])


@torch.no_grad()
def test_embeddings_may_stand_in_place_of_the_text(llava: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = llava
    inputs = inputs_of(ours)
    real = inputs["attention_mask"].bool()
    given = {**inputs, "inputs_embeds": ours.get_input_embeddings()(inputs["input_ids"])}
    del given["input_ids"]
    _close(ours(**inputs).logits[real], ours(**given).logits[real])
    text = {"input_ids": inputs["input_ids"].where(inputs["input_ids"] < 101, 5)}  # without any image
    _close(theirs(**text).logits, ours(**text).logits)


def test_a_fresh_model_draws_each_part_as_its_own_family_does() -> None:
    values = {"intermediate_size": 256, "num_attention_heads": 4}
    given = {
        "text_config": {
            **values,
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "vocab_size": 500,
            "eos_token_id": 2,
        },
        "vision_config": {
            **values,
            "hidden_size": 96,
            "num_hidden_layers": 4,
            "image_size": 64,
            "patch_size": 8,
        },
    }
    torch.manual_seed(0)
    theirs = transformers.CLIPModel(transformers.CLIPConfig(**given))
    ours = formers.CLIPModel(formers.CLIPConfig(**given))
    for name, parameter in theirs.named_parameters():
        mine = ours.get_parameter(name)
        if parameter.dim() > 1:
            assert float(mine.std()) == pytest.approx(float(parameter.std()), rel=0.1), name
        elif "class" not in name:
            assert torch.equal(parameter, mine), name


def test_tokens_are_added_to_the_text_model(llava: tuple[Any, Any, Path], tmp_path: Path) -> None:
    ours = formers.LlavaForConditionalGeneration.from_pretrained(llava[2])
    ours.resize_token_embeddings(110)
    assert ours.config.text_config.vocab_size == ours.lm_head.out_features == 110
    tied = ours.config.tie_word_embeddings
    assert (ours.lm_head.weight is ours.model.language_model.embed_tokens.weight) == tied
    ours.save_pretrained(tmp_path)
    again, info = transformers.LlavaForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not {*info["missing_keys"], *info["unexpected_keys"]}
    assert again.config.text_config.vocab_size == 110


def test_a_backend_that_is_asked_for_reaches_every_part(clip: tuple[Any, Any, Path]) -> None:
    model = formers.CLIPModel.from_pretrained(clip[2], attn_implementation="eager")
    assert model.text_model.config._attn_implementation == "eager"
    model.set_attn_implementation("sdpa")
    assert model.vision_model.config._attn_implementation == "sdpa"


def test_a_config_that_is_written_here_is_read_there(clip: Any, llava: Any, tmp_path: Path) -> None:
    for theirs, ours, _ in (clip, llava):
        ours.config.save_pretrained(tmp_path)
        again = type(theirs.config).from_pretrained(tmp_path)
        written = json.loads((tmp_path / "config.json").read_text())
        for part in ("text_config", "vision_config"):
            assert written[part]["model_type"] == getattr(again, part).model_type
            for name, value in getattr(theirs.config, part).to_diff_dict().items():
                if name not in ("_name_or_path", "transformers_version", "dtype", "architectures"):
                    assert getattr(getattr(again, part), name) == value, name


def test_a_part_that_reads_something_else_is_refused() -> None:
    for given, message in (
        (
            {"vision_config": {"model_type": "bert"}},
            "which reads input_ids; the vision_tower of 'llava' models",
        ),
        ({"text_config": {"model_type": "vit"}}, "which reads pixel_values; the language_model of 'llava'"),
        ({"text_config": {"model_type": "t5"}}, "is one stack that reads input_ids"),
    ):
        with pytest.raises(ValueError, match=message):
            formers.LlavaModel(formers.LlavaConfig(**given))


def test_a_tower_takes_no_inputs_that_it_would_leave_unread() -> None:
    model = formers.CLIPTextModel(formers.CLIPTextConfig(**SHAPES["clip_text_model"]["the end by its id"]))
    ids = torch.tensor([[5, 6, 99]])
    for name in ("token_type_ids", "past_key_values", "inputs_embeds", "use_cache"):
        with pytest.raises(TypeError, match=name):
            model(ids, **{name: ids})


def test_recomputing_layers_reaches_every_part(clip: tuple[Any, Any, Path]) -> None:
    inputs = {**inputs_of(clip[1]), "return_loss": True}
    gradients = []
    for checkpointing in (False, True):
        model = formers.CLIPModel.from_pretrained(clip[2]).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.vision_model.is_gradient_checkpointing
        model(**inputs).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        _close(gradient, gradients[1][name])


@torch.no_grad()
def test_a_device_map_cuts_no_layer_of_any_part(llava: tuple[Any, Any, Path], tmp_path: Path) -> None:
    _, whole, folder = llava
    size = whole.get_memory_footprint()
    spread = formers.LlavaForConditionalGeneration.from_pretrained(
        folder,
        device_map="sequential",
        max_memory={"cpu": size // 2},
        offload_folder=tmp_path,
    )
    places = spread.hf_device_map
    assert {str(place) for place in places.values()} == {"cpu", "disk"}
    assert not [name for name in places if re.search(r"layers?\.\d+\.", name)]
    inputs = inputs_of(whole)
    _close(whole(**inputs).logits, spread(**inputs).logits)


def _towers(folder: Path) -> tuple[Path, Path]:
    """An encoder and a narrower one, each in a folder of its own."""
    values = {"vocab_size": 50, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    for name, width in (("wide", 32), ("narrow", 16)):
        torch.manual_seed(width)
        config = transformers.BertConfig(**values, hidden_size=width, max_position_embeddings=20)
        transformers.BertForMaskedLM(config).save_pretrained(folder / name)
    return folder / "wide", folder / "narrow"


@torch.no_grad()
def test_two_checkpoints_are_joined_and_what_joins_them_is_drawn_afresh(tmp_path: Path) -> None:
    wide, narrow = _towers(tmp_path)
    with pytest.warns(Notice, match="afresh"):
        ours = formers.EncoderDecoderModel.from_encoder_decoder_pretrained(
            wide, narrow, encoder_hidden_dropout_prob=0.3, decoder_hidden_dropout_prob=0.2, pad_token_id=0
        )
    rates = [part.hidden_dropout_prob for part in (ours.config.encoder, ours.config.decoder)]
    assert rates == [0.3, 0.2]
    ours.config.decoder_start_token_id = 2
    crossing = [name for name in ours.decoder.state_dict() if "crossattention" in name]
    assert sorted(ours.decoder.load_report.new) == sorted(crossing)
    ours.save_pretrained(tmp_path / "pair")
    theirs = transformers.EncoderDecoderModel.from_pretrained(tmp_path / "pair")
    ids, labels = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[9, 10, -100]])
    expected, found = theirs(ids, labels=labels), ours(ids, labels=labels)
    _close(expected.loss, found.loss)
    _close(expected.logits, found.logits)
    both = formers.EncoderDecoderModel(encoder=ours.encoder, decoder=ours.decoder)
    assert both.encoder is ours.encoder
    assert both.config.decoder is ours.decoder.config


def test_models_that_cannot_be_joined_are_refused_by_what_is_wrong_with_them(tmp_path: Path) -> None:
    wide, _ = _towers(tmp_path)
    joined = formers.EncoderDecoderModel
    decoder = formers.LlamaForCausalLM(
        formers.LlamaConfig(
            vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
        )
    )
    with pytest.warns(Notice), pytest.raises(ValueError, match="has no cross attention"):
        joined.from_encoder_decoder_pretrained(wide, decoder_model=decoder)
    with pytest.raises(ValueError, match="give decoder_pretrained_model_name_or_path, or decoder_model"):
        joined.from_encoder_decoder_pretrained(encoder_model=decoder)
    with pytest.raises(ValueError, match="one stack that reads input_ids"):
        joined(formers.EncoderDecoderConfig(encoder={"model_type": "bart"}))
    with pytest.raises(ValueError, match="takes a config, or an encoder and a decoder"):
        joined()
    with pytest.raises(ValueError, match="tie_encoder_decoder=True is not available"):
        formers.EncoderDecoderConfig(tie_encoder_decoder=True)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("ChineseCLIP", "Model"),
        *((name, ending) for name in ("CLIP", "Siglip") for ending in ("Model", "ForImageClassification")),
    ],
)
def test_an_optimizer_s_file_counts_parameters_as_the_reference_does(name: str, ending: str) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    given = {"text_config": {**sizes, "vocab_size": 99}, "vision_config": {**sizes, "image_size": 32}}
    theirs, ours = (
        getattr(one, name + ending)(getattr(one, f"{name}Config")(**given)) for one in (transformers, formers)
    )
    written = to_file(torch.optim.SGD(ours.parameters(), lr=0.1), ours)["param_groups"][0]
    assert written["param_names"] == [key for key, _ in theirs.named_parameters()]
