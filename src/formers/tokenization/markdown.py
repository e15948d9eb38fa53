r"""What Nougat's tokenizer makes of pages in Markdown (Blecher et al. 2023, arXiv:2308.13418).

The rules and their order are those of the article's authors, so that a page becomes the same text everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any

from formers.core.extras import installed

_SURE, _SHORT, _LONG, _LINES = 0.9, 3, 200, 15  # of lines that repeat: how alike, how long, how many
_REPEATED = 30  # characters that a repetition has at least
_MISSING = "\n\n[MISSING_PAGE_POST]\n\n"
_STOP = re.compile(r"[.?!\n]")
Rules = tuple[tuple[str, str], ...]


def _rules(*pairs: tuple[str, str]) -> Rules:
    return pairs


_TITLES = _rules(
    (r"(?:\n|^)#+ \d*\W? ?(.{100,})", r"\n\1"),  # too long for one
)
_EMPTY_TITLES = _rules((r"(?m)^#+ (?:[\d+\.]+|[ixv\.]+)?\s*(?:$|\n\s*)", ""))
_MARKS = _rules(
    (r"(?m)^\* \[\d+\](\s?[A-W]\.+\s?){10,}.*$", ""),
    (r"(?m)^(\* \[\d+\])\[\](.*)$", r"\1\2"),
    (r"(^\w\n\n|\n\n\w$)", ""),
    (r"([\s.,()])_([a-zA-Z0-9])__([a-zA-Z0-9]){1,3}_([\s.,:()])", r"\1\(\2_{\3}\)\4"),
    (r"([\s.,\d])_([a-zA-Z0-9])_([\s.,\d;])", r"\1\(\2\)\3"),
    (r"(\nFootnote .*?:) (?:footnotetext|thanks):\W*(.*(?:\n\n|$))", r"\1 \2"),
    (r"\[FOOTNOTE:.+?\](.*?)\[ENDFOOTNOTE\]", ""),
)
_BEHIND_TABLES = _rules(
    (r"\\begin{array}\[\]{", r"\\begin{array}{"),
    (r"\\begin{tabular}{([clr ]){2,}}\s*[& ]*\s*(\\\\)? \\end{tabular}", ""),
    (r"(\*\*S\. A\. B\.\*\*\n+){2,}", ""),
    (r"(?m)^#+( [\[\d\w])?$", ""),
    (r"(?m)^\.\s*$", ""),
    (r"\n{3,}", "\n\n"),
)
_MARKDOWN = _rules(
    (r"(?m)^\(([\d.]+[a-zA-Z]?)\) \\\[(.+?)\\\]$", r"\[\2 \\tag{\1}\]"),
    (r"(?m)^\\\[(.+?)\\\] \(([\d.]+[a-zA-Z]?)\)$", r"\[\1 \\tag{\2}\]"),
    (r"(?m)^\\\[(.+?)\\\] \(([\d.]+[a-zA-Z]?)\) (\\\[.+?\\\])$", r"\[\1 \\tag{\2}\] \3"),
    (r"\\\. ", ". "),
    (r"\\bm{", r"\\mathbf{"),
    (r"{\\\\bm ", r"\\mathbf{"),
    (r"\\mbox{ ?\\boldmath\$(.*?)\$}", r"\\mathbf{\1}"),
    (
        r"((?:http|ftp|https):\/\/(?:[\w_-]+(?:(?:\.[\w_-]+)+))"
        r"(?:[\w.,@?^=%&:\/~+#-]*[\w@?^=%&\/~+#-]))",
        r"[\1](\1)",
    ),
    (r"(?s)```\s*(.+?)\s*```", r"```\n\1\n```"),
)


def _by(rules: Rules, text: str) -> str:
    for pattern, instead in rules:
        text = re.sub(pattern, instead, text)
    return text


class MarkdownMethods:
    """What Nougat's tokenizer has beside: pages as it wrote them become pages to be read."""

    def post_process_generation(
        self, generation: str | list[str], fix_markdown: bool = True, num_workers: int | None = None
    ) -> str | list[str]:
        """Correct pages that a model wrote.

        Args:
            generation: a page, or a list of pages.
            fix_markdown: whether formulas, addresses and algorithms become Markdown's.
            num_workers: processes among which a list is shared; None for this one alone.
        """
        work = partial(self.post_process_single, fix_markdown=fix_markdown)
        if isinstance(generation, str):
            return work(generation)
        if num_workers is None:
            return [work(page) for page in generation]
        with ProcessPoolExecutor(num_workers) as pool:
            return list(pool.map(partial(corrected, fix_markdown=fix_markdown), generation))

    def post_process_single(self, generation: str, fix_markdown: bool = True) -> str:
        """Correct one page; see `post_process_generation`."""
        return corrected(generation, fix_markdown)

    def correct_tables(self, generation: str) -> str:
        """Put lines of LaTeX tables where they belong, and leave tables out that are none."""
        return with_tables(generation)

    def remove_hallucinated_references(self, text: str) -> str:
        """Put a mark in place of references that repeat each other."""
        return without_repeated_lines(text)


def corrected(text: str, fix_markdown: bool = True) -> str:
    """A page as it is to be read."""
    text = _by(_TITLES, text).strip().replace("\n* [leftmargin=*]\n", "\n")
    text = _by(_EMPTY_TITLES, text)
    before, _, last = text.rpartition("\n")
    if "\n" in text and last.startswith("#") and last.lstrip("#").startswith(" "):
        text = before  # a title without a section
    text = _by(_MARKS, without_repeated_lines(without_repetition(text)))
    text = with_tables(_ended(_lists(text)))
    text = _by(_BEHIND_TABLES, text)
    return _by(_MARKDOWN, text) if fix_markdown else text


def without_repetition(text: str, least: int = _REPEATED) -> str:
    """A text whose end says the same again and again, cut after the first time and the sentence around it."""
    low = text.lower()
    found = [n for n in range(least, len(low) // 2) if low[-2 * n : -n] == low[-n:]]
    if len(low) < 2 * least or not found:
        return text
    size = found[-1]
    again, kept = low[-size:], low
    while kept.endswith(again):
        kept = kept[:-size]
    tail, length, mirrored = low[len(kept) :], len(kept), low[::-1]
    while True:
        end, start = _STOP.search(low, length), _STOP.search(mirrored, length)
        if not (end and end.start() and start and start.start()):
            return text[:length]
        length = end.start() + 1
        if low[start.start() : end.start()] in tail:
            return text[:length]


def without_repeated_lines(text: str) -> str:
    """A text with a mark in place of lines that follow each other and are nearly alike."""
    lines = text.split("\n")
    plain = [_plain(line) for line in lines]
    for part in reversed([_doomed(lines, plain, *run) for run in _runs(plain)]):
        text = text.replace(part, _MISSING)
    return re.sub(r"## References\n+\[MISSING_PAGE_POST(:\d+)?\]", r"\n\n[MISSING_PAGE_POST\1]", text)


def _plain(line: str) -> str:
    """A line without numbers and emphasis."""
    return re.sub(r"(?:[\d_]|\*\*)", "", line).strip()


def _runs(plain: Sequence[str]) -> list[tuple[int, int]]:
    """First and last of so many lines that are each like the next."""
    alike: set[int] = set()
    for i in range(len(plain) - 1):
        j = i + 1
        while not plain[j] and j < len(plain) - 1:
            j += 1
        one, two = plain[i], plain[j]
        fits = all(_SHORT < len(line) < _LONG for line in (one, two))
        if fits and not one.startswith("[MISSING_PAGE") and (one == two or likeness(one, two) > _SURE):
            alike.update(range(i, j))
    places = sorted(alike)
    if not places:
        return []
    breaks = [i + 1 for i, (one, two) in enumerate(pairwise(places)) if two - one > _SHORT]
    bounds = zip([0, *breaks], [*breaks, len(places)], strict=True)
    runs = [(places[first], places[last - 1] + 2) for first, last in bounds]
    return [run for run in runs if run[1] - run[0] > _LINES]


def _doomed(lines: Sequence[str], plain: Sequence[str], first: int, last: int) -> str:
    """The text of a run of lines, with what belongs to it before and behind."""
    base, begin, end, listed = plain[first], first, last, False
    for i in range(max(0, first - 1), max(0, first - 5), -1):
        if not lines[i]:
            continue
        if lines[i] == "## References":
            begin = i
            break
        if likeness(base, plain[i]) < _SURE:
            entry = _plain(lines[max(0, i - 1)].partition("* [")[-1])
            near = len(entry) >= 0.75 * len(base) and likeness(base, entry) < _SURE
            begin, listed = i if near else i + 1, True
            break
    for i in range(min(len(lines), last), min(len(lines), last + 5)):
        if likeness(base, plain[i]) < _SURE:
            end = i
            break
    end = min(end, len(lines) - 1)
    found = "\n".join(lines[begin : end + 1])
    apart = _parting(lines[end - 1], lines[end])
    if listed and "* [" in found:
        found = "* [" + found.partition("* [")[-1]
    rest = 0 if apart is None else len(lines[end]) - apart - 1
    return (found[:-rest] if rest > 0 else found).strip()


def _parting(one: str, two: str) -> int | None:
    """How far the second line was read until it differs from the first, digits aside."""
    at = -1
    for letter in one:
        if letter.isnumeric():
            continue
        at += 1
        while at < len(two) and two[at].isnumeric():
            at += 1
        if at >= len(two):
            at = len(two) - 1
            break
        if two[at] != letter:
            break
    return at if at >= 0 else None


def likeness(one: str, two: str) -> float:
    """Twice the longest common subsequence over both lengths (Crochemore et al. 2001, bit by bit)."""
    if not one and not two:
        return 1.0
    where: dict[str, int] = {}
    for i, letter in enumerate(one):
        where[letter] = where.get(letter, 0) | 1 << i
    full = (1 << len(one)) - 1
    open_ = full
    for letter in two:
        hit = open_ & where.get(letter, 0)
        open_ = ((open_ + hit) | (open_ - hit)) & full
    return 2 * (len(one) - open_.bit_count()) / (len(one) + len(two))


def _lists(text: str) -> str:
    """Entries of a list that stand in one line, each in its own, as deep as its number says."""
    lines = text.split("\n")
    made = []
    for place, line in enumerate(lines):
        mark = re.search(r". ([-*]) ", line)
        if not mark or line[0] not in "-*":
            made.append(line)
            continue
        sign, first, entries = f"{mark[1]} ", f"{line[0]} ", ""
        for i, entry in enumerate(line.split(sign)[1:]):
            number, _, rest = entry.strip().partition(" ")
            if not rest:
                continue
            deep = number.count(".") if re.match(r"(?im)^[\dixv]+((?:\.[\dixv])?)+$", number) else 0
            begin = sign if i or not place else first
            entries += ("\n" if i else "") + "\t" * deep + begin + entry.strip()
        made.append(entries + ("\n" if place == len(lines) - 1 else ""))
    return "\n".join(made)


def _ended(text: str) -> str:
    """A page with the space or the line behind it, or before, that the next page needs."""
    if text.endswith((".", "}")):
        text += "\n\n"
    if re.match(r"[A-Z0-9,;:]$", text):
        return text + " "
    if text.startswith(("#", "**", "\\begin")):
        return "\n\n" + text
    if text.split("\n")[-1].startswith(("#", "Figure", "Table")):
        return text + "\n\n"
    return text + " " * _is_word(text.split(" ")[-1])


def _is_word(last: str) -> bool:
    """Whether a page ends with a whole word, by nltk's list; yes where there is none."""
    if not installed("nltk"):
        return True
    words: Any = import_module("nltk").corpus.words
    try:
        return last in words.words()
    except LookupError:
        return True


def with_tables(text: str) -> str:
    """See `MarkdownMethods.correct_tables`."""
    for line in text.split("\n"):
        most = (("\\begin{tabular}", 15), ("\\multicolumn", 60), ("&", 400))
        if any(line.count(mark) > count for mark, count in most):
            text = text.replace(line, "")
    for mark, instead in (
        ("\\begin{table} \\begin{tabular}", "\\begin{table}\n\\begin{tabular}"),
        ("\\end{tabular} \\end{table}", "\\end{tabular}\n\\end{table}"),
        ("\\end{table} Tab", "\\end{table}\nTab"),
    ):
        text = text.replace(mark, instead)
    text = re.sub(r"(?m)(^.+)\\begin{tab", r"\1\n\\begin{tab", text)
    text = text.replace(r"\begin{tabular}{l l}  & \\ \end{tabular}", "")
    return text.replace("\\begin{tabular}{}\n\n\\end{tabular}", "")
