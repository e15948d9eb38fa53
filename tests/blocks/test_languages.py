"""Feed-forwards by language, against the definition written out row by row in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn.tree import leaf

SIZES = {"vocab_size": 50, "hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 16}
LANGUAGES = ("en_XX", "de_DE", "sw_KE")


def small(**values: Any) -> Any:
    torch.manual_seed(0)
    more: dict[str, Any] = {**SIZES, "num_hidden_layers": 2, "languages": LANGUAGES, **values}
    return formers.XmodModel(formers.XmodConfig(**more)).double().eval()


def texts(*lengths: int) -> tuple[Tensor, Tensor]:
    """Ids and mask of texts, padded on the right; the second one on the left."""
    ids = torch.randint(3, 50, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, slice(-length, None) if row == 1 else slice(0, length)] = 1
    return ids.where(mask.bool(), torch.tensor(1)), mask


@pytest.mark.parametrize("told", [[0, 2, 2], [1, 1, 1], [2, 0, 1]])
def test_every_text_is_what_it_is_alone_with_its_own_language(told: list[int]) -> None:
    made, (ids, mask) = small(), texts(6, 4, 5)
    with torch.no_grad():
        together = made(ids, lang_ids=torch.tensor(told), attention_mask=mask)
        for row, language in enumerate(told):
            made.set_default_language(LANGUAGES[language])
            real = mask[row].bool()
            alone = made(ids[row : row + 1, real])
            torch.testing.assert_close(together[0][row, real], alone[0][0])
            torch.testing.assert_close(together.pooler_output[row], alone.pooler_output[0])


def test_a_token_is_read_by_the_adapter_of_its_own_language() -> None:
    made, (ids, _) = small(num_hidden_layers=1), texts(6, 6)
    told = torch.tensor([[0, 1, 2, 2, 1, 0], [1, 1, 0, 0, 2, 2]])
    seen: dict[str, Tensor] = {}
    layer = leaf(made, "layers")[0]
    handle = layer.output.dense.register_forward_hook(lambda _m, _i, out: seen.update(down=out))
    other = layer.intermediate.register_forward_pre_hook(lambda _m, given: seen.update(read=given[0]))
    with torch.no_grad():
        found = made(ids, lang_ids=told)[0]
        handle.remove(), other.remove()
        plain = made(ids, lang_ids=told)[0]
        normed = layer.output.LayerNorm(seen["down"] + seen["read"])
        expected = torch.empty_like(normed)
        for row in range(2):
            for column in range(6):
                adapter = layer.output.adapter_modules[int(told[row, column])]
                x = normed[row, column]
                inner = torch.nn.functional.gelu(adapter.dense1(x))
                expected[row, column] = layer.output.LayerNorm(x + adapter.dense2(inner))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(plain, expected)


def test_a_decoder_with_a_cache_keeps_to_the_languages() -> None:
    made, (ids, _) = small(is_decoder=True), texts(6, 6)
    told = torch.tensor([2, 0])
    with torch.no_grad():
        whole = made(ids, lang_ids=told, use_cache=False)[0]
        first = made(ids[:, :4], lang_ids=told, use_cache=True)
        rest = made(ids[:, 4:], lang_ids=told, past_key_values=first.past_key_values)
    torch.testing.assert_close(torch.cat((first[0], rest[0]), 1), whole)


def test_a_text_of_no_known_language_is_refused() -> None:
    made, (ids, _) = small(), texts(4, 4)
    with pytest.raises(ValueError, match="set_default_language"):
        made(ids)
    with pytest.raises(ValueError, match="from 0 to 2"):
        made(ids, lang_ids=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="B=2, T=4"):
        made(ids, lang_ids=torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="de_DE"):
        made.set_default_language("de_XX")


def test_choices_are_in_the_language_of_their_row() -> None:
    torch.manual_seed(0)
    config = formers.XmodConfig(**SIZES, num_hidden_layers=1, languages=LANGUAGES)
    made, (ids, _) = formers.XmodForMultipleChoice(config).eval(), texts(5, 5, 5, 5)
    choices, told = ids.view(2, 2, 5), torch.tensor([2, 0])
    with torch.no_grad():
        expected = [made(choices[i : i + 1], lang_ids=told[i : i + 1]).logits for i in range(2)]
        for given in (told, told[:, None].expand(2, 2), told[:, None, None].expand(2, 2, 5)):
            torch.testing.assert_close(made(choices, lang_ids=given).logits, torch.cat(expected))


@pytest.mark.parametrize("own", [False, True])
def test_freezing_leaves_all_but_embeddings_and_adapters_free(own: bool) -> None:
    made = small(adapter_layer_norm=own)
    made.freeze_embeddings_and_language_adapters()
    for name, parameter in made.named_parameters():
        frozen = name.startswith("embeddings.") or "adapter" in name
        assert parameter.requires_grad is not frozen, name
