"""Settings of SeamlessM4T (Seamless Communication 2023, arXiv:2308.11596)."""

from __future__ import annotations

from formers.configs import PretrainedConfig


class SeamlessM4TConfig(PretrainedConfig):
    """Configuration. Nothing reads the numbers of positions: places are computed."""

    model_type = "seamless_m4t"
    attribute_map = {"num_hidden_layers": "decoder_layers", "num_attention_heads": "decoder_attention_heads"}
    # what reads texts
    encoder_layers: int = 24
    encoder_attention_heads: int = 16
    encoder_ffn_dim: int = 8192
    encoder_layerdrop: float = 0.05
    # what writes them
    decoder_layers: int = 24
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 8192
    decoder_layerdrop: float = 0.05
    decoder_start_token_id: int = 3
    max_new_tokens: int | None = 256
    # both
    vocab_size: int = 256102
    hidden_size: int = 1024
    activation_function: str = "relu"
    dropout: float = 0.1
    activation_dropout: float = 0.0
    attention_dropout: float = 0.1
    scale_embedding: bool = True
    max_position_embeddings: int = 1024
    tie_word_embeddings: bool = True
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    is_encoder_decoder: bool = True
    use_cache: bool = True
    # their special tokens
    eos_token_id: int | list[int] | None = 3
    bos_token_id: int | None = 2
    pad_token_id: int | None = 0
    # what hears speech
    feature_projection_input_dim: int = 160
    sampling_rate: int = 16000
    speech_encoder_hidden_act: str = "swish"
    speech_encoder_layers: int = 24
    speech_encoder_intermediate_size: int = 4096
    speech_encoder_attention_heads: int = 16
    speech_encoder_layerdrop: float = 0.1
    speech_encoder_dropout: float = 0.0
    conv_depthwise_kernel_size: int = 31
    max_source_positions: int = 4096
    position_embeddings_type: str | None = "relative"
    num_conv_pos_embedding_groups: int = 16
    num_conv_pos_embeddings: int = 128
    rotary_embedding_base: int = 10000
    # the layers behind it
    add_adapter: bool = True
    num_adapter_layers: int = 1
    adaptor_stride: int = 8
    adaptor_kernel_size: int = 8
    adaptor_dropout: float = 0.1
    # what turns texts into units
    t2u_vocab_size: int = 10082
    t2u_encoder_layers: int = 6
    t2u_decoder_layers: int = 6
    t2u_encoder_attention_heads: int = 16
    t2u_decoder_attention_heads: int = 16
    t2u_encoder_ffn_dim: int = 8192
    t2u_decoder_ffn_dim: int = 8192
    t2u_max_position_embeddings: int = 2048
    t2u_max_new_tokens: int = 1024
    t2u_decoder_start_token_id: int = 2
    t2u_eos_token_id: int | list[int] | None = 2
    t2u_bos_token_id: int | None = 0
    t2u_pad_token_id: int | None = 1
    # what makes waves of units
    unit_hifi_gan_vocab_size: int = 10000
    vocoder_offset: int = 4
    unit_embed_dim: int = 1280
    spkr_embed_dim: int = 256
    vocoder_num_spkrs: int = 200
    lang_embed_dim: int = 256
    vocoder_num_langs: int = 36
    variance_predictor_kernel_size: int = 3
    var_pred_dropout: float = 0.5
    leaky_relu_slope: float = 0.1
    upsample_initial_channel: int = 512
    upsample_kernel_sizes: list[int] = [11, 8, 8, 4, 4]  # noqa: RUF012
    upsample_rates: list[int] = [5, 4, 4, 2, 2]  # noqa: RUF012  (fields declare defaults)
    resblock_dilation_sizes: list[list[int]] = [[1, 3, 5], [1, 3, 5], [1, 3, 5]]  # noqa: RUF012
    resblock_kernel_sizes: list[int] = [3, 7, 11]  # noqa: RUF012
