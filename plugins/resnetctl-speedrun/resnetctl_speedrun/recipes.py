"""The recipe of the speed net. This module imports no torch."""

from resnetctl.spec import Recipe

speedrun: Recipe = {
    "model": {"arch": "speednet_wd2", "init": "whiten"},
    "epochs": 10,
    "batch_size": 128,
    "lr": 0.04,
    "weight_decay": 0.05,
    "warmup": "5%",
    "label_smoothing": 0.1,
    "augment": "standard",
    "optim": {"name": "muon", "momentum": 0.9, "nesterov": True},
    "schedule": {"name": "linear", "final_lr": 0.0},
}
