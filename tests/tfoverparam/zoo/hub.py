"""KerasHub's transformers, small and without pretrained weights."""

import numpy as np

from tests.tfoverparam.zoo.registry import entry, randomized

TOKENS = np.random.default_rng(0).integers(1, 30, (2, 6)).astype("int32")
SIZES = {"vocabulary_size": 30, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 32}
TEXT = {"token_ids": TOKENS, "padding_mask": np.ones_like(TOKENS)}


def hub(name, **arguments):
    return entry(name, "KerasHub", 0.98, needs="keras_hub", **arguments)


@hub("BertBackbone", is_quick=True)
def bert():
    import keras_hub

    model = keras_hub.models.BertBackbone(**SIZES, num_heads=2, max_sequence_length=8)
    return randomized(model), {**TEXT, "segment_ids": np.zeros_like(TOKENS)}


@hub("GPT2Backbone")
def gpt2():
    import keras_hub

    model = keras_hub.models.GPT2Backbone(**SIZES, num_heads=2, max_sequence_length=8)
    return randomized(model), TEXT


@hub("GPT2CausalLM")
def gpt2_causal_lm():
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(**SIZES, num_heads=2, max_sequence_length=8)
    return randomized(keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)), TEXT


@hub("LlamaBackbone")
def llama():
    import keras_hub

    heads = {"num_query_heads": 4, "num_key_value_heads": 2}
    return randomized(keras_hub.models.LlamaBackbone(**SIZES, **heads)), TEXT


@hub("GemmaBackbone")
def gemma():
    import keras_hub

    heads = {"num_query_heads": 4, "num_key_value_heads": 1, "head_dim": 8}
    return randomized(keras_hub.models.GemmaBackbone(**SIZES, **heads)), TEXT


@hub("T5Backbone")
def t5():
    import keras_hub

    inputs = {
        f"{part}_{what}": value for part in ("encoder", "decoder") for what, value in TEXT.items()
    }
    return randomized(keras_hub.models.T5Backbone(**SIZES, num_heads=2)), inputs


@hub("ViTBackbone")
def vit():
    import keras_hub

    model = keras_hub.models.ViTBackbone(
        image_shape=(16, 16, 3),
        patch_size=(8, 8),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
    )
    return randomized(model), np.random.default_rng(0).uniform(size=(2, 16, 16, 3))


@hub("WhisperBackbone")
def whisper():
    import keras_hub

    lengths = {"max_encoder_sequence_length": 16, "max_decoder_sequence_length": 8}
    model = keras_hub.models.WhisperBackbone(**SIZES, **lengths, num_heads=2, num_mels=5)
    features = np.random.default_rng(0).normal(size=(2, 16, 5)).astype("float32")
    inputs = {"encoder_features": features, "decoder_token_ids": TOKENS}
    return randomized(model), {**inputs, "decoder_padding_mask": np.ones_like(TOKENS)}


# The experts' kernels are weights of a layer of KerasHub's own, which multiplies by them itself.
@hub("MixtralBackbone", apart="expert_feedforward")
def mixtral():
    import keras_hub

    heads = {"num_query_heads": 4, "num_key_value_heads": 2, "num_experts": 3}
    return randomized(keras_hub.models.MixtralBackbone(**SIZES, **heads)), TEXT
