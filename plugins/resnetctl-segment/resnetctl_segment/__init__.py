"""U-Net and DeepLabV3 heads for resnetctl."""
