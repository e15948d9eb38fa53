"""`formers train`: fine-tune, calibrate and save a classifier, from a labelled table."""

from __future__ import annotations

from typing import Annotated

import typer

from formers.cli import choices

EmaDecay = Annotated[
    float, typer.Option(min=0, max=0.9999, help="Of the average of the weights that is kept; 0 for none.")
]
ClassWeights = Annotated[str, typer.Option(help="Weight of rare labels in the loss: sqrt, balanced or none.")]
Bfloat16 = Annotated[
    bool | None, typer.Option("--bf16/--no-bf16", help="bfloat16 where the hardware has it, if left out.")
]


def train(
    data: choices.Data,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Pretrained encoder: folder or Hub id.", show_default=False)
    ],
    output: choices.Folder,
    text_column: choices.TextColumn = "text",
    label_column: choices.LabelColumn = "label",
    epochs: Annotated[float, typer.Option(min=0, help="Passes over the training part.")] = 4.0,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="Its highest value; 2e-5 to 5e-5 suit larger models.")
    ] = 2e-4,
    head_learning_rate: Annotated[
        float | None, typer.Option(min=0, help="That of the new head; 5 times the other, if left out.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in a step.")] = 32,
    warmup: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the steps in which the rate rises.")
    ] = 0.1,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.0,
    ema_decay: EmaDecay = 0.995,
    max_length: Annotated[
        int, typer.Option(min=8, help="Longest text in tokens, in training and ever after.")
    ] = 256,
    class_weights: ClassWeights = "sqrt",
    bf16: Bfloat16 = None,
    seed: Annotated[
        int, typer.Option(help="Of the weights' start, the order of the texts and the splits.")
    ] = 0,
    test_size: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share held out and judged at the end; 0 for none.")
    ] = 0.1,
    validation_size: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of the rest for early stopping and calibration.")
    ] = 0.1,
    precision: Annotated[
        float, typer.Option(min=0.01, max=1, help="Wanted among the answers that no person sees.")
    ] = 0.9,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better macro F1 before it stops.")
    ] = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the output folder.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Train again over a finished output folder.")
    ] = False,
    device: choices.Device = None,
) -> None:
    """Fine-tune a classifier; save it with its tokenizer, calibration, thresholds and drift baseline.

    Ctrl-C leaves a checkpoint behind, from which --resume goes on.
    """
    options = dict(locals())
    from formers.cli.evaluate import show
    from formers.cli.show import say
    from formers.desk import drift
    from formers.jobs.classification import Plan, run

    outcome = run(Plan(**options), say)
    predictor, texts = outcome.predictor, [row["text"] for row in outcome.validation]
    if len(texts) >= drift.MINIMUM:
        tokenizer = predictor.pipe.tokenizer
        drift.baseline(texts, outcome.probabilities, label_names=predictor.labels, tokenizer=tokenizer).save(
            output
        )
    else:
        say(f"no drift baseline: {len(texts)} validation texts, {drift.MINIMUM} are needed")
    if outcome.judged is not None:
        show(outcome.judged.metrics)
    say(f"saved: {output}   next: formers serve --model {output}")
