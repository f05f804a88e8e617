"""SSD and Faster R-CNN heads for resnetctl."""
