"""Stems: what enters the first layer. One file for each kind of input; `STEMS` is the list of all."""

from __future__ import annotations

from typing import Any

from formers.nn import spec
from formers.nn.stems.base import Stem
from formers.nn.stems.characters import CharacterStem
from formers.nn.stems.codebooks import CodeStem
from formers.nn.stems.conditional_queries import ConditionalQueryStem
from formers.nn.stems.document_maps import DocumentMapStem
from formers.nn.stems.document_pages import DocumentPageStem
from formers.nn.stems.entities import EntityStem, EntityTokensStem
from formers.nn.stems.feature_map_patches import FeatureMapPatchStem
from formers.nn.stems.flat_patches import FlatPatchStem
from formers.nn.stems.frame_patches import FramePatchStem
from formers.nn.stems.frames import FrameStem
from formers.nn.stems.future_tokens import FutureTokensStem
from formers.nn.stems.given_patches import GivenPatchStem
from formers.nn.stems.grid_patches import GridPatchStem, ShownTokenStem
from formers.nn.stems.integers import IntegerStem
from formers.nn.stems.multi_scale_rows import GroundedRows, MapRows
from formers.nn.stems.overlapping import OverlappingStem
from formers.nn.stems.patches import PatchStem
from formers.nn.stems.prefixed_text import PrefixedTextStem
from formers.nn.stems.queries import InstructedQueryStem, QueryStem
from formers.nn.stems.query_patches import QueryPatchStem
from formers.nn.stems.regions import RegionStem
from formers.nn.stems.samples import SampleStem
from formers.nn.stems.shared_patches import SharedPatchStem
from formers.nn.stems.sized_patches import SizedPatchStem
from formers.nn.stems.spectrograms import SpectrogramStem
from formers.nn.stems.speech import (
    GivenRowStem,
    HeardRowStem,
    PlacedWaveStem,
    SaidFrameStem,
    SaidRowStem,
    WavedTokenStem,
)
from formers.nn.stems.standardised_spectra import StandardisedStem
from formers.nn.stems.state_rows import StateRowStem
from formers.nn.stems.strided_spectra import StridedStem
from formers.nn.stems.subsampled_spectra import GatedSubsamplingStem
from formers.nn.stems.text_and_patches import TextAndPatchesStem
from formers.nn.stems.tile_patches import TilePatchStem
from formers.nn.stems.tokens import TokenStem
from formers.nn.stems.tubelets import TubeletStem
from formers.nn.stems.vectors import VectorStem
from formers.nn.stems.visible_patches import VisiblePatchStem
from formers.nn.stems.waves import BandStem, WaveStem

STEMS: dict[type[Any], type[Stem]] = {
    spec.Tokens: TokenStem,
    spec.QueryPatches: QueryPatchStem,
    spec.FeatureMapPatches: FeatureMapPatchStem,
    spec.Bands: BandStem,
    spec.Characters: CharacterStem,
    spec.Tubelets: TubeletStem,
    spec.Codes: CodeStem,
    spec.ConditionalQueries: ConditionalQueryStem,
    spec.Entities: EntityStem,
    spec.Films: FramePatchStem,
    spec.FlatPatches: FlatPatchStem,
    spec.FutureTokenStreams: FutureTokensStem,
    spec.GivenPatches: GivenPatchStem,
    spec.GivenRows: GivenRowStem,
    spec.GridPatches: GridPatchStem,
    spec.GroundedQueries: GroundedRows,
    spec.InstructedQueries: InstructedQueryStem,
    spec.IntegerTokens: IntegerStem,
    spec.StateRows: StateRowStem,
    spec.EntityTokens: EntityTokensStem,
    spec.MultiScaleRows: MapRows,
    spec.Overlapping: OverlappingStem,
    spec.DocumentMaps: DocumentMapStem,
    spec.DocumentPages: DocumentPageStem,
    spec.Patches: PatchStem,
    spec.Pictured: TextAndPatchesStem,
    spec.Preceded: PrefixedTextStem,
    spec.Frames: FrameStem,
    spec.Queries: QueryStem,
    spec.TextAndRegions: RegionStem,
    spec.RawSamples: SampleStem,
    spec.DeepVisualTokens: ShownTokenStem,
    spec.SharedPatches: SharedPatchStem,
    spec.SizedPatches: SizedPatchStem,
    spec.VisiblePatches: VisiblePatchStem,
    spec.Spectrograms: SpectrogramStem,
    spec.StandardisedSpectra: StandardisedStem,
    spec.StridedSpectra: StridedStem,
    spec.GatedSubsampling: GatedSubsamplingStem,
    spec.TilePatches: TilePatchStem,
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
