"""The names that the plugins of the project register: an unknown name may be one whose plugin is not installed."""

from resnetctl.registry.kinds import KINDS, Kind

NAMES = {  # plugin -> group of entry points -> names
    "attention": {
        "blocks": "se_basic se_bottleneck eca_basic eca_bottleneck cbam_basic cbam_bottleneck",
        "archs": "se_resnet20 se_resnet32 se_resnet44 se_resnet56 se_resnet110 eca_resnet20 eca_resnet56 "
        "cbam_resnet20 cbam_resnet56",
    },
    "detect": {"heads": "ssd fasterrcnn"},
    "fuse": {"heads": "fuse"},
    "lite": {
        "blocks": "separable_basic inverted_bottleneck",
        "archs": "separable_resnet20 separable_resnet44 inverted_resnet20 inverted_resnet29",
    },
    "losses": {"objectives": "poly gce"},
    "mix": {
        "policies": "mixup cutmix mixup+cutmix randaugment trivialaugment autoaugment-cifar color-jitter erasing",
    },
    "mlflow": {"trackers": "mlflow"},
    "multilabel": {"heads": "multilabel"},
    "muon": {
        "optimizers": "muon schedule-free-sgd schedule-free-adamw",
        "schedules": "trapezoid",
        "recipes": "muon-sprint",
    },
    "openvino": {"exporters": "openvino"},
    "resnetd": {"blocks": "resnetd_basic resnetd_bottleneck", "archs": "resnetd20 resnetd56"},
    "resnext": {
        "blocks": "resnext_bottleneck",
        "archs": "resnext29_32x4d resnext29_8x64d resnext29_16x64d resnext50_32x4d",
    },
    "segment": {"heads": "unet deeplabv3"},
    "speedrun": {"archs": "speednet speednet_wd2", "blocks": "speed", "inits": "whiten", "recipes": "speedrun"},
    "tensorboard": {"trackers": "tensorboard"},
    "web": {"exporters": "web"},
}
OWN = frozenset(f"resnetctl-{name}" for name in NAMES)  # in the folder `plugins` of the source of resnetctl


def owner_of(kind: Kind, name: str) -> str:
    """Return the distribution of the project's plugin that has the name; "" for no such."""
    for plugin, groups in NAMES.items():
        if name in groups.get(KINDS[kind].plural, "").split():
            return f"resnetctl-{plugin}"
    return ""
