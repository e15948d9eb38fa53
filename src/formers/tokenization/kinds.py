"""What the classes of some rows have beside what all tokenizers have."""

from __future__ import annotations

from formers.tokenization.cutting import CUTS, CutFilesMethods, CutMethods
from formers.tokenization.entities import EntityMethods
from formers.tokenization.grouping import GroupingMethods
from formers.tokenization.markdown import MarkdownMethods
from formers.tokenization.moses import MANNERS, MosesMethods, TwoVocabulariesMethods
from formers.tokenization.pages import PageMethods
from formers.tokenization.recipe import Recipe
from formers.tokenization.segmenting import OneFileMethods, TwoFilesMethods
from formers.tokenization.sentinels import SentinelMethods
from formers.tokenization.sounding import SoundingMethods
from formers.tokenization.speech import SpeechMethods
from formers.tokenization.spelling import SpellingMethods
from formers.tokenization.spoken_numbers import SpokenPieceMethods
from formers.tokenization.tables import TableMethods
from formers.tokenization.translating import ToldTranslatorMethods, TranslatorMethods
from formers.tokenization.written_tables import WrittenTableMethods


def methods_of(row: Recipe) -> tuple[type, ...]:
    """The classes whose methods a row's class has in front of the usual ones."""
    every = {
        ToldTranslatorMethods: row.languages is not None and row.languages.told,
        TranslatorMethods: row.languages is not None and not row.languages.told,
        OneFileMethods: row.kind == "bare_pieces",
        SpokenPieceMethods: row.kind == "spoken_pieces",
        TwoFilesMethods: "target_spm" in row.files,
        SentinelMethods: "extra_ids" in row.options,
        CutMethods: row.kind == "chinese",
        CutFilesMethods: row.kind in CUTS and row.kind != "chinese",
        MosesMethods: row.kind in MANNERS and "tgt_vocab_file" not in row.files,
        TwoVocabulariesMethods: "tgt_vocab_file" in row.files,
        SpeechMethods: "predict_timestamps" in row.options,
        EntityMethods: "entity_vocab_file" in row.files,
        SoundingMethods: row.kind == "sounding",
        SpellingMethods: row.kind == "spelling",
        MarkdownMethods: row.markdown,
        GroupingMethods: row.grouped,
        PageMethods: "pad_token_box" in row.options,
        TableMethods: "cell_trim_length" in row.options,
        WrittenTableMethods: "max_cell_length" in row.options,
    }
    return tuple(kind for kind, wanted in every.items() if wanted)
