"""Fine-tuning on speech as the ecosystem's guides print it: CTC and Whisper, their collators, error rates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import torch

import formers
from tests.generation import small_speech, small_spelling

RATE = 16000


def _spoken(seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    wave = draw.normal(0, 0.1, int(draw.integers(1600, 4000))).astype(np.float32)
    return {"audio": {"array": wave, "sampling_rate": RATE}, "transcription": "BAD CAB"[: 3 + 4 * (seed % 2)]}


@dataclass
class DataCollatorCTCWithPadding:
    processor: Any
    padding: Any = "longest"

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        input_features = [{"input_values": feature["input_values"][0]} for feature in features]
        label_features = [{"input_ids": feature["labels"]} for feature in features]
        batch = self.processor.pad(input_features, padding=self.padding, return_tensors="pt")
        labels_batch = self.processor.pad(labels=label_features, padding=self.padding, return_tensors="pt")
        labels = labels_batch["input_ids"].masked_fill(labels_batch.attention_mask.ne(1), -100)
        batch["labels"] = labels
        return dict(batch)


def test_letters_are_learned_as_the_guide_says(tmp_path: Path) -> None:
    small_spelling.write(tmp_path, mask_time_prob=0.5, mask_time_length=2, apply_spec_augment=True)
    processor = formers.AutoProcessor.from_pretrained(tmp_path)

    def prepare(batch: dict[str, Any]) -> dict[str, Any]:
        audio = batch["audio"]
        made = processor(audio["array"], sampling_rate=audio["sampling_rate"], text=batch["transcription"])
        return {"input_values": made["input_values"], "labels": made["labels"]}

    def compute_metrics(pred: Any) -> dict[str, float]:
        pred_ids = np.argmax(pred.predictions, axis=-1)
        pred.label_ids[pred.label_ids == -100] = processor.tokenizer.pad_token_id
        pred_str = processor.batch_decode(pred_ids)
        label_str = processor.batch_decode(pred.label_ids, group_tokens=False)
        assert set(label_str) == {"BAD", "BAD CAB"}
        return {"wer": jiwer.wer(label_str, pred_str), "cer": jiwer.cer(label_str, pred_str)}

    data = [prepare(_spoken(seed)) for seed in range(4)]
    model = formers.AutoModelForCTC.from_pretrained(
        tmp_path, ctc_loss_reduction="mean", pad_token_id=processor.tokenizer.pad_token_id
    )
    model.freeze_feature_encoder()
    before = model.lm_head.weight.detach().clone()
    trainer = formers.Trainer(
        model=model,
        args=formers.TrainingArguments(
            output_dir=str(tmp_path / "out"),
            per_device_train_batch_size=2,
            per_device_eval_batch_size=3,
            max_steps=2,
            learning_rate=1e-3,
            report_to="none",
            use_cpu=True,
            save_strategy="no",
        ),
        train_dataset=data,
        eval_dataset=data,
        processing_class=processor,
        data_collator=DataCollatorCTCWithPadding(processor=processor, padding="longest"),
        compute_metrics=compute_metrics,
    )
    assert np.isfinite(trainer.train().training_loss)
    assert not torch.equal(model.lm_head.weight, before)
    assert {"eval_wer", "eval_cer", "eval_loss"} <= set(trainer.evaluate())
    batch = DataCollatorCTCWithPadding(processor)(data[:2])
    assert batch["labels"].shape == (2, 7)
    assert (batch["labels"][0, 3:] == -100).all()
    with pytest.raises(ValueError, match="input_features=, labels= or both"):
        processor.pad()


@dataclass
class DataCollatorSpeechSeq2SeqWithPadding:
    processor: Any
    decoder_start_token_id: int

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        input_features = [{"input_features": feature["input_features"]} for feature in features]
        batch = self.processor.feature_extractor.pad(input_features, return_tensors="pt")
        label_features = [{"input_ids": feature["labels"]} for feature in features]
        labels_batch = self.processor.tokenizer.pad(label_features, return_tensors="pt")
        labels = labels_batch["input_ids"].masked_fill(labels_batch.attention_mask.ne(1), -100)
        if (labels[:, 0] == self.decoder_start_token_id).all().cpu().item():
            labels = labels[:, 1:]
        batch["labels"] = labels
        return dict(batch)


def test_whisper_is_fine_tuned_as_the_guide_says(tmp_path: Path) -> None:
    small_speech.both(tmp_path)
    small_speech.write_processor(tmp_path)
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    model = formers.WhisperForConditionalGeneration.from_pretrained(tmp_path)

    def prepare(batch: dict[str, Any]) -> dict[str, Any]:
        audio = batch["audio"]
        extractor = processor.feature_extractor
        features = extractor(audio["array"], sampling_rate=audio["sampling_rate"]).input_features[0]
        return {"input_features": features, "labels": processor.tokenizer("abc").input_ids}

    data = [prepare(_spoken(seed)) for seed in range(4)]
    start = model.config.decoder_start_token_id
    collate = DataCollatorSpeechSeq2SeqWithPadding(processor=processor, decoder_start_token_id=start)
    trainer = formers.Seq2SeqTrainer(
        model=model,
        args=formers.Seq2SeqTrainingArguments(
            output_dir=str(tmp_path / "out"),
            per_device_train_batch_size=2,
            max_steps=2,
            predict_with_generate=True,
            generation_max_length=8,
            report_to="none",
            use_cpu=True,
            save_strategy="no",
        ),
        train_dataset=data,
        eval_dataset=data,
        processing_class=processor.feature_extractor,
        data_collator=collate,
        compute_metrics=lambda pred: {"rows": float(len(pred.predictions))},
    )
    assert np.isfinite(trainer.train().training_loss)
    assert trainer.evaluate()["eval_rows"] == 4.0
