"""A small model that learns from nothing to spell speech, which espeak-ng says with several voices.

python examples/spelling_speech.py --output DIR

Sentences of a vocabulary of sixty words are spoken, read as filter banks by a small conformer, and learned
with the CTC loss (Graves et al. 2006). Then the word error rate on sentences that were never heard in
training is printed, and the minutes that all of it took. Interrupted, the same command goes on behind the
last epoch.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import string
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch

from formers import (
    SeamlessM4TFeatureExtractor,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2BertProcessor,
    Wav2Vec2CTCTokenizer,
    pipeline,
    set_seed,
)
from formers.audio_utils import load_audio
from formers.trainer_utils import get_last_checkpoint

WORDS = tuple(
    """
    one two three four five six seven eight nine ten red blue green yellow black white small large old new
    dog cat bird fish horse house garden river mountain street table chair window door bread water milk apple
    opens closes sees finds takes brings likes wants sings walks today tomorrow morning evening never always
    with under behind before and the
    """.split()  # noqa: SIM905  (a list of sixty lines is no easier to read)
)
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-us+f2", "en-us+m3", "en-gb+f4", "en-gb+m7")
RATE = 16000
BANDS, TOGETHER = 80, 4  # filter banks, and how many moments of 10 ms one frame of the model holds
LETTERS = {sign: i for i, sign in enumerate(("<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_lowercase))}


@dataclass(frozen=True)
class Spoken:
    """A sentence, and how it is said: speed in words a minute, pitch from 0 to 99."""

    text: str
    voice: str
    speed: int
    pitch: int


@dataclass
class DataCollatorCTCWithPadding:
    """Sounds and letters of several lengths as one batch; places without a letter have the label -100."""

    processor: Any
    padding: str | bool = "longest"

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch for the model."""
        sounds = [{"input_features": feature["input_features"]} for feature in features]
        letters = [{"input_ids": feature["labels"]} for feature in features]
        batch = self.processor.pad(sounds, padding=self.padding, return_tensors="pt")
        labels = self.processor.pad(labels=letters, padding=self.padding, return_tensors="pt")
        batch["labels"] = labels["input_ids"].masked_fill(labels["attention_mask"].ne(1), -100)
        return dict(batch)


class Clock(TrainerCallback):
    """The minutes of work that a checkpoint holds, over all runs that led to it."""

    def __init__(self, output: Path) -> None:
        self._file, self._began = output / "minutes.txt", time.monotonic()
        self._before = float(self._file.read_text()) if self._file.exists() else 0.0

    @property
    def minutes(self) -> float:
        """Until now."""
        return self._before + (time.monotonic() - self._began) / 60

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep them beside what was learned."""
        self.keep()

    def keep(self) -> None:
        """Write them down."""
        self._file.write_text(str(self.minutes))


def sentences(count: int, known: Sequence[str] = (), seed: int = 0) -> list[Spoken]:
    """So many different sentences of three to seven words, none of which is known."""
    draw, texts = random.Random(seed), dict.fromkeys(known)
    found = []
    while len(found) < count:
        text = " ".join(draw.choices(WORDS, k=draw.randint(3, 7)))
        if text not in texts:
            texts[text] = None
            found.append(Spoken(text, draw.choice(VOICES), draw.randint(140, 190), draw.randint(35, 65)))
    return found


def speak(one: Spoken, program: str, folder: Path) -> np.ndarray:
    """Its samples, 16000 a second, float32."""
    path, pitch = folder / "spoken.wav", str(one.pitch)
    command = [program, "-v", one.voice, "-s", str(one.speed), "-p", pitch, "-w", str(path), one.text]
    subprocess.run(command, check=True)
    return load_audio(str(path), sampling_rate=RATE)


def rows_of(spoken: Sequence[Spoken], processor: Any, program: str) -> list[dict[str, Any]]:
    """Filter banks and letters of every sentence."""
    rows, letters = [], processor(text=[one.text for one in spoken]).input_ids
    with tempfile.TemporaryDirectory() as folder:
        for one, labels in zip(spoken, letters, strict=True):
            made = processor(speak(one, program, Path(folder)), sampling_rate=RATE)
            rows.append({"input_features": made["input_features"][0], "labels": labels})
    return rows


def heard_once(output: Path, which: str, spoken: Sequence[Spoken], *how: Any) -> list[dict[str, Any]]:
    """The rows of sentences, spoken by the first of several runs and kept in a file for the others."""
    file, wanted = output / f"{which}.pt", [BANDS * TOGETHER, *map(vars, spoken)]
    if file.exists():
        known, rows = torch.load(file, weights_only=False)
        if known == wanted:
            return rows
    rows = rows_of(spoken, *how)
    torch.save((wanted, rows), file)
    return rows


def make_processor(output: Path) -> Wav2Vec2BertProcessor:
    """Letters, a sign between words, and filter banks of which four at a time make a frame of 40 ms."""
    vocabulary = output / "vocab.json"
    vocabulary.write_text(json.dumps(LETTERS))
    tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary))
    extractor = SeamlessM4TFeatureExtractor(
        feature_size=BANDS, num_mel_bins=BANDS, stride=TOGETHER, sampling_rate=RATE
    )
    return Wav2Vec2BertProcessor(feature_extractor=extractor, tokenizer=tokenizer)


def make_model(width: int, layers: int) -> Wav2Vec2BertForCTC:
    """A conformer with first values drawn at random."""
    config = Wav2Vec2BertConfig(
        vocab_size=len(LETTERS),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * width,
        feature_projection_input_dim=BANDS * TOGETHER,
        conv_depthwise_kernel_size=9,
        layerdrop=0.0,
        final_dropout=0.05,
        hidden_dropout=0.05,
        conformer_conv_dropout=0.05,
        mask_time_prob=0.05,
        mask_time_length=2,
        mask_feature_prob=0.05,
        mask_feature_length=8,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
    )
    return Wav2Vec2BertForCTC(config)


def main() -> None:
    """Speak, learn, and count mistakes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    parser.add_argument("--sentences", type=int, default=2000, help="to learn from")
    parser.add_argument("--unseen", type=int, default=200, help="to judge by")
    parser.add_argument("--epochs", type=float, default=14.0)
    parser.add_argument("--width", type=int, default=144)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    options = parser.parse_args()
    program = shutil.which("espeak-ng")
    if program is None:
        parser.error("espeak-ng is missing, which speaks: apt install espeak-ng")
    options.output.mkdir(parents=True, exist_ok=True)
    set_seed(0)
    clock, processor = Clock(options.output), make_processor(options.output)
    spoken = sentences(options.sentences)
    unseen = sentences(options.unseen, [one.text for one in spoken], seed=1)
    train = heard_once(options.output, "train", spoken, processor, program)
    judged = heard_once(options.output, "unseen", unseen, processor, program)
    clock.keep()
    print(f"{len(train)} sentences to learn from, spoken until minute {clock.minutes:.1f}")

    def compute_metrics(found: Any) -> dict[str, float]:
        heard = processor.batch_decode(np.argmax(found.predictions, axis=-1))
        found.label_ids[found.label_ids == -100] = processor.tokenizer.pad_token_id
        said = processor.batch_decode(found.label_ids, group_tokens=False)
        return {"wer": jiwer.wer(said, heard), "cer": jiwer.cer(said, heard)}

    trainer = Trainer(
        model=make_model(options.width, options.layers),
        args=TrainingArguments(
            output_dir=str(options.output / "run"),
            num_train_epochs=options.epochs,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=32,
            learning_rate=options.learning_rate,
            warmup_ratio=0.1,
            weight_decay=0.01,
            lr_scheduler_type="cosine",
            max_grad_norm=1.0,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            train_sampling_strategy="group_by_length",  # batches of one length are computed at once
            logging_steps=50,
            report_to="none",
            seed=0,
        ),
        train_dataset=train,
        eval_dataset=judged,
        data_collator=DataCollatorCTCWithPadding(processor),
        compute_metrics=compute_metrics,
        processing_class=processor,
        callbacks=[clock],
    )
    run = options.output / "run"
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(run)) if run.exists() else None)
    rate = trainer.evaluate()["eval_wer"]
    trainer.save_model(str(options.output))
    processor.save_pretrained(options.output)
    minutes = clock.minutes
    with tempfile.TemporaryDirectory() as folder:
        sound = speak(unseen[0], program, Path(folder))
    answer = pipeline("automatic-speech-recognition", model=str(options.output))(sound)
    print(f"said:  {unseen[0].text}")
    print(f"heard: {answer['text']}")
    print(
        f"word error rate {100 * rate:.1f} % on {len(unseen)} unseen sentences, after {minutes:.1f} minutes"
    )


if __name__ == "__main__":
    main()
