"""The families that exist: where each is registered. Plain data, so that names cost no import."""

from __future__ import annotations

# model_type -> (module under formers.models, how class names begin)
FAMILIES: dict[str, tuple[str, str]] = {
    "bart": ("bart", "Bart"),
    "bert": ("bert", "Bert"),
    "camembert": ("roberta", "Camembert"),
    "clip": ("clip", "CLIP"),
    "clip_text_model": ("clip_towers", "CLIPText"),
    "clip_vision_model": ("clip_towers", "CLIPVision"),
    "distilbert": ("distilbert", "DistilBert"),
    "gemma2": ("gemma2", "Gemma2"),
    "gpt2": ("gpt2", "GPT2"),
    "llama": ("llama", "Llama"),
    "llava": ("llava", "Llava"),
    "mamba": ("mamba", "Mamba"),
    "mistral": ("mistral", "Mistral"),
    "roberta": ("roberta", "Roberta"),
    "t5": ("t5", "T5"),
    "vit": ("vit", "ViT"),
    "xlm-roberta": ("roberta", "XLMRoberta"),
}

# names that older versions gave classes -> today's
OLDER_NAMES: dict[str, str] = {
    "BartPretrainedModel": "BartPreTrainedModel",
    "PretrainedBartModel": "BartPreTrainedModel",
}
