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
# # From a run to a page, int8 and a report
#
# One trained network, four ways to hand it on: a report for people, a file with the preprocessing inside, a smaller
# int8 file, and a page that classifies in a browser without a server.

# %%
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import resnetctl as rc

os.chdir(tempfile.mkdtemp(prefix="from-run-to-page-"))  # everything that this notebook writes goes there
os.environ["RESNETCTL_DATA_DIR"] = "data"
Path.cwd()

# %%
run = rc.train(data="digits", arch="resnet20", epochs=3, name="digits")

# %% [markdown]
# ## A report
#
# The accuracy with its interval, how far the probabilities can be trusted, sets of classes that hold the true one, and
# when to abstain. `quick` leaves out what takes minutes.

# %%
report = rc.report(run, quick=True, calibrate="calibrated.safetensors")
report

# %%
report.write_html("report.html")

# %% [markdown]
# ## Files
#
# `calibrated.safetensors` holds the same network with the temperature that the report found, so all files that are
# made of it give calibrated probabilities. Each is compared with PyTorch before it gets its name.

# %%
raw = rc.export("calibrated.safetensors", input="raw", out="raw.onnx")
raw

# %% [markdown]
# int8 is compared with float32 on val, and timed. Networks as small as this one may gain nothing in speed: the file
# says so, and `allow_slower` writes it all the same.

# %%
small = rc.export("calibrated.safetensors", out="int8.onnx", int8=True, allow_slower=True, max_drop=2.0)
small

# %%
for path in (raw.path, small.path):
    print(f"{path}: {path.stat().st_size:,} bytes, {rc.evaluate(path).report.top1:.2%}")

# %% [markdown]
# ## A page
#
# The plugin `resnetctl-web` puts the network and onnxruntime-web into one HTML file: drop a picture, or draw a digit.
# Nothing leaves the browser.

# %%
if find_spec("resnetctl_web") is None:
    print("install resnetctl-web to make the page")
else:
    from resnetctl_web import assets

    if (assets.OWN / assets.RUNTIME).is_file():
        page = rc.export("calibrated.safetensors", to="web", input="raw", out="page")
        print(f"open {page.path / 'index.html'} in a browser: {page.bytes:,} bytes")
    else:
        print(f"onnxruntime-web is missing: {assets.COMMAND}")
