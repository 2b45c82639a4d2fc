"""Tiny random models, saved as the real ones are."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "on", "the", "beach", "two", "red", "cars"]
SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
TEXT = {**SIZES, "vocab_size": len(WORDS), "max_position_embeddings": 16}
PICTURE = {**SIZES, "image_size": 16, "patch_size": 8}
WAVE = {
    **SIZES,
    "vocab_size": 12,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
SQUARE = {"height": 16, "width": 16}


def tokenizer(special=True, **options):
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(WORDS)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if special:
        marks = [("[CLS]", 2), ("[SEP]", 3)]
        backend.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
        options = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "model_max_length": 16, **options}
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", **options)


def bert():
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(**TEXT)), tokenizer()


def bert_without_pooler():
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(**TEXT), add_pooling_layer=False), tokenizer()


def gpt2():
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(vocab_size=12, n_embd=8, n_layer=2, n_head=2, n_positions=16, bos_token_id=3, eos_token_id=3)
    return GPT2Model(config), tokenizer(special=False, eos_token="[SEP]")


def t5():
    from transformers import T5Config, T5Model

    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": len(WORDS)}
    return T5Model(T5Config(**sizes, decoder_start_token_id=0)), tokenizer()


def vit():
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    return ViTModel(ViTConfig(**PICTURE)), ViTImageProcessor(size=SQUARE)


def dinov2():
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel, ViTImageProcessor

    config = Dinov2WithRegistersConfig(**{**PICTURE, "num_register_tokens": 3, "mlp_ratio": 2})
    return Dinov2WithRegistersModel(config), ViTImageProcessor(size=SQUARE)


def convnext():
    from transformers import ConvNextConfig, ConvNextModel, ViTImageProcessor

    config = ConvNextConfig(num_stages=2, hidden_sizes=[4, 8], depths=[1, 1])
    return ConvNextModel(config), ViTImageProcessor(size=SQUARE)


def clip():
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    text = {**TEXT, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=SQUARE)
    return CLIPModel(CLIPConfig(text_config=text, vision_config=PICTURE, projection_dim=6)), processor, tokenizer()


def siglip():
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    text = {**TEXT, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=PICTURE))
    return model, SiglipImageProcessor(size=SQUARE), tokenizer()


def wav2vec2(masked=True):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    norm = "layer" if masked else "group"
    config = Wav2Vec2Config(**WAVE, feat_extract_norm=norm, do_stable_layer_norm=masked)
    return Wav2Vec2Model(config), Wav2Vec2FeatureExtractor(return_attention_mask=masked)


def wav2vec2_without_mask():
    return wav2vec2(masked=False)


def whisper():
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    sides = {"layers": 1, "attention_heads": 2, "ffn_dim": 16}
    config = WhisperConfig(
        **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sides.items()},
        d_model=8,
        num_mel_bins=8,
        vocab_size=12,
        max_source_positions=50,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return WhisperModel(config), WhisperFeatureExtractor(feature_size=8, chunk_length=1)


def spectrogram():
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    config = ASTConfig(**SIZES, max_length=64, num_mel_bins=16, patch_size=8, frequency_stride=8, time_stride=8)
    return ASTModel(config), ASTFeatureExtractor(num_mel_bins=16, max_length=64)


MODELS = {
    make.__name__: make
    for make in (
        bert,
        bert_without_pooler,
        gpt2,
        t5,
        vit,
        dinov2,
        convnext,
        clip,
        siglip,
        wav2vec2,
        wav2vec2_without_mask,
        whisper,
        spectrogram,
    )
}
