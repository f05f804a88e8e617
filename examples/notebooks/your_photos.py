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
# # Your photos
#
# From a folder of images to a file that takes images as they are. The folder has one folder a class. Here the
# notebook draws images of three shapes; put the path of your own folder in their place.

# %%
import csv
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import resnetctl as rc

os.chdir(tempfile.mkdtemp(prefix="your-photos-"))  # everything that this notebook writes goes there
os.environ["RESNETCTL_DATA_DIR"] = "data"
Path.cwd()

# %%
SIDES = {"circle": 60, "square": 4, "triangle": 3}


def photo(name: str, generator: np.random.Generator) -> Image.Image:
    """Draw a shape of any colour, size, place and angle, a little out of focus."""
    width, height = (int(side) for side in generator.integers(90, 160, 2))
    paper, ink = (tuple(map(int, generator.integers(low, low + 100, 3))) for low in (0, 150))
    picture = Image.new("RGB", (width, height), paper)
    circle = (width / 2 + generator.normal(0, 4), height / 2 + generator.normal(0, 4), generator.uniform(22, 40))
    ImageDraw.Draw(picture).regular_polygon(circle, SIDES[name], rotation=int(generator.integers(360)), fill=ink)
    return picture.filter(ImageFilter.GaussianBlur(generator.uniform(0, 2)))


generator = np.random.default_rng(0)
for name in SIDES:
    Path("photos", name).mkdir(parents=True)
    for number in range(80):
        photo(name, generator).save(Path("photos", name, f"{number:03}.jpg"))
Image.open("photos/triangle/000.jpg")

# %% [markdown]
# ## Train
#
# `data` is the folder. It is read once; 20 % are set aside as test, and training never opens them. Real photos learn
# more from ImageNet: `rc.finetune("torchvision:resnet18", data="photos")`.

# %%
run = rc.train(data="./photos", arch="resnet20", size=12, epochs=8, augment="standard", name="photos")

# %%
run

# %% [markdown]
# ## Measure
#
# The test split is small, so the interval is wide. More images make it narrower.

# %%
rc.evaluate(run, per_image="images.csv")

# %% [markdown]
# `images.csv` has what each test image was given, the worst first.

# %%
with open("images.csv", newline="") as table:
    worst = next(csv.DictReader(table))
worst

# %% [markdown]
# ## What did it look at?

# %%
explained = rc.explain(run, "photos/triangle/000.jpg")
Image.open(explained.results[0].picture)

# %% [markdown]
# ## Export
#
# With `input="raw"` the file takes the decoded image: resizing, crop and normalisation are inside, bit for bit as
# they were here. So the program that uses it has nothing to repeat.

# %%
exported = rc.export(run, input="raw")
exported

# %% [markdown]
# ## Predict many
#
# Each image gets a row. The same call goes on after a stop, and what is no image has a row with its problem.

# %%
Path("photos", "circle", "broken.jpg").write_text("no picture")
job = rc.Predictor(exported.path).to_csv("photos", "classes.csv")
job

# %%
print(*job.problems, sep="\n")
print(*Path("classes.csv").read_text().splitlines()[:4], sep="\n")
