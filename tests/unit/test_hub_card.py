"""Model cards: what they hold, whose they are, and the licence that they state."""

from __future__ import annotations

import pytest
import yaml

from formers.core.notices import Notice
from formers.hub import Source
from formers.hub.card import licence_of, model_card, save_card


def card(**more) -> str:
    return model_card(
        name="Ticket router",
        base_model="sentence-transformers/all-MiniLM-L6-v2",
        task="text-classification",
        language="en",
        license="apache-2.0",
        datasets=["cpython-changelog"],
        metrics={"f1_macro": 0.71234, "accuracy": 0.8},
        labels={0: "Library", 1: "C|API"},
        training={"learning_rate": 2e-4, "epochs": 4},
        **more,
    )


def metadata(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_metadata_is_what_the_hub_reads():
    fields = metadata(card(tags=["tickets"]))
    assert fields["license"] == "apache-2.0"
    assert fields["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert fields["pipeline_tag"] == "text-classification"
    assert fields["language"] == ["en"]
    assert fields["tags"] == ["formers", "tickets"]
    result = fields["model-index"][0]["results"][0]
    assert result["metrics"][0] == {"type": "f1_macro", "value": 0.71234}


def test_the_hub_s_own_reader_accepts_it():
    from huggingface_hub import ModelCard

    data = ModelCard(card()).data
    assert data.license == "apache-2.0"
    assert data.eval_results[0].metric_type == "f1_macro"


def test_the_text_has_the_tables_the_pins_and_the_limits():
    text = card(versions={"torch": "2.13.0"}, intended_use="Sorting tickets.")
    assert "| f1_macro | 0.7123 |" in text
    assert "| 1 | C\\|API |" in text
    assert "torch==2.13.0" in text
    assert "Sorting tickets." in text
    assert "## Limits and bias" in text


def test_without_versions_those_installed_are_stated():
    assert "torch==" in model_card(name="x")


def test_a_card_that_a_person_wrote_is_kept(tmp_path):
    assert save_card(tmp_path, card()) is not None
    assert save_card(tmp_path, card(tags=["again"])) is not None
    (tmp_path / "README.md").write_text("# Mine")
    assert save_card(tmp_path, card()) is None
    assert (tmp_path / "README.md").read_text() == "# Mine"


def test_the_licence_is_read_back(tmp_path):
    save_card(tmp_path, card())
    assert licence_of(Source.of(tmp_path)) == "apache-2.0"


@pytest.mark.parametrize(
    "front",
    [
        "license: cc-by-nc-4.0",
        "license:\n- cc-by-nc-sa-3.0",
        "license: other\nlicense_name: my-noncommercial",
    ],
)
def test_a_licence_that_forbids_commercial_use_is_noticed(tmp_path, front):
    (tmp_path / "README.md").write_text(f"---\n{front}\ntags: [x]\n---\n# Model\n")
    with pytest.warns(Notice, match="forbids commercial use"):
        licence_of(Source.of(tmp_path))


@pytest.mark.parametrize("licence", ["mit", "apache-2.0", "cc-by-4.0", "openrail", "llama2"])
def test_other_licences_are_read_without_a_word(tmp_path, licence):
    (tmp_path / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    assert licence_of(Source.of(tmp_path)) == licence


@pytest.mark.parametrize("text", ["# no metadata", "", "---\ntags: [x]\n---\n"])
def test_a_card_without_a_licence_has_none(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    assert licence_of(Source.of(tmp_path)) is None
    assert licence_of(Source.of(tmp_path / "..")) is None
