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
# # Your own block
#
# A residual block of your own: written, checked, trained and exported. Nothing in the core changes. The block is that
# of squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507) in its smallest form: a gate for each channel.

# %%
import os
import sys
import tempfile
from pathlib import Path

os.chdir(tempfile.mkdtemp(prefix="your-own-block-"))  # everything that this notebook writes goes there
os.environ["RESNETCTL_DATA_DIR"] = "data"
Path.cwd()

# %% [markdown]
# ## Start
#
# `plugins new` writes a package with a working block, a test and a `pyproject.toml`. This line registers the block:
# `gated = "resnetctl_gated.blocks:GatedBlock"`.

# %%
# !{sys.executable} -m resnetctl plugins new resnetctl-gated --kind block

# %% [markdown]
# ## Write
#
# A block is a class. It takes `in_channels`, `width` and `stride`, and arguments of your own with defaults. Its output
# has `expansion * width` channels. `make_shortcut` is the shortcut of the core's blocks.

# %%
SOURCE = '''"""The residual block `gated`."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from resnetctl.blocks import conv3x3, make_shortcut


class GatedBlock(nn.Module):
    """A basic block (He et al. 2015) whose branch is scaled by a gate for each channel (Hu et al. 2018, section 3)."""

    expansion: ClassVar[int] = 1
    preactivation: ClassVar[bool] = False

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.gate = nn.Conv2d(width, width, 1)
        self.relu = nn.ReLU()
        self.downsample = make_shortcut(in_channels, width, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, width, ceil(H / stride), ceil(W / stride))`."""
        branch = self.relu(self.bn1(self.conv1(images)))
        branch = self.bn2(self.conv2(branch))
        share = torch.sigmoid(self.gate(branch.mean((2, 3), keepdim=True)))
        return self.relu(branch * share + self.downsample(images))
'''
Path("resnetctl-gated/resnetctl_gated/blocks.py").write_text(SOURCE)

# %% [markdown]
# ## Install
#
# Usually `pip install -e ./resnetctl-gated` in your environment. Here the package goes into a folder beside the
# notebook's files, so that your environment stays as it is.

# %%
# %pip install --quiet --no-deps --target plugins ./resnetctl-gated

# %%
sys.path.insert(0, "plugins")
from resnetctl_gated.blocks import GatedBlock

import resnetctl as rc
from resnetctl.testing import check_block

# %% [markdown]
# ## Check
#
# The rules for blocks: shapes, gradients, repeatable evaluation, `torch.compile`, ONNX and more. A rule that fails says
# what it saw and how to mend it. A plugin's own test applies the same rules.

# %%
findings = check_block(GatedBlock)
print(*findings, sep="\n")
assert all(finding.ok for finding in findings)

# %% [markdown]
# ## Train and compare
#
# The name works wherever a block is named. The gates add 6 % to the parameters, and its projecting shortcuts 1 %.

# %%
own = rc.train(data="digits", arch="resnet20", block="gated", epochs=2, name="gated")

# %%
plain = rc.train(data="digits", arch="resnet20", epochs=2, name="plain")

# %%
for run in (own, plain):
    report = rc.evaluate(run).report
    parameters = sum(tensor.numel() for tensor in rc.load(run)[0].parameters())
    low, high = report.interval
    print(f"{run.path.name}: {report.top1:.1%} ({low:.1%} to {high:.1%}), {parameters:,} parameters")

# %% [markdown]
# Two epochs and one seed say little: `rc.sweep` trains several seeds and compares them.
#
# ## Export
#
# The weights name the distribution that made them. The ONNX file runs without it.

# %%
rc.export(own)
