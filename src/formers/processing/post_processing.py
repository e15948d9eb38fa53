"""What models say of pictures, made answers: labels of pixels, segments, boxes, depths.

Sizes are (height, width) of the pictures as they were; without them answers have the size of the outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from formers.core.boxes import corners, overlap
from formers.core.notices import notice
from formers.processing.features import BatchFeature

if TYPE_CHECKING:
    from torch import Tensor


def sizes_of(target_sizes: Any, count: int) -> list[tuple[int, int] | None]:
    """A size for each of `count` pictures.

    Args:
        target_sizes: pairs (height, width), a tensor [B, 2], or None for none.
        count: B.

    Raises:
        ValueError: for another number of them.
    """
    if target_sizes is None:
        return [None] * count
    if len(target_sizes) != count:
        raise ValueError(f"target_sizes has {len(target_sizes)} entries, but there are {count} pictures")
    return [(int(height), int(width)) for height, width in target_sizes]


def _enlarged(maps: Tensor, size: tuple[int, int], mode: str = "bilinear", antialias: bool = False) -> Tensor:
    from torch.nn import functional as F

    corners = {} if mode == "nearest" else {"align_corners": False, "antialias": antialias}
    return F.interpolate(maps[None], size=size, mode=mode, **corners)[0]


def _by_query(outputs: Any, edge: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits [B, Q, C + 1] and logits of masks [B, Q, h, w], enlarged to squares where that has an `edge`.

    Raises:
        ValueError: for outputs that have none.
    """
    labels, masks = outputs.get("class_queries_logits"), outputs.get("masks_queries_logits")
    if labels is None:
        labels, masks = outputs.get("logits"), outputs.get("pred_masks")
    if labels is None or masks is None:
        raise ValueError(
            f"these outputs hold no masks, but {', '.join(outputs.keys())}: use a model that segments"
        )
    return labels, masks if edge is None else _enlarged(masks.flatten(0, 1), (edge, edge)).view(
        *masks.shape[:2], edge, edge
    )


def semantic(
    outputs: Any,
    target_sizes: Any = None,
    return_segmentation_scores: bool = False,
    nothing: bool = True,
    edge: int | None = None,
) -> list[Any]:
    """The best label of every pixel, [height, width] int64 for each picture.

    Args:
        outputs: `logits` [B, C, h, w], or logits and masks by queries.
        target_sizes: see `sizes_of`.
        return_segmentation_scores: answers hold `segmentation` and `segmentation_scores` [C, height, width].
        nothing: the last label of a query says that there is nothing.
        edge: masks by queries are made squares of that edge first.

    Raises:
        ValueError: for another number of sizes.
    """
    logits = outputs.get("logits")
    if logits is None or logits.dim() != 4:
        import torch

        labels, masks = _by_query(outputs, edge)
        shares = labels.softmax(-1)
        shares = shares[..., :-1] if nothing else shares
        logits = torch.einsum("bqc,bqhw->bchw", shares, masks.sigmoid())
    found: list[Any] = []
    for scores, size in zip(logits, sizes_of(target_sizes, len(logits)), strict=True):
        large = scores if size is None else _enlarged(scores, size)
        best = large.argmax(0)
        both = {"segmentation": best, "segmentation_scores": large}
        found.append(BatchFeature(both) if return_segmentation_scores else best)
    return found


def segments(
    outputs: Any,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    target_sizes: Any = None,
    label_ids_to_fuse: Collection[int] = (),
    edge: int | None = None,
    antialias: bool = False,
) -> list[dict[str, Any]]:
    """Segments of every picture: masks of queries that are sure of a label, each pixel to the surest of them.

    Args:
        outputs: logits and masks by queries.
        threshold: probability of its label that a query needs.
        mask_threshold: probability that a pixel needs to belong to a mask of its own.
        overlap_mask_area_threshold: share of that mask that must be left to the segment.
        target_sizes: see `sizes_of`.
        label_ids_to_fuse: labels of which a picture has one segment at most.
        edge: see `semantic`.
        antialias: masks are made smaller by a filter as wide as what a pixel covers.

    Returns:
        For each picture `segmentation` [height, width], the segments' numbers from 1, and 0 elsewhere (-1
        without a segment); and `segments_info`: `id`, `label_id`, `was_fused`, `score` of each query in it.
    """
    labels, masks = _by_query(outputs, edge)
    scores, best = labels.softmax(-1).max(-1)  # [B, Q]
    sizes = sizes_of(target_sizes, len(labels))
    found = []
    for mask, score, label, size in zip(masks.sigmoid(), scores, best, sizes, strict=True):
        kept = (label != labels.shape[-1] - 1) & (score > threshold)
        limits = mask_threshold, overlap_mask_area_threshold
        own = mask[kept], score[kept], label[kept]
        found.append(_joined(*own, limits, size, label_ids_to_fuse, antialias))
    return found


def _joined(
    masks: Tensor,
    scores: Tensor,
    labels: Tensor,
    limits: tuple[float, float],
    size: tuple[int, int] | None,
    fused: Collection[int] = (),
    antialias: bool = False,
) -> dict[str, Any]:
    """One picture's segments, of masks [Q, h, w]."""
    import torch

    down, across = masks.shape[1:] if size is None else size
    if not len(masks):
        return {"segmentation": torch.full((down, across), -1.0), "segments_info": []}
    if size is not None:
        masks = _enlarged(masks, size, antialias=antialias)
    number = torch.zeros((down, across), dtype=torch.int32, device=masks.device)
    weighed = masks * scores[:, None, None]
    owner, info, of_label, last = weighed.argmax(0), [], dict[int, int](), 0
    for i, label in enumerate(labels.tolist()):
        own = owner == i
        area, whole = int(own.sum()), int((weighed[i] >= limits[0]).sum())
        if not (area and whole and area / whole > limits[1]):
            continue
        fuses = label in fused
        identity = of_label.get(label) if fuses else None
        if identity is None:
            last = identity = last + 1
            of_label[label] = identity
        number[own] = identity
        score = round(scores[i].item(), 6)
        info.append({"id": identity, "label_id": label, "was_fused": fuses, "score": score})
    return {"segmentation": number, "segments_info": info}


def panoptic(
    outputs: Any,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    label_ids_to_fuse: Collection[int] | None = None,
    target_sizes: Any = None,
    edge: int | None = None,
    antialias: bool = False,
) -> list[dict[str, Any]]:
    """`segments`, where some labels have one segment at most."""
    if label_ids_to_fuse is None:
        notice(
            "label_ids_to_fuse is not given: every segment of a label stays apart", key="no labels to fuse"
        )
    fused = label_ids_to_fuse or ()
    areas = (mask_threshold, overlap_mask_area_threshold)
    return segments(outputs, threshold, *areas, target_sizes, fused, edge, antialias)


def instances(
    outputs: Any,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    target_sizes: Any = None,
    return_coco_annotation: bool = False,
) -> list[dict[str, Any]]:
    """`segments`, all apart; with `return_coco_annotation` each segment's run lengths in place of the map."""
    found = segments(outputs, threshold, mask_threshold, overlap_mask_area_threshold, target_sizes)
    if return_coco_annotation:
        for one in found:
            one["segmentation"] = run_lengths(one["segmentation"])
    return found


def surest(
    outputs: Any,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    target_sizes: Any = None,
    return_coco_annotation: bool = False,
    return_binary_maps: bool = False,
    edge: int | None = None,
) -> list[dict[str, Any]]:
    """Segments of the surest pairs of a query and a label, as many as there are queries.

    A pair's score is the label's probability times the mean of the mask's (arXiv:2112.01527).

    Args:
        outputs: logits and masks by queries.
        threshold: least score.
        mask_threshold: without effect, as in the ecosystem: pixels of a mask are those with a logit above 0.
        overlap_mask_area_threshold: without effect, likewise: masks may overlap.
        target_sizes: see `sizes_of`.
        return_coco_annotation: run lengths in place of the map.
        return_binary_maps: or a mask for each segment, [N, height, width], where there is one.
        edge: see `semantic`.

    Returns:
        As `segments`, numbered from 0; a pixel of several has the last one's number, and -1 without any.

    Raises:
        ValueError: for both forms at once.
    """
    import torch

    if return_coco_annotation and return_binary_maps:
        raise ValueError("one of return_coco_annotation and return_binary_maps can be had, not both")
    labels, masks = _by_query(outputs, edge)
    shares, found = labels.softmax(-1)[..., :-1], []
    for share, mask, size in zip(shares, masks, sizes_of(target_sizes, len(labels)), strict=True):
        scores, at = share.flatten().topk(len(share), sorted=False)
        mask, label = mask[at // share.shape[1]], at % share.shape[1]
        inside = (mask > 0).float()
        sure = (mask.sigmoid() * inside).sum((1, 2)) / (inside.sum((1, 2)) + 1e-6)
        inside = inside if size is None else _enlarged(inside, size, "nearest")
        scores = scores * sure
        kept = (scores >= threshold) & inside.any(2).any(1)
        number, own = torch.full(inside.shape[1:], -1.0), inside[kept]
        for i, one in enumerate(own):
            number[one.bool()] = i
        info = [
            {"id": i, "label_id": int(name), "was_fused": False, "score": round(float(score), 6)}
            for i, (name, score) in enumerate(zip(label[kept], scores[kept], strict=True))
        ]
        drawn: Any = own if return_binary_maps and len(own) else number
        drawn = run_lengths(number) if return_coco_annotation else drawn
        found.append({"segmentation": drawn, "segments_info": info})
    return found


def best_pairs(
    outputs: Any,
    threshold: float | None = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    target_sizes: Any = None,
    return_coco_annotation: bool = False,
    kept_labels: Sequence[int] | None = None,
    counted: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Segments of the surest pairs of a query and a label, each pixel to the surest of them.

    Args:
        outputs: logits and masks by queries.
        threshold: probability of its label that a pair needs; None for any.
        mask_threshold: least logit, times that probability, of a pixel of a mask of its own.
        overlap_mask_area_threshold: share of that mask that must be left to the segment.
        target_sizes: see `sizes_of`.
        return_coco_annotation: run lengths in place of the map, where there is a segment.
        kept_labels: other labels are left out.
        counted: likewise, and labels are their places in it.

    Returns:
        As `segments`.
    """
    import torch

    labels, masks = _by_query(outputs)
    shares, found = labels.softmax(-1)[..., :-1], []
    limits = mask_threshold, overlap_mask_area_threshold
    for share, mask, size in zip(shares, masks, sizes_of(target_sizes, len(labels)), strict=True):
        score, at = share.flatten().topk(len(share), sorted=False)
        label = at % share.shape[1]
        kept = torch.ones_like(score, dtype=torch.bool) if threshold is None else score > threshold
        for one in (kept_labels, counted):
            kept = kept if one is None else kept & torch.isin(label, label.new_tensor(one))
        score, at, label = score[kept], at[kept], label[kept]
        if counted is not None:
            label = label.new_tensor([counted.index(one) for one in label.tolist()])
        made = _joined(mask[at // share.shape[1]], score, label, limits, size, antialias=True)
        if return_coco_annotation and len(label):
            made["segmentation"] = run_lengths(made["segmentation"])
        found.append(made)
    return found


panoptic_antialiased = functools.partial(panoptic, antialias=True)

# Mask2Former's masks are made as large as the pictures that it was trained on
_TRAINED_ON = 384
semantic_in_squares = functools.partial(semantic, edge=_TRAINED_ON)
panoptic_in_squares = functools.partial(panoptic, edge=_TRAINED_ON)
surest_in_squares = functools.partial(surest, edge=_TRAINED_ON)


def run_lengths(segmentation: Tensor) -> list[list[int]]:
    """For each number in a map [height, width] where its runs begin, from 1, and how long each is."""
    import torch

    flat, found = segmentation.flatten(), []
    for number in torch.unique(segmentation):
        padded = torch.nn.functional.pad((flat == number).int(), (1, 1))
        ends = torch.where(padded[1:] != padded[:-1])[0] + 1
        ends[1::2] -= ends[::2].clone()
        found.append(ends.tolist())
    return found


def in_pixels(boxes: Tensor, target_sizes: Any) -> Tensor:
    """Boxes [B, N, 4] as shares of their pictures -> in pixels."""
    sizes = boxes.new_tensor([size or (1, 1) for size in sizes_of(target_sizes, len(boxes))])
    return boxes * sizes.flip(1).repeat(1, 2)[:, None]


def objects(outputs: Any, threshold: float = 0.5, target_sizes: Any = None) -> list[dict[str, Tensor]]:
    """Boxes of queries that are sure of a label other than the last, which says that there is nothing.

    Args:
        outputs: `logits` [B, Q, C + 1] and `pred_boxes` [B, Q, 4].
        threshold: least probability of the label.
        target_sizes: see `sizes_of`.

    Returns:
        For each picture `scores` [N], `labels` [N] and `boxes` [N, 4] (left, top, right, bottom).
    """
    scores, labels = outputs["logits"].softmax(-1)[..., :-1].max(-1)
    boxes = in_pixels(corners(outputs["pred_boxes"]), target_sizes)
    return _surest(scores, labels, boxes, threshold)


def objects_by_label(
    outputs: Any, threshold: float = 0.5, target_sizes: Any = None, top_k: int = 100
) -> list[dict[str, Tensor]]:
    """As `objects`, where labels do not exclude each other: the best pairs of a query and a label."""
    logits = outputs["logits"]
    scores, at = logits.sigmoid().flatten(1).topk(min(top_k, logits[0].numel()), dim=1)
    boxes = in_pixels(corners(outputs["pred_boxes"]), target_sizes)
    boxes = boxes.gather(1, (at // logits.shape[2])[..., None].expand(-1, -1, 4))
    return _surest(scores, at % logits.shape[2], boxes, threshold)


def best_objects(
    outputs: Any, threshold: float = 0.5, target_sizes: Any = None, use_focal_loss: bool = True
) -> list[dict[str, Tensor]]:
    """As `objects_by_label`, as many as there are queries; as `objects` without `use_focal_loss`."""
    if not use_focal_loss:
        return objects(outputs, threshold, target_sizes)
    return objects_by_label(outputs, threshold, target_sizes, top_k=outputs["logits"].shape[1])


def queried(
    outputs: Any, threshold: float = 0.1, target_sizes: Any = None, square: bool = False
) -> list[dict[str, Tensor]]:
    """As `objects`, of patches, whose labels are what was asked for and do not exclude each other.

    Args:
        outputs: `logits` [B, N, Q] and `pred_boxes` [B, N, 4].
        threshold: least probability of the likeliest label.
        target_sizes: see `sizes_of`.
        square: boxes are shares of the square whose edge is the picture's longest.
    """
    logits, labels = outputs["logits"].max(-1)
    boxes = in_pixels(corners(outputs["pred_boxes"]), _squares(target_sizes) if square else target_sizes)
    return _surest(logits.sigmoid(), labels, boxes, threshold)


def grounded(
    outputs: Any,
    threshold: float = 0.1,
    target_sizes: Any = None,
    text_labels: Sequence[Sequence[str]] | None = None,
    square: bool = False,
) -> list[dict[str, Any]]:
    """As `queried`, with the texts themselves: `text_labels` [N], None where they are not given.

    Raises:
        ValueError: for another number of lists of texts than pictures.
    """
    found: list[dict[str, Any]] = [*queried(outputs, threshold, target_sizes, square)]
    if text_labels is not None and len(text_labels) != len(found):
        raise ValueError(
            f"text_labels has {len(text_labels)} lists, but there are {len(found)} pictures: each has its own"
        )
    for place, one in enumerate(found):
        texts = None if text_labels is None else text_labels[place]
        one["text_labels"] = None if texts is None else [texts[label] for label in one["labels"]]
    return found


def similar(
    outputs: Any,
    threshold: float = 0.0,
    nms_threshold: float = 0.3,
    target_sizes: Any = None,
    square: bool = False,
) -> list[dict[str, Any]]:
    """Boxes of patches that show what another picture shows.

    Args:
        outputs: `logits` [B, N, Q] and `target_pred_boxes` [B, N, 4].
        threshold: least probability.
        nms_threshold: a box whose intersection over union with a surer one is larger is left out.
        target_sizes: see `sizes_of`.
        square: see `queried`.

    Returns:
        For each picture `scores` [N], 1 for the best and 0 for a tenth of its probability; `labels` None; and
        `boxes` [N, 4].
    """
    import torch

    scores, edges = outputs["logits"].max(-1).values.sigmoid(), corners(outputs["target_pred_boxes"])
    boxes = in_pixels(edges, _squares(target_sizes) if square else target_sizes)
    found = []
    for score, edge, box in zip(scores.clone(), edges, boxes, strict=True):
        for i in score.argsort(descending=True) if nms_threshold < 1 else ():
            if score[i]:
                close = overlap(edge[i], edge) > nms_threshold
                close[i] = False
                score[close] = 0
        score[score < threshold] = 0
        most = score.max() + 1e-6
        share = torch.clip((score - most * 0.1) / (most * 0.9), 0, 1)
        kept = share > 0
        found.append({"scores": share[kept], "labels": None, "boxes": box[kept]})
    return found


semantic_of_all = functools.partial(semantic, nothing=False)
queried_in_square = functools.partial(queried, square=True)
grounded_in_square = functools.partial(grounded, square=True)
similar_in_square = functools.partial(similar, square=True)


def _squares(target_sizes: Any) -> Any:
    if target_sizes is None:
        return None
    return [(max(int(high), int(wide)),) * 2 for high, wide in target_sizes]


def _surest(scores: Tensor, labels: Tensor, boxes: Tensor, threshold: float) -> list[dict[str, Tensor]]:
    found = []
    for score, label, box in zip(scores, labels, boxes, strict=True):
        kept = score > threshold
        found.append({"scores": score[kept], "labels": label[kept], "boxes": box[kept]})
    return found


def depths(outputs: Any, target_sizes: Any = None, mode: str = "bicubic") -> list[dict[str, Tensor]]:
    """`predicted_depth` [height, width] of every picture."""
    made = outputs["predicted_depth"]
    found = []
    for one, size in zip(made, sizes_of(target_sizes, len(made)), strict=True):
        found.append({"predicted_depth": one if size is None else _enlarged(one[None], size, mode)[0]})
    return found


def keypoints(outputs: Any, target_sizes: Any = None) -> list[dict[str, Tensor]]:
    """The points of every picture, [K, (across, down)], with scores and descriptors.

    They are whole pixels, int32; without sizes shares of the picture.
    """
    import torch

    found = []
    for place, size in enumerate(sizes_of(target_sizes, len(outputs["mask"]))):
        kept = outputs["mask"][place].bool()
        shares, scores, looks = (
            outputs[name][place][kept] for name in ("keypoints", "scores", "descriptors")
        )
        at = shares if size is None else (shares * shares.new_tensor(size[::-1])).to(torch.int32)
        found.append({"keypoints": at, "scores": scores, "descriptors": looks})
    return found


def matches(outputs: Any, target_sizes: Any, threshold: float = 0.0) -> list[dict[str, Tensor]]:
    """What two pictures both show: points of each, [K, (across, down)] in whole pixels, int32, and scores.

    Args:
        outputs: what the model returned.
        target_sizes: for every pair the sizes of both pictures, [B, 2, (height, width)].
        threshold: what scores exceed.

    Raises:
        ValueError: for sizes of another shape.
    """
    import torch

    mask, numbers, scores = outputs["mask"] > 0, outputs["matches"], outputs["matching_scores"]
    sizes = torch.as_tensor(target_sizes, device=mask.device)
    if sizes.shape != (len(mask), 2, 2):
        raise ValueError(
            f"target_sizes are [{len(mask)}, 2, (height, width)], a size for both pictures of every pair, "
            f"not {list(sizes.shape)}"
        )
    at = (outputs["keypoints"] * sizes.flip(-1)[:, :, None]).to(torch.int32)  # [B, 2, N, 2]
    found = []
    for seen, places, (there, _), (sure, _) in zip(mask, at, numbers, scores, strict=True):
        first, second = (one[real] for one, real in zip(places, seen, strict=True))
        there, sure = there[seen[0]], sure[seen[0]]
        kept = (sure > threshold) & (there > -1) & (there < len(second))
        found.append(
            {
                "keypoints0": first[kept],
                "keypoints1": second[there[kept].long()],
                "matching_scores": sure[kept],
            }
        )
    return found
