"""Stems: what enters the first layer. One file for each kind of input; `STEMS` is the list of all."""

from __future__ import annotations

from typing import Any

from formers.nn import spec
from formers.nn.stems.asked_patches import AskedPatchStem
from formers.nn.stems.backed_patches import BackedPatchStem
from formers.nn.stems.base import Stem
from formers.nn.stems.characters import CharacterStem
from formers.nn.stems.clips import ClipStem
from formers.nn.stems.codes import CodeStem
from formers.nn.stems.conditioned import ConditionedStem
from formers.nn.stems.entities import EntityStem, LinkedStem
from formers.nn.stems.films import FilmStem
from formers.nn.stems.flat_patches import FlatPatchStem
from formers.nn.stems.foreseen import ForeseenStem
from formers.nn.stems.frames import FrameStem
from formers.nn.stems.given_patches import GivenPatchStem
from formers.nn.stems.grid_patches import GridPatchStem, ShownTokenStem
from formers.nn.stems.integers import IntegerStem
from formers.nn.stems.led_rows import LedRowStem
from formers.nn.stems.on_maps import GroundedRows, MapRows
from formers.nn.stems.overlapping import OverlappingStem
from formers.nn.stems.paged import PagedStem
from formers.nn.stems.patches import PatchStem
from formers.nn.stems.pictured import PicturedStem
from formers.nn.stems.preceded import PrecededStem
from formers.nn.stems.queries import InstructedQueryStem, QueryStem
from formers.nn.stems.regions import RegionStem
from formers.nn.stems.samples import SampleStem
from formers.nn.stems.shared_patches import SharedPatchStem
from formers.nn.stems.sized_patches import SizedPatchStem
from formers.nn.stems.some_patches import SomePatchStem
from formers.nn.stems.spectrograms import SpectrogramStem
from formers.nn.stems.spoken import (
    GivenRowStem,
    HeardRowStem,
    PlacedWaveStem,
    SaidFrameStem,
    SaidRowStem,
    WavedTokenStem,
)
from formers.nn.stems.strided import StridedStem
from formers.nn.stems.thinned import ThinnedStem
from formers.nn.stems.tokens import TokenStem
from formers.nn.stems.vectors import VectorStem
from formers.nn.stems.waves import BandStem, WaveStem

STEMS: dict[type[Any], type[Stem]] = {
    spec.Tokens: TokenStem,
    spec.AskedPatches: AskedPatchStem,
    spec.BackedPatches: BackedPatchStem,
    spec.Bands: BandStem,
    spec.Characters: CharacterStem,
    spec.Clips: ClipStem,
    spec.Codes: CodeStem,
    spec.Conditioned: ConditionedStem,
    spec.Entities: EntityStem,
    spec.Films: FilmStem,
    spec.FlatPatches: FlatPatchStem,
    spec.Foreseen: ForeseenStem,
    spec.GivenPatches: GivenPatchStem,
    spec.GivenRows: GivenRowStem,
    spec.GridPatches: GridPatchStem,
    spec.Grounded: GroundedRows,
    spec.InstructedQueries: InstructedQueryStem,
    spec.IntegerTokens: IntegerStem,
    spec.LedRows: LedRowStem,
    spec.Linked: LinkedStem,
    spec.OnMaps: MapRows,
    spec.Overlapping: OverlappingStem,
    spec.Paged: PagedStem,
    spec.Patches: PatchStem,
    spec.Pictured: PicturedStem,
    spec.Preceded: PrecededStem,
    spec.Frames: FrameStem,
    spec.Queries: QueryStem,
    spec.Regions: RegionStem,
    spec.Samples: SampleStem,
    spec.ShownTokens: ShownTokenStem,
    spec.SharedPatches: SharedPatchStem,
    spec.SizedPatches: SizedPatchStem,
    spec.SomePatches: SomePatchStem,
    spec.Spectrograms: SpectrogramStem,
    spec.Strided: StridedStem,
    spec.Thinned: ThinnedStem,
    spec.Vectors: VectorStem,
    spec.Waves: WaveStem,
    spec.HeardRows: HeardRowStem,
    spec.PlacedWaves: PlacedWaveStem,
    spec.SaidFrames: SaidFrameStem,
    spec.SaidRows: SaidRowStem,
    spec.WavedTokens: WavedTokenStem,
}


def stem_of(s: spec.Stem) -> Stem:
    """What computes a stem spec."""
    return STEMS[type(s)](s)
