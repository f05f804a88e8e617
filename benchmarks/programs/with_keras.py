"""Keras 3 on torch: the network in its layers, a `PyDataset` that cuts batches with numpy, and `fit()`.

Its own `RandomCrop` draws one place for a whole batch, which is another augmentation, so the pictures are cut in the
data set. The variant is the layout of the tensors.
"""

import math
import os

import numpy as np

from programs.task import DECAY, LR, MOMENTUM, PAD, Array, Step, Task

os.environ["KERAS_BACKEND"] = "torch"
import keras
from keras import layers, ops


class Batches(keras.utils.PyDataset):
    """Shuffled batches, padded, cropped and mirrored picture by picture: float32 in 0..255."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.images, self.labels = task.pictures()
        self.batch, self.first = task.batch, task.variant == "channels_first"
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        corners = np.random.randint(0, 2 * PAD + 1, (len(rows), 2))
        chosen = np.random.random(len(rows)) < 0.5
        images = np.empty((len(rows), 32, 32, 3), np.float32)
        canvas = np.pad(self.images[rows], ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)))
        for place, ((top, left), mirrored) in enumerate(zip(corners, chosen, strict=True)):
            cut = canvas[place, top : top + 32, left : left + 32]
            images[place] = cut[:, ::-1] if mirrored else cut
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if self.first else images, self.labels[rows]

    def on_epoch_end(self) -> None:
        """Shuffle."""
        self.order = np.random.permutation(len(self.labels))


class Shortcut(layers.Layer):
    """Option A."""

    def __init__(self, growth: int, axis: int) -> None:
        super().__init__()
        self.growth, self.axis = growth, axis

    def call(self, images: object) -> object:
        """Every second pixel, and new channels of zeros half on each side."""
        cut = images[:, :, ::2, ::2] if self.axis == 1 else images[:, ::2, ::2]  # type: ignore[index]
        pads = [[0, 0] for _ in range(4)]
        pads[self.axis] = [self.growth // 2, self.growth // 2]
        return ops.pad(cut, pads)


class Steps(keras.callbacks.Callback):
    """Tells the clock of every update."""

    def __init__(self, step: Step, images: int) -> None:
        super().__init__()
        self.step, self.images = step, images

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """After the optimizer's step; the last batch of an epoch counts as a full one."""
        self.step(self.images)


class Program:
    """See `programs.task.Program`."""

    def __init__(self, task: Task) -> None:
        self.task = task
        keras.config.set_image_data_format(task.variant)

    def train(self, step: Step, epochs: int) -> None:
        model = network(self.task)
        model.compile(
            optimizer=keras.optimizers.SGD(LR, momentum=MOMENTUM, weight_decay=DECAY),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(Batches(self.task), epochs=epochs, verbose=0, callbacks=[Steps(step, self.task.batch)])

    def logits(self, pictures: Array) -> Array:
        images = pictures.transpose(0, 3, 1, 2) if self.task.variant == "channels_first" else pictures
        return network(self.task).predict(images.astype(np.float32), batch_size=self.task.batch, verbose=0)

    def inputs(self) -> Array:
        batches = Batches(self.task)
        mean, std = self.task.normalisation()
        images = np.concatenate([batches[place][0] for place in range(len(batches))])
        lines = images.transpose(0, 2, 3, 1) if self.task.variant == "channels_first" else images
        return ((lines / 255 - mean) / std).transpose(0, 3, 1, 2)


def network(task: Task) -> keras.Model:
    """The network in Keras' layers with the task's first weights, normalisation inside."""
    first = task.first_weights()
    axis = 1 if task.variant == "channels_first" else -1
    mean, std = task.normalisation()
    images = keras.Input((3, 32, 32) if axis == 1 else (32, 32, 3))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Normalization(axis=axis, mean=mean, variance=std**2)(x)
    x = _convolve(x, 16, 1, "1")
    for stage, width in enumerate((16, 32, 64)):
        for block in range((int(task.arch.removeprefix("resnet")) - 2) // 6):
            halves = bool(stage) and not block
            y = _convolve(x, width, 1 + halves, f"layer{stage + 1}_{block}_1")
            y = _convolve(y, width, 1, f"layer{stage + 1}_{block}_2", active=False)
            x = layers.Activation("relu")(layers.add([y, Shortcut(width // 2, axis % 4)(x) if halves else x]))
    logits = layers.Dense(len(first["fc.bias"]), name="fc")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(images, logits)
    _load(model, first)
    return model


def _convolve(x: object, width: int, stride: int, name: str, *, active: bool = True) -> object:
    """Convolution and norm. Padding is a layer of its own: "same" pads one side only where the stride is 2."""
    axis = 1 if keras.config.image_data_format() == "channels_first" else -1
    if stride > 1:
        x = layers.ZeroPadding2D(1)(x)
    padding = "same" if stride == 1 else "valid"
    x = layers.Conv2D(width, 3, stride, padding=padding, use_bias=False, name=f"conv{name}")(x)
    x = layers.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-5, name=f"bn{name}")(x)
    return layers.Activation("relu")(x) if active else x


def _load(model: keras.Model, first: dict[str, Array]) -> None:
    """Torch's `layer1.0.bn2.weight` is the gamma of `bnlayer1_0_2`."""
    for layer in model.layers:
        kind, _, place = layer.name.partition("layer")
        stem = f"layer{place[:-2].replace('_', '.')}.{kind}{place[-1:]}" if place else layer.name
        if layer.name == "fc":
            layer.set_weights([first["fc.weight"].T, first["fc.bias"]])
        elif kind.startswith("conv"):
            layer.set_weights([first[f"{stem}.weight"].transpose(2, 3, 1, 0)])
        elif kind.startswith("bn"):
            layer.set_weights([first[f"{stem}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])
