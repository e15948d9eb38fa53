"""Processors that join a tokenizer and what prepares pictures or sounds, as data: a row for each family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

_LONGEST: dict[str, Any] = {"padding": "max_length"}
_SIXTY_FOUR = {**_LONGEST, "max_length": 64}
_PATCHES = {"max_num_patches": 256, "patch_size": 16}
_TENSORS, _ARRAYS = {"return_tensors": "pt"}, {"return_tensors": "np"}
_QUERIES = ("query_images", "query_pixel_values")


@dataclass(frozen=True)
class Shows:
    """How texts show pictures.

    Attributes:
        rule: which function of `placeholders` writes what stands for a picture.
        image: what a text says where it shows one, unless tokenizer or files say it; `video` for a film.
        settings: what the processor keeps beside its parts, by the names of its file, and from what on.
        films: the family that prepares films; empty for none. `film_rule` writes what stands for one.
        films_first: what prepares films is the first part by position.
        film_template: how conversations that show films are written, whatever files say. Their films are
            sampled where the processor of films says how.
        rate: the name under which it is told how far apart their frames are; empty for none.
        mark: the tokenizer's name of what a text says where it shows one, if that is not what then stands for
            it; empty where it is.
        untold: what the image processor says of pictures and models do not take.
        prompts: texts are prompts behind pictures, and what is to be written comes by itself.
        tasks: likewise, that may name tasks; what is written says places.
        marks: attributes of the processor -> further tokens that its texts have; `adds`: which of them
            become tokens of the tokenizer where it does not know them.
        named: the tokenizer's name of what a text says where it shows a picture, if not `image_token`.
        filler: the setting that says what then stands for it, if that is something else.
        scaled: a setting, and by what it is multiplied where a processor is made.
        tells: a setting of the image processor, and the settings here of which it is the product.
        merges: frames of films stand among pictures, in the order of the texts.
        by_text: the image processor takes the pictures of each text.
        retrieves: they are pages or questions, each by itself.
        fenced: of marks around pictures that would meet one stands.
        reads_out: texts are prompts that ask for what is written on pages.
        crosses: tokens see pictures beside the text, and a mask says which.
        ends: the tokenizer's name of what stands behind each text that is not to go on.
        rows: what tells how many patches pictures have, where those of each become a row; empty where not.
        kinds: the name under which it is told which tokens are pictures (1) and films (2); empty for none.
    """

    rule: str
    image: str = "<image>"
    video: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    kinds: str = ""
    films: str = ""
    film_rule: str = "blocks"
    films_first: bool = False
    film_template: str | None = None
    rate: str = ""
    mark: str = ""
    untold: tuple[str, ...] = ()
    prompts: bool = False
    tasks: bool = False
    marks: Mapping[str, str] = field(default_factory=dict)
    adds: tuple[str, ...] = ()
    by_text: bool = False
    named: str = ""
    filler: str = ""
    scaled: tuple[str, str] | None = None
    merges: bool = False
    tells: tuple[str, tuple[str, ...]] | None = None
    retrieves: bool = False
    rows: str = ""
    ends: str = ""
    fenced: bool = False
    crosses: bool = False
    reads_out: bool = False


@dataclass(frozen=True)
class Hears:
    """How sounds are heard in texts.

    Attributes:
        tokens: real frames of a sound -> how many tokens stand for it.
        settings: what the processor keeps beside its parts, by the names of its file, and from what on.
        template: how conversations are written where no file says it.
    """

    tokens: Callable[[int], int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None


@dataclass(frozen=True)
class Pair:
    """One family's processor.

    Attributes:
        images: the family of `recipes` that prepares pictures, where files do not name one; empty for none.
        model_types: model types whose checkpoints may leave the class out.
        text: keywords of the tokenizer's call, `pictures` of the image processor's, that differ from theirs.
        unread: what the tokenizer gives and the models do not take.
        queries: a picture may have several texts.
        shown: by which name pictures are given in place of texts, and what their values are called.
        labels: beside pictures a text is what is to be written: its tokens are `labels`, and all there is
            of it where they are `alone`.
        fields: what is written may be fields between marks, which `token2json` reads.
        beside: keywords of the tokenizer's call where pictures are given too.
        sounds: it prepares sounds in place of pictures.
        compares: texts beside sounds are no transcripts: they are compared, and their ids stay what they are.
        spells: models write pieces of words, moment by moment, or behind a blank token.
        targets: both sounds and texts may be read, and both may be what is to be said or written.
        either: texts or sounds are read, texts first; what is to be written is a `text_target`.
        searches: texts are found by beam search, with a language model beside the parts.
        unpads: `batch_decode` takes sounds too, from which it cuts padding.
        voices: texts alone, with voices that the model goes on in.
        pointed: no texts are read, but what is pointed at.
        nested: likewise, in nested lists, and pictures are stretched.
        followed: likewise, in frames of films too; the family that prepares those, empty for none.
        tasked: no texts are read, but the tasks of pictures.
        shows: texts show pictures by what stands there for them.
        hears: sounds are heard in texts, by what stands there for them.
        grounds: a picture stands before each text, whose phrases name boxes in it.
        phrases: texts are phrases with a full stop behind each, or lists of such to be joined.
        markdown: what is written are pages in Markdown, which the tokenizer corrects.
        headed: texts are questions that are written above pictures, or what answers begin with.
        asks: texts stand behind a token for each vector that asks their picture.
        instructs: those vectors are told the texts too, by a tokenizer of their own.
        pages: it prepares words in boxes; `picture` is the name under which models read the page's picture.
    """

    images: str
    model_types: tuple[str, ...] = ()
    text: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    queries: bool = False
    shown: tuple[str, str] | None = None
    labels: Literal["", "beside", "alone"] = ""
    beside: Mapping[str, Any] = field(default_factory=dict)
    fields: bool = False
    sounds: bool = False
    compares: bool = False
    spells: bool = False
    targets: bool = False
    voices: bool = False
    either: bool = False
    unpads: bool = False
    searches: bool = False
    pointed: bool = False
    nested: bool = False
    followed: str = ""
    tasked: bool = False
    shows: Shows | None = None
    pages: bool = False
    picture: str = "pixel_values"
    markdown: bool = False
    asks: bool = False
    instructs: bool = False
    headed: bool = False
    grounds: bool = False
    phrases: bool = False
    hears: Hears | None = None

    @property
    def films(self) -> str:
        """The family that prepares films; empty for none."""
        return self.followed if self.shows is None else self.shows.films


# what is said where a conversation does not begin with a system's words; sounds are counted through all of it
_SPOKEN_CHATS = (
    "{% set heard = namespace(count=0) %}"
    "{% if messages and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] + '<|im_end|>\\n' }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' or 'audio' in part or 'audio_url' in part %}"
    "{% set heard.count = heard.count + 1 %}"
    "{{ 'Audio ' ~ heard.count ~ ': <|audio_bos|><|AUDIO|><|audio_eos|>\\n' }}"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# a colon, and a blank unless a picture comes first
_SHOWN_FILMS = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize ~ ':' }}"
    "{% if message['content'] is string %}{{ ' ' ~ message['content'] }}{% else %}"
    "{% if message['content'][0]['type'] != 'image' %}{{ ' ' }}{% endif %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] in ('image', 'video') %}{{ '<' ~ part['type'] ~ '>' }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_TYPES = ("token_type_ids",)
_LLAVA: dict[str, Any] = {
    "patch_size": None,
    "vision_feature_select_strategy": None,
    "image_token": "<image>",
    "num_additional_image_tokens": 0,
}
_ONE_VISION: dict[str, Any] = {
    **{"num_image_tokens": None, "vision_feature_select_strategy": None, "image_token": "<image>"},
    **{"video_token": "<video>", "vision_aspect_ratio": "anyres_max_9"},
}
_ENDED = {
    "fake_image_token": "<fake_token_around_image>",
    "end_of_utterance_token": "<end_of_utterance>",
}
_AROUND = {**_ENDED, "global_image_tag": "<global-img>"}
_SQUARES = Shows(
    "squares", settings={"image_seq_len": 169}, marks=_AROUND, untold=("rows", "cols"), by_text=True
)
_AYA: dict[str, Any] = {
    **{"patch_size": 28, "img_size": 364, "image_token": "<image>"},
    **{"start_of_img_token": "<|START_OF_IMG|>", "end_of_img_token": "<|END_OF_IMG|>"},
    **{"img_patch_token": "<|IMG_PATCH|>", "img_line_break_token": "<|IMG_LINE_BREAK|>"},
    **{"tile_token": "TILE", "tile_global_token": "TILE_GLOBAL"},
}
_PIXTRAL: dict[str, Any] = {
    **{"patch_size": 16, "spatial_merge_size": 1, "image_token": "[IMG]"},
    **{"image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"},
}
_GRIDS = Shows("blocks", "<|image_pad|>", "<|video_pad|>", kinds="mm_token_type_ids", films="Qwen2VL")
_SCANNED: dict[str, Any] = {
    "do_convert_rgb": True,
    "do_pan_and_scan": False,
    "pan_and_scan_min_crop_size": 256,
    "pan_and_scan_max_num_crops": 4,
    "pan_and_scan_min_ratio_to_activate": 1.2,
}
PAIRS: dict[str, Pair] = {
    "Align": Pair("EfficientNet", ("align",), _SIXTY_FOUR),
    "AltCLIP": Pair("CLIP", ("altclip",)),
    "Bark": Pair("", ("bark",), voices=True),
    "AyaVision": Pair(
        "GotOcr2",
        ("aya_vision",),
        {"padding_side": "left", "padding": True},
        {"crop_to_patches": True},
        unread=_TYPES,
        shows=Shows(
            "named_tiles",
            settings=_AYA,
            untold=("num_patches",),
            filler="img_patch_token",
            scaled=("patch_size", "downsample_factor"),
        ),
    ),
    "Blip": Pair("Blip", ("blip",), {"return_token_type_ids": False}, unread=("token_type_ids",)),
    "Blip2": Pair(
        "Blip", ("blip-2",), {"return_token_type_ids": False}, unread=("token_type_ids",), asks=True
    ),
    "BridgeTower": Pair(
        "BridgeTower", ("bridgetower",), pictures={"do_normalize": True, "do_center_crop": True}
    ),
    "Chameleon": Pair(
        "Chameleon",
        ("chameleon",),
        _TENSORS,
        _TENSORS,
        unread=_TYPES,
        shows=Shows(
            "between_marks", settings={"image_seq_length": 1024, "image_token": "<image>"}, ends="sep_token"
        ),
    ),
    "ChineseCLIP": Pair("ChineseCLIP", ("chinese_clip",)),
    "Clap": Pair("", ("clap",), sounds=True, compares=True),
    "CLIP": Pair("CLIP", ("clip", "groupvit", "metaclip_2")),
    "CLIPSeg": Pair("ViT", ("clipseg",), shown=("visual_prompt", "conditional_pixel_values")),
    "ColPali": Pair(
        "Siglip",
        ("colpali",),
        {"padding": "longest", **_TENSORS},
        {**_TENSORS, "do_convert_rgb": True},
        shows=Shows(
            "counted",
            prompts=True,
            retrieves=True,
            settings={"visual_prompt_prefix": "Describe the image.", "query_prefix": "Question: "},
        ),
    ),
    "ColQwen2": Pair(
        "Qwen2VL",
        ("colqwen2",),
        {"padding": "longest", **_TENSORS},
        _TENSORS,
        unread=_TYPES,
        shows=Shows(
            "blocks",
            "<|image_pad|>",
            retrieves=True,
            rows="image_grid_thw",
            settings={
                "visual_prompt_prefix": "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
                "Describe the image.<|im_end|><|endoftext|>",
                "query_prefix": "Query: ",
            },
        ),
    ),
    "Cohere2Vision": Pair(
        "Cohere2Vision",
        ("cohere2_vision",),
        {"padding_side": "left", "padding": True},
        unread=_TYPES,
        shows=Shows(
            "ended_tiles",
            "<|IMG_PATCH|>",
            marks={
                "boi_token": "<|START_OF_IMG|>",
                "eoi_token": "<|END_OF_IMG|>",
                "img_line_break_token": "<|IMG_LINE_BREAK|>",
            },
            untold=("num_patches",),
        ),
    ),
    "Donut": Pair(
        "Donut",
        ("donut-swin",),
        labels="beside",
        beside={"add_special_tokens": False},
        fields=True,
    ),
    "Gemma3": Pair(
        "Gemma3",
        ("gemma3",),
        pictures=_SCANNED,
        unread=_TYPES,
        shows=Shows(
            "framed",
            mark="boi_token",
            settings={"image_seq_length": 256},
            untold=("num_crops",),
            kinds="token_type_ids",
        ),
    ),
    "Flava": Pair("Flava", ("flava",)),
    "Florence2": Pair(
        "CLIP",
        ("florence2",),
        {"add_special_tokens": False},
        unread=_TYPES,
        shows=Shows(
            "counted", settings={"num_additional_image_tokens": 0, "post_processor_config": None}, tasks=True
        ),
    ),
    "GotOcr2": Pair(
        "GotOcr2",
        ("got_ocr2",),
        pictures={"crop_to_patches": False, "min_patches": 1, "max_patches": 12},
        unread=_TYPES,
        shows=Shows("marked_tiles", "<imgpad>", reads_out=True),
    ),
    "GroundingDino": Pair(
        "GroundingDino", ("grounding-dino",), {"return_token_type_ids": True}, phrases=True
    ),
    "Git": Pair("CLIP", ("git",)),
    "Llava": Pair(
        "CLIP", ("llava", "vipllava"), unread=_TYPES, shows=Shows("patches_of_one_size", settings=_LLAVA)
    ),
    "InstructBlip": Pair(
        "Blip",
        ("instructblip",),
        {"return_token_type_ids": False},
        unread=("token_type_ids",),
        asks=True,
        instructs=True,
    ),
    "InternVL": Pair(
        "GotOcr2",
        ("internvl",),
        {"padding_side": "left"},
        {"crop_to_patches": True},
        unread=_TYPES,
        shows=Shows(
            "marked_tiles",
            "<IMG_CONTEXT>",
            "<video>",
            {"image_seq_length": 256},
            marks={"start_image_token": "<img>", "end_image_token": "</img>"},
            untold=("num_patches", "pixel_values_videos"),
            films="InternVL",
            film_rule="marked_frames",
            named="context_image_token",
            merges=True,
        ),
    ),
    "Idefics2": Pair(
        "Idefics2",
        ("idefics2",),
        pictures={"return_row_col_info": True},
        unread=_TYPES,
        shows=Shows(
            "quarters",
            settings={"image_seq_len": 64},
            marks=_ENDED,
            untold=("rows", "cols"),
            by_text=True,
            adds=("fake_image_token", "image_token", "end_of_utterance_token"),
            fenced=True,
        ),
    ),
    "Idefics3": Pair(
        "Idefics3",
        ("idefics3",),
        pictures={"return_row_col_info": True},
        unread=_TYPES,
        shows=replace(_SQUARES, adds=("fake_image_token", "image_token", "end_of_utterance_token")),
    ),
    "Kosmos2": Pair(
        "CLIP",
        ("kosmos-2",),
        {"add_special_tokens": True, "return_token_type_ids": False},
        unread=_TYPES,
        grounds=True,
    ),
    "LlavaNext": Pair(
        "LlavaNext",
        ("llava_next",),
        pictures={"do_pad": True},
        unread=_TYPES,
        shows=Shows("lines", settings=_LLAVA),
    ),
    "LlavaNextVideo": Pair(
        "LlavaNext",
        ("llava_next_video",),
        _TENSORS,
        _TENSORS,
        unread=_TYPES,
        shows=Shows(
            "lines",
            video="<video>",
            settings={**_LLAVA, "video_token": "<video>"},
            films="LlavaNextVideo",
            films_first=True,
            film_rule="pooled_frames",
        ),
    ),
    "LlavaOnevision": Pair(
        "LlavaOnevision",
        ("llava_onevision",),
        unread=_TYPES,
        shows=Shows(
            "few_lines",
            video="<video>",
            settings=_ONE_VISION,
            films="LlavaOnevision",
            film_rule="half_frames",
        ),
    ),
    "LayoutLMv2": Pair("LayoutLMv2", ("layoutlmv2",), pages=True, picture="image"),
    "LayoutLMv3": Pair("LayoutLMv3", ("layoutlmv3",), pages=True),
    "LayoutXLM": Pair("LayoutLMv2", ("layoutxlm",), pages=True, picture="image"),
    "Nougat": Pair("Nougat", ("nougat",), labels="alone", markdown=True),
    "OneFormer": Pair("OneFormer", ("oneformer",), tasked=True),
    "Mllama": Pair(
        "Mllama",
        ("mllama",),
        unread=_TYPES,
        shows=Shows(
            "itself",
            "<|image|>",
            marks={"python_token": "<|python_tag|>"},
            untold=("num_tiles",),
            by_text=True,
            crosses=True,
        ),
    ),
    "OwlViT": Pair("OwlViT", ("owlvit",), {**_LONGEST, **_TENSORS}, _TENSORS, queries=True, shown=_QUERIES),
    "Owlv2": Pair("Owlv2", ("owlv2",), {**_LONGEST, **_ARRAYS}, _ARRAYS, queries=True, shown=_QUERIES),
    "PaliGemma": Pair("Siglip", ("paligemma",), shows=Shows("counted", prompts=True)),
    "Parakeet": Pair(
        "",
        ("parakeet_ctc", "parakeet_rnnt", "parakeet_tdt"),
        {"padding": True, "padding_side": "right", "add_special_tokens": False, **_TENSORS},
        sounds=True,
        spells=True,
    ),
    "Qwen2Audio": Pair(
        "",
        ("qwen2_audio",),
        unread=_TYPES,
        hears=Hears(
            lambda frames: ((frames - 1) // 2 + 1) // 2,
            {
                "audio_token": "<|AUDIO|>",
                "audio_bos_token": "<|audio_bos|>",
                "audio_eos_token": "<|audio_eos|>",
            },
            _SPOKEN_CHATS,
        ),
    ),
    "Phi4Multimodal": Pair(
        "Phi4Multimodal",
        ("phi4_multimodal",),
        unread=_TYPES,
        shows=Shows(
            "told",
            "<|endoftext10|>",
            marks={"audio_token": "<|endoftext11|>"},
            untold=("num_img_tokens",),
        ),
    ),
    "Pix2Struct": Pair(
        "Pix2Struct",
        ("pix2struct",),
        {"add_special_tokens": True, "return_token_type_ids": False},
        {"max_patches": 2048},
        headed=True,
    ),
    "Pixtral": Pair(
        "Pixtral",
        ("pixtral", "mistral3"),
        _TENSORS,
        _TENSORS,
        unread=_TYPES,
        shows=Shows(
            "lines_of_patches",
            settings=_PIXTRAL,
            tells=("patch_size", ("patch_size", "spatial_merge_size")),
        ),
    ),
    "Qwen2VL": Pair("Qwen2VL", ("qwen2_vl",), unread=_TYPES, shows=_GRIDS),
    "Qwen2_5_VL": Pair(
        "Qwen2VL", ("qwen2_5_vl",), unread=_TYPES, shows=replace(_GRIDS, rate="second_per_grid_ts")
    ),
    "Qwen3VL": Pair(
        "Qwen2VL",
        ("qwen3_vl",),
        {"return_token_type_ids": False},
        unread=_TYPES,
        shows=replace(_GRIDS, films="Qwen3VL"),
    ),
    "Sam": Pair("Sam", ("sam",), pointed=True),
    "Sam2": Pair("Sam2", ("sam2",), pointed=True, nested=True),
    "Sam2Video": Pair("Sam2", ("sam2_video",), pointed=True, nested=True, followed="Sam2Video"),
    "Siglip": Pair("Siglip", ("siglip",)),
    "Siglip2": Pair("Siglip2", ("siglip2",), {**_SIXTY_FOUR, "truncation": True}, _PATCHES),
    "Musicgen": Pair("", ("musicgen",), sounds=True, compares=True, unpads=True),
    "SeamlessM4T": Pair("", ("seamless_m4t", "seamless_m4t_v2"), sounds=True, either=True),
    "SmolVLM": Pair(
        "SmolVLM",
        ("smolvlm",),
        pictures={"return_row_col_info": True},
        unread=_TYPES,
        shows=replace(
            _SQUARES,
            video="<video>",
            films="SmolVLM",
            film_rule="timed_frames",
            film_template=_SHOWN_FILMS,
        ),
    ),
    "Speech2Text": Pair("", ("speech_to_text",), sounds=True),
    "SpeechT5": Pair("", ("speecht5",), sounds=True, targets=True),
    "TrOCR": Pair("ViT", ("trocr",), labels="alone"),
    "Vilt": Pair("Vilt", ("vilt",)),
    "VisionTextDualEncoder": Pair("ViT", ("vision-text-dual-encoder",)),
    "Wav2Vec2Bert": Pair("", ("wav2vec2-bert",), sounds=True),
    "Wav2Vec2WithLM": Pair("", sounds=True, searches=True),
    "Wav2Vec2": Pair(
        "",
        (
            *("hubert", "moonshine", "sew", "sew-d", "unispeech", "unispeech-sat"),
            *("wav2vec2", "wav2vec2-conformer", "wavlm"),
        ),
        sounds=True,
    ),
    "Whisper": Pair("", ("whisper",), sounds=True),
}
MODEL_TYPES = {kind: name for name, pair in PAIRS.items() for kind in pair.model_types}
CLASSES = {
    f"{name}Processor" if not pair.searches else f"{name.removesuffix('WithLM')}ProcessorWithLM": name
    for name, pair in PAIRS.items()
}
NAMES = {family: name for name, family in CLASSES.items()}
