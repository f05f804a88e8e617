"""The verbs as functions, for notebooks and scripts: `import resnetctl as rc; rc.train(data="digits")`.

Keyword arguments are named as the command line's flags. The functions return reports. Only training shows its progress.
"""

from resnetctl import stream as stream
from resnetctl.api.networks import compress as compress
from resnetctl.api.networks import evaluate as evaluate
from resnetctl.api.networks import explain as explain
from resnetctl.api.networks import export as export
from resnetctl.api.networks import load as load
from resnetctl.api.networks import predict as predict
from resnetctl.api.networks import report as report
from resnetctl.api.training import bench as bench
from resnetctl.api.training import find_lr as find_lr
from resnetctl.api.training import finetune as finetune
from resnetctl.api.training import resume as resume
from resnetctl.api.training import sweep as sweep
from resnetctl.api.training import train as train
from resnetctl.backbones import backbone as backbone
from resnetctl.predictor import Predictor as Predictor
from resnetctl.run import Run as Run
from resnetctl.run import runs as runs
