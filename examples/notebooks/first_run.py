# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First run
#
# From 1,797 handwritten digits to a checked file that predicts without PyTorch. It takes about a minute and needs no
# download: the digits come with the package.

# %%
import os
import tempfile
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path

from PIL import Image

import resnetctl as rc

os.chdir(tempfile.mkdtemp(prefix="first-run-"))  # everything that this notebook writes goes there
os.environ["RESNETCTL_DATA_DIR"] = "data"
Path.cwd()

# %% [markdown]
# ## Train
#
# One table shows the epochs and grows while the network learns. A star marks the best epoch on *val*, images that are
# held out of train. The weights of this epoch are kept.

# %%
run = rc.train(data="digits", arch="resnet20", epochs=3, name="digits")

# %%
run

# %%
run.plot()

# %% [markdown]
# ## Measure
#
# Val chose the epoch, so its accuracy is no result. The test images were never opened by training. The interval says
# how much the accuracy could move with other digits of the same writers.

# %%
outcome = rc.evaluate(run)
outcome

# %%
worst = min(outcome.report.per_class, key=lambda item: item.accuracy)
print(f"The hardest digit is {worst.name}: {worst.correct} of {worst.count} are right.")

# %% [markdown]
# ## Export
#
# The file gets its name only after onnxruntime and PyTorch agreed on real images. It counts the same correct images.

# %%
exported = rc.export(run)
exported

# %%
assert rc.evaluate(exported.path).report.correct == outcome.report.correct

# %% [markdown]
# ## Predict
#
# An image is a path, bytes, an array or a PIL image. This one is the first test image.

# %%
(entry,) = entry_points(group="resnetctl.datasets", name="digits")
digits = entry.load()
pixels, label = next(islice(digits.read(digits.fetch(Path()), "test"), 1))
Image.fromarray(pixels[..., 0]).resize((160, 160), Image.Resampling.NEAREST)

# %%
(result,) = rc.predict(exported.path, pixels, top=3)
print(f"It is a {label}.", result["predictions"])

# %% [markdown]
# Go on with your own images: `your_photos`. The folder that the second cell named holds the run, its metrics and
# the ONNX file; delete it when you are done.
