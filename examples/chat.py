"""A chat of three turns with a decoder, streamed, and how many tokens a second it wrote.

    python examples/chat.py FOLDER [--say TEXT ...] [--max-new-tokens 48]

`make demo-chat MODEL=FOLDER` runs this; `formers chat FOLDER` is the same with a person who types.
"""

from __future__ import annotations

import argparse

from formers.jobs.chat import Chat

TEXTS = [
    "Name three animals that live in the sea.",
    "Which of them is the largest?",
    "Write one sentence about it.",
]
NONE = (
    "Name the folder of a decoder, which for instance `hf download HuggingFaceTB/SmolLM2-135M-Instruct "
    "--local-dir FOLDER` makes: make demo-chat MODEL=FOLDER"
)


def main() -> None:
    options = arguments()
    if options.model is None:
        raise SystemExit(NONE)
    chat = Chat.load(options.model, do_sample=False, max_new_tokens=options.max_new_tokens)
    if not chat.templated:
        print("(no chat template: the model goes on with the plain text)")
    answers = []
    for text in options.say:
        print(f"\n> {text}")
        answers.append(chat.answer(text, lambda piece: print(piece, end="", flush=True)))
        print()
    tokens, seconds = sum(one.tokens for one in answers), sum(one.seconds for one in answers)
    print(f"\n{len(answers)} turns, {tokens} tokens, {tokens / seconds:.1f} tokens per second")
    print("prompt tokens read in each turn:", *(one.read for one in answers))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="folder of a decoder, or a Hub id")
    parser.add_argument("--say", nargs="+", default=TEXTS, metavar="TEXT", help="what is said, turn by turn")
    parser.add_argument("--max-new-tokens", type=int, default=48)
    return parser.parse_args()


if __name__ == "__main__":
    main()
