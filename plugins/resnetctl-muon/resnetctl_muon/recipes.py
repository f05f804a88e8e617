"""Recipes with Muon. This module imports no torch."""

from resnetctl.spec import Recipe

# The packaged recipe `sprint`, with Muon. The learning rate and the weight decay are not tuned.
muon_sprint: Recipe = {
    "epochs": 19,
    "batch_size": 128,
    "lr": 0.02,
    "weight_decay": 0.02,
    "warmup": "5%",
    "optim": {"name": "muon", "momentum": 0.9, "nesterov": True},
    "schedule": {"name": "linear", "final_lr": 0.0},
    "progressive": {
        "initial_scale": 0.5,
        "delay_fraction": 0.5,
        "finetune_fraction": 0.2,
        "size_increment": 4,
    },
}
