"""Models as they are written by hand: of keras.io's examples, of nanoGPT, and of other kinds."""

import keras
import numpy as np
from keras import layers, ops

from tests.tfoverparam.zoo.registry import entry, randomized

RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(0, 30, (2, 6))
WIDTH = 8


class TransformerBlock(layers.Layer):
    """Of keras.io's "Text classification with Transformer"."""

    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, "relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        out1 = self.layernorm1(inputs + self.dropout1(self.att(inputs, inputs)))
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1)))


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(vocab_size, embed_dim)
        self.pos_emb = layers.Embedding(maxlen, embed_dim)

    def call(self, x):
        return self.token_emb(x) + self.pos_emb(ops.arange(0, ops.shape(x)[-1]))


@entry("text transformer", "keras.io", 1.0, is_quick=True)
def text_transformer():
    inputs = layers.Input((6,))
    x = TokenAndPositionEmbedding(6, 30, WIDTH)(inputs)
    x = layers.GlobalAveragePooling1D()(TransformerBlock(WIDTH, 2, 16)(x))
    x = layers.Dropout(0.1)(layers.Dense(20, activation="relu")(layers.Dropout(0.1)(x)))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    return randomized(model), TOKENS.astype("float32")


class Patches(layers.Layer):
    """Of keras.io's "Image classification with Vision Transformer"."""

    def __init__(self, patch_size):
        super().__init__()
        self.patch_size = patch_size

    def call(self, images):
        patches = ops.image.extract_patches(images, size=self.patch_size)
        return ops.reshape(patches, (ops.shape(images)[0], -1, self.patch_size**2 * 3))


class PatchEncoder(layers.Layer):
    def __init__(self, num_patches, projection_dim):
        super().__init__()
        self.num_patches = num_patches
        self.projection = layers.Dense(projection_dim)
        self.position_embedding = layers.Embedding(num_patches, projection_dim)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(0, self.num_patches, 1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


@entry("vision transformer", "keras.io", 1.0)
def vision_transformer():
    def mlp(x, hidden_units):
        for units in hidden_units:
            x = layers.Dropout(0.1)(layers.Dense(units, activation=keras.activations.gelu)(x))
        return x

    inputs = keras.Input((16, 16, 3))
    encoded = PatchEncoder(4, WIDTH)(Patches(8)(inputs))
    for _ in range(2):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded)
        attention = layers.MultiHeadAttention(num_heads=2, key_dim=WIDTH, dropout=0.1)(x1, x1)
        x2 = layers.Add()([attention, encoded])
        x3 = mlp(layers.LayerNormalization(epsilon=1e-6)(x2), [2 * WIDTH, WIDTH])
        encoded = layers.Add()([x3, x2])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(encoded))
    model = keras.Model(inputs, layers.Dense(5)(mlp(layers.Dropout(0.5)(x), [32, 16])))
    return randomized(model), RANDOM.uniform(size=(2, 16, 16, 3))


class CausalSelfAttention(layers.Layer):
    """Of nanoGPT: queries, keys and values by one Dense layer."""

    def __init__(self, heads, width):
        super().__init__()
        self.heads = heads
        self.c_attn = layers.Dense(3 * width)
        self.c_proj = layers.Dense(width)

    def call(self, x):
        length, width = x.shape[1:]
        q, k, v = (
            ops.transpose(
                ops.reshape(part, (-1, length, self.heads, width // self.heads)), (0, 2, 1, 3)
            )
            for part in ops.split(self.c_attn(x), 3, axis=-1)
        )
        scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) / (width // self.heads) ** 0.5
        scores = ops.where(ops.tril(ops.ones((length, length))) > 0, scores, -1e9)
        mixed = ops.transpose(ops.matmul(ops.softmax(scores), v), (0, 2, 1, 3))
        return self.c_proj(ops.reshape(mixed, (-1, length, width)))


class Block(layers.Layer):
    def __init__(self, heads, width):
        super().__init__()
        self.ln_1, self.ln_2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.attn = CausalSelfAttention(heads, width)
        self.mlp = {"c_fc": layers.Dense(4 * width, "gelu"), "c_proj": layers.Dense(width)}

    def call(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](self.mlp["c_fc"](self.ln_2(x)))


class GPT(keras.Model):
    def __init__(self, vocabulary, length, heads, width, depth):
        super().__init__()
        self.wte, self.wpe = layers.Embedding(vocabulary, width), layers.Embedding(length, width)
        self.h = [Block(heads, width) for _ in range(depth)]
        self.ln_f = layers.LayerNormalization()
        self.lm_head = layers.Dense(vocabulary, use_bias=False)

    def call(self, tokens):
        x = self.wte(tokens) + self.wpe(ops.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


@entry("nanoGPT", "subclassed", 1.0, is_quick=True)
def nano_gpt():
    model = GPT(30, 6, heads=2, width=WIDTH, depth=2)
    model(TOKENS)
    return randomized(model), TOKENS


class GAN(keras.Model):
    """After keras.io's "DCGAN to generate face images": it has no `call`, and is never built."""

    def __init__(self, discriminator, generator):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile(jit_compile=False)
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

    def train_step(self, real_images):
        import tensorflow as tf

        batch_size = tf.shape(real_images)[0]
        noise = keras.random.normal((batch_size, 8, 8, 1), seed=0)
        images = tf.concat([self.generator(noise), real_images], axis=0)
        labels = tf.concat([tf.ones((batch_size, 1)), tf.zeros((batch_size, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(images))
        weights = self.discriminator.trainable_weights
        gradients = tape.gradient(d_loss, [weight.value for weight in weights])
        self.d_optimizer.apply_gradients(zip(gradients, weights))
        with tf.GradientTape() as tape:
            predictions = self.discriminator(self.generator(noise))
            g_loss = self.loss_fn(tf.zeros((batch_size, 1)), predictions)
        weights = self.generator.trainable_weights
        gradients = tape.gradient(g_loss, [weight.value for weight in weights])
        self.g_optimizer.apply_gradients(zip(gradients, weights))
        return {"d_loss": d_loss, "g_loss": g_loss}

    def compute(self, noise, training=False):
        """What the tests compare."""
        return self.discriminator(self.generator(noise))


@entry("GAN of two models", "subclassed", 1.0, needs="tensorflow")
def gan():
    discriminator = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, strides=2), layers.LeakyReLU()]
        + [layers.Flatten(), layers.Dense(1, "sigmoid")]
    )
    generator = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(16, "relu")]
        + [layers.Reshape((4, 4, 1)), layers.Conv2DTranspose(1, 4, strides=2, padding="same")]
    )
    model = GAN(discriminator, generator)
    optimizers = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    model.compile(*optimizers, keras.losses.BinaryCrossentropy())
    return randomized(model), RANDOM.normal(size=(2, 8, 8, 1)).astype("float32")


class Sampling(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, log_var = inputs
        epsilon = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_var) * epsilon


class VAE(keras.Model):
    """Of keras.io's "Variational AutoEncoder"."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def call(self, inputs):
        return self.decoder(self.encoder(inputs)[0])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        mean, log_var, z = self.encoder(x)
        kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
        return ops.mean(ops.square(self.decoder(z) - x)) + ops.mean(kl)


@entry("VAE of two models", "subclassed", 1.0)
def vae():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(inputs)
    x = layers.Dense(6, activation="relu")(layers.Flatten()(x))
    mean, log_var = layers.Dense(2)(x), layers.Dense(2)(x)
    encoder = keras.Model(inputs, [mean, log_var, Sampling()([mean, log_var])])
    latent = keras.Input((2,))
    x = layers.Reshape((4, 4, 4))(layers.Dense(64, activation="relu")(latent))
    x = layers.Conv2DTranspose(4, 3, activation="relu", strides=2, padding="same")(x)
    decoder = keras.Model(latent, layers.Conv2DTranspose(1, 3, padding="same")(x))
    model = VAE(encoder, decoder)
    images = RANDOM.uniform(size=(2, 8, 8, 1)).astype("float32")
    model(images)
    model.compile("adam", jit_compile=False)
    return randomized(model), images


@entry("siamese with a lambda", "functional", 1.0, is_quick=True)
def siamese():
    tower = keras.Sequential([keras.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(4)])
    left, right = keras.Input((6,)), keras.Input((6,))
    distance = layers.Lambda(
        lambda pair: ops.sum(ops.square(pair[0] - pair[1]), axis=1, keepdims=True)
    )
    outputs = layers.Dense(1, "sigmoid")(distance([tower(left), tower(right)]))
    inputs = [RANDOM.normal(size=(2, 6)).astype("float32") for _ in range(2)]
    return randomized(keras.Model([left, right], outputs)), inputs


@entry("LSTM + GRU + Bidirectional", "recurrent", 0.95, is_quick=True)
def recurrent():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(30, WIDTH, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    x = layers.GRU(4)(layers.LSTM(6, return_sequences=True)(x))
    return randomized(keras.Model(inputs, layers.Dense(2)(x))), TOKENS
