"""Open the weights that a run starts from, or that teach it: a run, a weights file or torchvision's."""

from resnetctl.config.schema import DistillConfig
from resnetctl.errors import InputError, UsageError, WeightsError
from resnetctl.hints import Setting
from resnetctl.system import storage
from resnetctl.system.safetensors import digest
from resnetctl.system.settings import Settings
from resnetctl.tasks import targets
from resnetctl.weights import file as weights_file
from resnetctl.weights import torchvision as torchvision_weights
from resnetctl.weights.file import NamedWeights
from resnetctl.weights.plugins import require_plugins

TORCHVISION = "torchvision:"


def open_weights(text: str, settings: Settings, *, key: str = "weights") -> NamedWeights:
    """Return the weights of a run, of a file or of torchvision; "" is the newest run.

    Args:
        key: the config key that names the weights, for errors.

    Raises:
        InputError, UsageError: there are no such weights, or they are an ONNX file.
        WeightsError: the file is damaged or hostile.
        PluginError: the weights need a plugin that is not installed.
    """
    if text.startswith(TORCHVISION):
        fetched = torchvision_weights.fetch(text.removeprefix(TORCHVISION), settings.data_dir)
        return NamedWeights(weights=fetched, sha256=digest(fetched.state), name=text)
    try:
        target = targets.resolve(text or None, settings)
    except InputError as error:
        if text in torchvision_weights.NAMES:
            own = Setting(key, TORCHVISION + text, note="ImageNet weights of torchvision")
            raise type(error)(error.message, where=error.where, hint=[own, *error.hint]) from None
        if text:
            raise
        others = Setting(key, "torchvision:resnet18", note="or a file starts from other weights")
        raise type(error)(error.message, where=error.where, hint=[*error.hint, others]) from None
    if target.kind != "weights":
        has_weights = target.run is not None and target.run.weights.is_file()
        weights = str(target.run.weights) if target.run is not None and has_weights else "WEIGHTS"
        role = "a teacher is" if key == "distill.teacher" else "finetune starts from"
        raise UsageError(f"{role} a weights file, not an ONNX file", where=str(target.path), hint=Setting(key, weights))
    header = target.header
    require_plugins(header.card, target.path)
    return NamedWeights(
        weights=weights_file.load(header),
        sha256=storage.sha256(target.path),
        name=str(target.path.resolve()),
        notices=target.notices,
    )


def open_teacher(config: DistillConfig, settings: Settings, *, origin: str = "") -> NamedWeights | None:
    """Return the weights of the teacher that the config names, None without one.

    Args:
        origin: where `teacher_sha256` came from, for the error.

    Raises as `open_weights`, and `WeightsError` when the config records another digest.
    """
    if not config.teacher:
        return None
    teacher = open_weights(config.teacher, settings, key="distill.teacher")
    require_same_bytes(teacher, config.teacher_sha256, key="distill.teacher", origin=origin)
    return teacher


def require_same_bytes(source: NamedWeights, sha256: str, *, key: str, origin: str) -> None:
    """Raise `WeightsError` when the config records another digest (`sha256`, "": none) than that of the weights.

    Args:
        key: the config key that names the weights; `key` + `_sha256` holds the digest.
        origin: where the digest came from.
    """
    if sha256 not in ("", source.sha256):
        raise WeightsError(
            f"these are other weights than the config asks for: SHA-256 {source.sha256}, not {sha256}",
            where=f"{source.name}, {key}_sha256 of {origin}",
            hint=Setting(key, source.name, note="uses these weights all the same"),
        )
