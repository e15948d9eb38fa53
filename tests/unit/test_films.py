"""Films: what is read of them, how their frames are prepared, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import formers
from formers.processing.reading import BadPicture
from formers.processing.video import read_film

SIZES = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}
FRAMES = np.stack([np.full((16, 24, 3), 20 * i, dtype=np.uint8) for i in range(6)])


def written(path: Any) -> Any:
    """A film of six frames, lighter and lighter."""
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 24, 16, "yuv420p"
        for one in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24")))
        container.mux(stream.encode())
    return path


def pipe(**options: Any) -> Any:
    torch.manual_seed(0)
    config = formers.VideoMAEConfig(
        **{"image_size": 8, "patch_size": 4, "num_frames": 2, "hidden_size": 8, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "intermediate_size": 8, "num_labels": 3},
    )
    model = formers.VideoMAEForVideoClassification(config).eval()
    processor = formers.VideoMAEImageProcessor(**SIZES)
    return formers.pipeline("video-classification", model=model, image_processor=processor, **options)


def test_frames_are_read_by_number_from_files_bytes_and_arrays(tmp_path: Path) -> None:
    path = written(str(tmp_path / "film.mp4"))
    for film in (path, Path(path), Path(path).read_bytes(), FRAMES, list(FRAMES)):
        found = read_film(film, [1, 3])
        assert [one.shape for one in found] == [(16, 24, 3)] * 2
        assert [round(float(one.mean()) / 20) for one in found] == [1, 3]


def test_a_film_that_is_too_short_or_no_film_is_named(tmp_path: Path) -> None:
    path = written(str(tmp_path / "film.mp4"))
    for film in (path, FRAMES):
        with pytest.raises(BadPicture, match="7"):
            read_film(film, [0, 7])
    (tmp_path / "text.mp4").write_text("no film, but long enough to be looked at")
    with pytest.raises(BadPicture, match=r"text\.mp4.*cannot be read as a film"):
        read_film(str(tmp_path / "text.mp4"), [0])
    with pytest.raises(BadPicture, match="there is no file"):
        read_film("nowhere.mp4", [0])
    with pytest.raises(BadPicture, match="is a folder"):
        read_film(str(tmp_path), [0])
    with pytest.raises(BadPicture, match="this is one picture, not a film"):
        pipe()(list(FRAMES))
    with pytest.raises(TypeError, match="did you mean 'num_frames'"):
        pipe()(path, num_frame=2)


def test_a_film_is_what_its_frames_are_as_pictures() -> None:
    film = formers.VideoMAEImageProcessor(**SIZES)
    frames = formers.ViTImageProcessor(do_resize=False)
    small = FRAMES[:, 4:12, 4:12]
    found = film(list(small), return_tensors="pt", do_resize=False).pixel_values
    assert torch.equal(found, frames(list(small), return_tensors="pt").pixel_values[None])
    for several in ([small, small], [list(small), list(small)], np.stack((small, small))):
        assert film(videos=several, return_tensors="pt").pixel_values.shape == (2, 6, 3, 8, 8)
    with pytest.raises(TypeError, match="needs films"):
        film()


def test_the_pipeline_reads_as_many_frames_as_it_is_told(tmp_path: Path) -> None:
    path, made = written(str(tmp_path / "film.mp4")), pipe()
    answer = made(path, top_k=2)
    assert len(answer) == 2
    assert set(answer[0]) == {"label", "score"}
    frames = read_film(path, [0, 3])
    pixels = made.image_processor(frames, return_tensors="pt")
    with torch.no_grad():
        scores = made.model(**pixels).logits.softmax(-1)[0]
    found = {one["label"]: one["score"] for one in made(path, top_k=3, frame_sampling_rate=2)}
    assert found == pytest.approx({f"LABEL_{i}": float(score) for i, score in enumerate(scores)}, abs=1e-6)
    assert [len(one) for one in made([path, FRAMES])] == [3, 3]


def test_a_film_that_cannot_be_read_may_be_an_answer() -> None:
    first, second = pipe()(["nowhere.mp4", FRAMES], on_error="return")
    assert "there is no file" in first["error"]
    assert len(second) == 3
    with pytest.raises(ValueError, match="num_frames must be"):
        pipe(num_frames=0)
    with pytest.raises(BadPicture, match="cannot be read as a film"):
        pipe()(io.BytesIO(b"no film at all").getvalue())


def test_a_checkpoint_says_who_reads_its_films(tmp_path: Path) -> None:
    formers.Qwen3VLVideoProcessor(fps=4).save_pretrained(tmp_path)
    named = formers.AutoVideoProcessor.from_pretrained(tmp_path, config=formers.Qwen3VLConfig())
    assert (type(named).__name__, named.fps) == ("Qwen3VLVideoProcessor", 4)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for one in tmp_path.glob("*processor_config.json"):
        one.write_text('{"video_processor_type": "OtherVideoProcessor", "size": {"height": 4, "width": 4}}')
    with pytest.raises(ValueError, match="names OtherVideoProcessor .model type 'bert'., which is not part"):
        formers.AutoVideoProcessor.from_pretrained(tmp_path)


def test_films_of_models_of_ones_own_are_read_by_classes_of_ones_own(tmp_path: Path) -> None:
    class Own(formers.Qwen2VLVideoProcessor):  # type: ignore[misc,name-defined]  # made when it is asked for
        pass

    class FilmedConfig(formers.PretrainedConfig):
        model_type = "filmed"

    Own().save_pretrained(tmp_path)
    FilmedConfig().save_pretrained(tmp_path)
    formers.AutoVideoProcessor.register(FilmedConfig, Own)
    assert type(formers.AutoVideoProcessor.from_pretrained(tmp_path)) is Own
    with pytest.raises(ValueError, match="has a processor of films already"):
        formers.AutoVideoProcessor.register(FilmedConfig, Own)
    with pytest.raises(TypeError, match="takes a class with a from_dict"):
        formers.AutoVideoProcessor.register(formers.BertConfig, print)
