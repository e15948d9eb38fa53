"""What every mixer that keeps a state must hold to, whatever it computes."""

from __future__ import annotations

from typing import Any

import torch


def stirred(model: Any) -> Any:
    """The model in evaluation, no value of which is at its constant."""
    with torch.no_grad():
        for parameter in model.eval().parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def hold_to_padding_and_cache(
    model: Any, sided: str, length: int, hidden: int, chunks: tuple[int, ...]
) -> None:
    """A padded row gives what it gives alone, at once, token by token and in chunks; so does its company."""
    ids, mask = torch.randint(3, 40, (2, length)), torch.ones(2, length, dtype=torch.long)
    mask[0, slice(0, hidden) if sided == "left" else slice(length - hidden, length)] = 0
    real, cache = mask[0].bool(), model._assembly.cache
    with torch.no_grad():
        alone, company = model(ids[:1, real])[0][0], model(ids[1:])[0][0]
        for widths in ((length,), (1,) * length, chunks):
            past, at, found = None, 0, []
            for width in widths:
                given = {"attention_mask": mask[:, : at + width], cache: past}
                step = model(ids[:, at : at + width], **given, use_cache=True)
                past, at = step[cache], at + width
                found.append(step.last_hidden_state)
            whole = torch.cat(found, dim=1)
            torch.testing.assert_close(whole[0, real], alone, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(whole[1], company, atol=1e-5, rtol=1e-5)


def hold_to_padding(model: Any) -> None:
    """Logits of a row that is padded on either side, beside another row, with a cache and without."""
    ids = torch.randint(3, 40, (1, 5))
    with torch.no_grad():
        alone = model(ids).logits[0]
        for sided, place in (((3, 0), slice(3, 8)), ((0, 3), slice(0, 5))):
            padded, mask = (torch.nn.functional.pad(t, sided) for t in (ids, torch.ones_like(ids)))
            other = torch.randint(3, 40, padded.shape)
            rows, seen = torch.cat((padded, other)), torch.cat((mask, torch.ones_like(mask)))
            for use_cache in (False, True):
                found = model(rows, attention_mask=seen, use_cache=use_cache).logits[0, place]
                torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def seen_inside(model: Any, node: Any) -> set[str]:
    """The modules of `node` whose hooks fire; being looked at changes no result."""
    seen: set[str] = set()
    ids, mask = torch.randint(3, 40, (2, 6)), torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
    with torch.no_grad():
        plain = model(ids, attention_mask=mask)[0]
        for name, module in node.named_modules():
            module.register_forward_hook(lambda *_, name=name: seen.add(name))
        watched = model(ids, attention_mask=mask)[0]
    torch.testing.assert_close(watched[mask.bool()], plain[mask.bool()], atol=1e-5, rtol=1e-5)
    return seen
