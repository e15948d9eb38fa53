"""The families that exist: where each is registered. Plain data, so that names cost no import."""

from __future__ import annotations

# model_type -> (module under formers.models, how class names begin)
FAMILIES: dict[str, tuple[str, str]] = {
    "arcee": ("arcee", "Arcee"),
    "bart": ("bart", "Bart"),
    "bert": ("bert", "Bert"),
    "blip_2_qformer": ("blip_2_qformer", "Blip2QFormer"),
    "bloom": ("bloom", "Bloom"),
    "camembert": ("roberta", "Camembert"),
    "clip": ("clip", "CLIP"),
    "clip_text_model": ("clip_towers", "CLIPText"),
    "clip_vision_model": ("clip_towers", "CLIPVision"),
    "cohere": ("cohere", "Cohere"),
    "cohere2": ("cohere", "Cohere2"),
    "deepseek_v2": ("deepseek_v2", "DeepseekV2"),
    "deepseek_v3": ("deepseek_v3", "DeepseekV3"),
    "distilbert": ("distilbert", "DistilBert"),
    "gemma": ("gemma", "Gemma"),
    "gemma2": ("gemma2", "Gemma2"),
    "glm": ("glm", "Glm"),
    "glm4": ("glm", "Glm4"),
    "gpt2": ("gpt2", "GPT2"),
    "gpt_bigcode": ("gpt_bigcode", "GPTBigCode"),
    "gpt_neo": ("gpt_neo", "GPTNeo"),
    "gpt_neox": ("gpt_neox", "GPTNeoX"),
    "granite": ("granite", "Granite"),
    "helium": ("helium", "Helium"),
    "llama": ("llama", "Llama"),
    "llava": ("llava", "Llava"),
    "mamba": ("mamba", "Mamba"),
    "ministral": ("ministral", "Ministral"),
    "mistral": ("mistral", "Mistral"),
    "mixtral": ("mixtral", "Mixtral"),
    "modernbert": ("modernbert", "ModernBert"),
    "nemotron": ("nemotron", "Nemotron"),
    "olmo": ("olmo", "Olmo"),
    "olmo2": ("olmo2", "Olmo2"),
    "phi": ("phi", "Phi"),
    "phi3": ("phi3", "Phi3"),
    "qwen2": ("qwen2", "Qwen2"),
    "qwen2_moe": ("qwen2_moe", "Qwen2Moe"),
    "qwen3": ("qwen3", "Qwen3"),
    "roberta": ("roberta", "Roberta"),
    "smollm3": ("smollm3", "SmolLM3"),
    "starcoder2": ("starcoder2", "Starcoder2"),
    "t5": ("t5", "T5"),
    "vit": ("vit", "ViT"),
    "whisper": ("whisper", "Whisper"),
    "xlm-roberta": ("roberta", "XLMRoberta"),
}

# names that older versions gave classes -> today's
OLDER_NAMES: dict[str, str] = {
    "BartPretrainedModel": "BartPreTrainedModel",
    "PretrainedBartModel": "BartPreTrainedModel",
}
