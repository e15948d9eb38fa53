"""Mask generation: masks of everything that a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from formers.pipelines.frame import Call, number, whole_number
from formers.pipelines.image.base import ImagePipeline


class MaskGenerationPipeline(ImagePipeline):
    """Masks of whatever is in a picture: `pipeline("mask-generation")`.

        pipe("street.jpg")    {"masks": [bool arrays [height, width]], "scores": tensor}, the best first

    The model is pointed at places all over the picture; good, stable masks are kept, and of those whose boxes
    are nearly the same the best.

    Args:
        model: a model that makes masks of what is pointed at.
        **kwargs: those of `ImagePipeline`, and as defaults for every call:

            points_per_batch: prompts that are answered together (64); None for all.
            points_per_crop: points down and across (32).
            crops_n_layers: crops are looked at too, 4^i of the layer i (0: none).
            crop_overlap_ratio: how much those of the first layer overlap (512 / 1500 of the shortest edge).
            crop_n_points_downscale_factor: how many times fewer points each layer has (1).
            pred_iou_thresh: least quality of a mask, as the model says it (0.88).
            stability_score_thresh: least stability of a mask (0.95), when the limit of its logits is moved by
                stability_score_offset (1).
            mask_threshold: logit above which a pixel belongs to a mask (0).
            crops_nms_thresh: intersection over union of boxes that are the same (0.7).
            output_rle_mask, output_bboxes_mask: answers hold run lengths, `rle_mask`, and `bounding_boxes`.

    Raises:
        ValueError: for points_per_batch below 1.
    """

    default_task: ClassVar[str] = "mask-generation"

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        points_per_batch: int | None = -1,
        points_per_crop: int | None = None,
        crops_n_layers: int | None = None,
        crop_overlap_ratio: float | None = None,
        crop_n_points_downscale_factor: int | None = None,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        stability_score_offset: float | None = None,
        mask_threshold: float | None = None,
        crops_nms_thresh: float | None = None,
        output_rle_mask: bool | None = None,
        output_bboxes_mask: bool | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        cut: dict[str, Any] = {
            "points_per_crop": whole_number("points_per_crop", points_per_crop, "points, at least 1"),
            "crop_n_layers": whole_number("crops_n_layers", crops_n_layers, "layers, at least 0", 0),
            "overlap_ratio": number("crop_overlap_ratio", crop_overlap_ratio),
            "crop_n_points_downscale_factor": whole_number(
                "crop_n_points_downscale_factor", crop_n_points_downscale_factor, "times, at least 1"
            ),
        }
        kept: dict[str, Any] = {
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "stability_score_offset": stability_score_offset,
            "mask_threshold": mask_threshold,
        }
        kept = {name: number(name, value) for name, value in kept.items()}
        shown: dict[str, Any] = {
            "crops_nms_thresh": number("crops_nms_thresh", crops_nms_thresh),
            "output_rle_mask": output_rle_mask,
            "output_bboxes_mask": output_bboxes_mask,
        }
        steps = [{k: v for k, v in one.items() if v is not None} for one in (cut, kept, shown)]
        steps[0] |= self._reading(timeout, on_error)
        if points_per_batch != -1:
            steps[1]["at_once"] = whole_number("points_per_batch", points_per_batch, "points, at least 1")
        return steps[0], steps[1], steps[2]

    def _made(self, picture: Any, settings: dict[str, Any]) -> Any:
        """Crops of a picture, as the model reads them, and points all over each."""
        size = self.image_processor.size
        edge = size.get("longest_edge", size.get("height"))
        boxes, points, crops, labels = self.image_processor.generate_crop_boxes(picture, edge, **settings)
        made = self.image_processor(crops, return_tensors="pt", input_data_format="channels_last")
        made["asked"] = (boxes, points, labels)  # in float64 still, whatever the model's format
        return made

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Each picture by itself: its points are a batch."""
        return [super(MaskGenerationPipeline, self)._run([one], call)[0] for one in prepared]

    def _forward(self, model_inputs: Any, at_once: int | None = 64, **limits: Any) -> Any:
        """Run lengths of the masks that are kept, with their scores and boxes."""
        boxes, points, labels = model_inputs["asked"]
        sizes, parts = model_inputs["original_sizes"], model_inputs.get("reshaped_input_sizes", [])
        held: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for i, image in enumerate(model_inputs["pixel_values"]):
            seen = self.model.get_image_embeddings(image[None])
            for start in range(0, points.shape[1], at_once or points.shape[1]):
                some = slice(start, start + (at_once or points.shape[1]))
                asked = {
                    "input_points": points[:, some, i : i + 1],
                    "input_labels": labels[:, some, i : i + 1],
                }
                found = self.model(image_embeddings=seen, **asked)
                one = {"reshaped_input_sizes": parts[i : i + 1]}
                logits = self.image_processor.post_process_masks(
                    found["pred_masks"], sizes[i : i + 1], **one, binarize=False
                )
                kept = self.image_processor.filter_masks(
                    logits[0], found["iou_scores"][0], sizes[0].tolist(), boxes[i].cpu(), **limits
                )
                for so_far, one in zip(held, kept, strict=True):
                    so_far.append(one)
        return {"runs": sum(held[0], []), "scores": torch.cat(held[1]), "boxes": torch.cat(held[2])}

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The masks of one picture."""
        return self._answer(model_outputs, **params)

    def _answer(
        self,
        outputs: Any,
        crops_nms_thresh: float = 0.7,
        output_rle_mask: bool = False,
        output_bboxes_mask: bool = False,
    ) -> dict[str, Any]:
        masks, scores, runs, boxes = self.image_processor.post_process_for_mask_generation(
            outputs["runs"], outputs["scores"], outputs["boxes"], crops_nms_thresh
        )
        found = {"masks": masks, "scores": scores}
        if output_rle_mask:
            found["rle_mask"] = runs
        if output_bboxes_mask:
            found["bounding_boxes"] = boxes
        return found
