"""The average-pool shortcut of ResNet-D for resnetctl."""
