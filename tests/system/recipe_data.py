"""Small files of examples for the tasks of `formers train`, and one training on them."""

from __future__ import annotations

import json
import random

import tiny
from formers.jobs.table import job_of


def train(task, data, model, output, **more):
    """Train a tiny model for `task`; its job and what came out."""
    job_class = job_of(task)
    given = {"bf16": False, "device": "cpu", "learning_rate": 3e-3, "batch_size": 16, "epochs": 1, **more}
    job = job_class(job_class.plan_class(data, str(model), output, **given))
    return job, job.run(lambda line: None)


def write_lines(path, rows):
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentences(count):
    """Lists of words and of tags; two words in a row are an entity."""
    draw, found = random.Random(0), []
    for _ in range(count):
        kind = draw.choice(list(tiny.WORDS))
        words = [*draw.sample(tiny.FILLERS, 3), *draw.sample(tiny.WORDS[kind], 2)]
        found.append((words, ["O", "O", "O", f"B-{kind}", f"I-{kind}"]))
    return found


def write_conll(path, rows):
    """Write sentences as CoNLL has them."""
    lines = ["-DOCSTART- -X- O", ""]
    for words, tags in rows:
        lines += [f"{word} X {tag}" for word, tag in zip(words, tags, strict=True)] + [""]
    path.write_text("\n".join(lines))
    return path


def write_squad(path, count):
    """Write an article with two questions about each text; every second text has no answer."""
    draw, paragraphs = random.Random(0), []
    for number in range(count):
        word = draw.choice(tiny.WORDS["shipping" if number % 2 else "billing"])
        context = " ".join([*draw.sample(tiny.FILLERS, 4), word, *draw.sample(tiny.FILLERS, 3)])
        answers = [] if number % 2 else [{"text": word, "answer_start": context.index(word)}]
        more = {"answers": answers, "is_impossible": not answers}
        questions = [{"question": question, **more} for question in ("please help", "since today")]
        paragraphs.append({"context": context, "qas": questions})
    path.write_text(json.dumps({"version": "2.0", "data": [{"title": "", "paragraphs": paragraphs}]}))
    return path


def write_texts(folder, count):
    """Write two files of lines, in each of which a word tells the next one."""
    folder.mkdir()
    for name, kind in (("a.txt", "billing"), ("b.txt", "shipping")):
        draw, words = random.Random(name), tiny.WORDS[kind]
        starts = [draw.randrange(5) for _ in range(count)]
        lines = [" ".join(words[(start + step) % 5] for step in range(7)) for start in starts]
        (folder / name).write_text("\n".join(lines))
    return folder


def save_decoder(folder):
    """Save a two-layer GPT-2, and its tokenizer."""
    import torch

    from formers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny.save_encoder(folder))
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def save_writer(folder):
    """Save a T5 of one layer a side, and its tokenizer."""
    import torch

    from formers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(tiny.save_encoder(folder))
    torch.manual_seed(0)
    config = T5Config(
        **{
            "vocab_size": len(tokenizer),
            "d_model": 32,
            "d_kv": 16,
            "d_ff": 64,
            "num_layers": 1,
            "num_heads": 2,
        },
        **{"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": tokenizer.sep_token_id},
        task_specific_params={"translation_en_to_de": {"prefix": "please ", "min_length": 30}},
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def alike(count, *, texts=2):
    """Rows of texts, of which the first two are about the same; with three of them, the third is not."""
    draw, kinds, rows = random.Random(0), list(tiny.WORDS), []
    for number in range(count):
        same, other = kinds[number % 3], kinds[(number + 1) % 3]
        found = [
            draw.sample(tiny.WORDS[kind], 2) + draw.sample(tiny.FILLERS, 2) for kind in (same, same, other)
        ]
        rows.append([" ".join(words) for words in found[:texts]])
    return rows


def rewritten(count):
    """Texts, and the one word of them that says what they are about."""
    return [
        (text, next(word for word in text.split() if word not in tiny.FILLERS))
        for text, _ in tiny.tickets(count)
    ]
