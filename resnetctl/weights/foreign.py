"""Import the state dict of another project under our names, with a card.

Pickles are read with torch's `weights_only` unpickler only. TorchScript and exported programs carry code and are
refused. The content of a file decides its format, not its name.
"""

import dataclasses
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from resnetctl import __version__, registry
from resnetctl.errors import ResnetctlError, WeightsError
from resnetctl.hints import Call, Hint, Setting
from resnetctl.spec import Arch, ImageSpec, Plugins, WeightsCard
from resnetctl.system import pickles
from resnetctl.system.plain_files import open_regular
from resnetctl.system.safetensors import read_layout
from resnetctl.weights.checks import EVERY, NAMED, check_keys, require_finite
from resnetctl.weights.file import LoadedWeights, is_pickle
from resnetctl.weights.fitting import COUNTER, argument_hints, expected_state, shapes
from resnetctl.wording import counted

NESTS = ("state_dict", "model_state_dict", "model")
WRAPPERS = ("module", "_orig_mod")  # DataParallel, torch.compile
ALIASES = (("linear.", "fc."), (".shortcut.", ".downsample."), (".downsample.0.", ".downsample."))
# Names that torch's unpickler allows, and that make any amount of memory from a few bytes. No state dict needs them.
EXPANDING = ("bytearray", "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_device_tensor_from_numpy")
LEGACY_PICKLES = 5  # of the format before torch 1.6: magic number, version, system, the object, the storage keys
ADVICE = "in the program that has the model: torch.save(model.state_dict(), 'weights.pth')"


def import_weights(file: Path, *, arch: Arch, classes: tuple[str, ...], image: ImageSpec) -> LoadedWeights:
    """Read a state dict and adopt it: `read_state`, then `adopt`."""
    return adopt(read_state(file), file, arch=arch, classes=classes, image=image)


def read_state(file: Path) -> dict[str, Tensor]:
    """Return the state dict in `file`, on the CPU, its names without `module.` and `_orig_mod.`.

    Raises:
        WeightsError: the file is missing, hostile or a program, or holds no state dict.
    """
    with open_regular(file, error=WeightsError) as stream:
        start = stream.read(9)
        stream.seek(0)
        if start[8:] == b"{":
            content = _read_safetensors(stream, file)
        elif not is_pickle(start):
            raise WeightsError("this is neither a safetensors nor a PyTorch file", where=str(file))
        else:
            _check_pickles(stream, file)
            content = _unpickle(stream, file)
        size = stream.seek(0, 2)
    state = _flat(content, file)
    _check_memory(state, size, file)
    stripped = {_strip(name): tensor for name, tensor in state.items()}
    if len(stripped) != len(state):
        raise WeightsError("two keys have the same name without 'module.'", where=str(file))
    return stripped


def input_channels(state: Mapping[str, Tensor], file: Path) -> int:
    """Return the input channels of the first convolution. Raises `WeightsError` when there is no 4-d `conv1.weight`."""
    return int(_first(state, file).shape[1])


def resolve(arch: Arch, state: Mapping[str, Tensor], *, file: Path) -> Arch:
    """Return the arch with every open choice settled from the tensors.

    An `auto` stem is imagenet when the first kernel is larger than 3x3. Shortcut `A`, which has no parameters, becomes
    `B` when the file has parameters of shortcuts.
    """
    if arch.block_args.get("shortcut") == "A" and any(_is_shortcut(name) for name in state):
        arch = dataclasses.replace(arch, block_args={**arch.block_args, "shortcut": "B"}, params=None)
    return arch.resolve_stem(224 if _first(state, file).shape[-1] > 3 else 32)


def adopt(
    state: Mapping[str, Tensor], file: Path, *, arch: Arch, classes: tuple[str, ...], image: ImageSpec
) -> LoadedWeights:
    """Rename the keys of `read_state` to ours, check shapes and numbers, and add a card.

    `linear` becomes `fc`, `shortcut` becomes `downsample`, a missing `num_batches_tracked` becomes 0. Each tensor gets
    the dtype of the arch, so half precision becomes float32.

    Raises:
        WeightsError: lists every key that is missing, unexpected or of another shape, as `check_keys`; or the first
            ones, if another arch fits, and its name.
        ConfigError, PluginError: the arch cannot be built, see `models.resnet.build`.
    """
    arch = resolve(arch, state, file=file)
    expected = expected_state(arch, classes=len(classes), image=image)
    renamed = {_known_as(name, expected): tensor for name, tensor in state.items()}
    if len(renamed) < len(state):
        raise WeightsError("two keys of the file mean the same parameter", where=str(file))
    for name, tensor in expected.items():
        if name.endswith(COUNTER):
            renamed.setdefault(name, torch.zeros(tensor.shape, dtype=tensor.dtype))
    matches = shapes(renamed) == shapes(expected)
    fitting = [] if matches else list(islice(_fitting(state, file, classes=len(classes), image=image), NAMED))
    notes = {arch.name: "alone fits the file: leave out the block and its arguments"}
    fits: Sequence[Hint] = [Setting("arch", name, note=notes.get(name, "fits the file")) for name in fitting]
    hint = fits or _advice(renamed, expected, arch=arch, classes=len(classes), image=image)
    check_keys(renamed, expected, path=file, hint=hint, named=NAMED if fits else None)
    ours = {name: renamed[name].to(tensor.dtype).contiguous() for name, tensor in expected.items()}
    require_finite(ours, file)
    card = WeightsCard(
        arch=arch,
        classes=classes,
        image=image,
        plugins=Plugins(required=registry.distribution_of("block", arch.block)),
        version=__version__,
    )
    return LoadedWeights(path=file, state=ours, card=card)


def _read_safetensors(stream: BinaryIO, file: Path) -> Mapping[str, Any]:
    import safetensors.torch
    from safetensors import SafetensorError

    read_layout(stream, file)
    stream.seek(0)
    try:
        return dict(safetensors.torch.load(stream.read()))
    except SafetensorError as error:
        raise WeightsError(f"the safetensors file cannot be read: {error}", where=str(file)) from None


def _check_pickles(stream: BinaryIO, file: Path) -> None:
    """Check the pickles of a PyTorch file before torch reads them. Leaves `stream` at its start."""
    is_zip = stream.read(2) == b"PK"
    stream.seek(0)
    try:
        if is_zip:
            pickles.check(io.BytesIO(_pickle_of(stream, file)), refused=EXPANDING)
        else:
            for _ in range(LEGACY_PICKLES):
                pickles.check(stream, refused=EXPANDING)
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"this is not a state dict of tensors alone: {error}", where=str(file), hint=ADVICE
        ) from None
    stream.seek(0)


def _pickle_of(stream: BinaryIO, file: Path) -> bytes:
    """Return the pickle of a zip archive. Raises `WeightsError` for damaged and compressed archives and programs."""
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _refuse_programs(members, file)
            _refuse_second_directory(archive, size=stream.seek(0, 2))
            damaged = archive.testzip()  # torch's own reader ignores the checksums
            if damaged is not None:
                raise ValueError(f"the checksum of '{damaged}' does not match")
            tables = [member for member in members if member.filename.lower().endswith("data.pkl")]
            if len(tables) != 1:  # torch's reader ignores upper and lower case
                raise ValueError(f"it has {counted(len(tables), 'pickle')}, not one")
            return archive.read(tables[0])
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, RuntimeError, EOFError) as error:
        raise WeightsError(
            f"the archive is broken: {error}", where=str(file), hint="copy the file again from its source"
        ) from None


def _refuse_second_directory(archive: zipfile.ZipFile, *, size: int) -> None:
    """Raise `ValueError` for an archive in which another reader could see other members than `zipfile` does."""
    members = archive.infolist()
    if archive.comment or min((member.header_offset for member in members), default=0):
        raise ValueError("it has bytes before its first member or after its directory")
    if len({member.filename.lower() for member in members}) != len(members):
        raise ValueError("two members have the same name")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its members are larger than the file")


def _refuse_programs(members: Iterable[zipfile.ZipInfo], file: Path) -> None:
    """Refuse archives that hold code or are compressed. Raises `WeightsError`."""
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise WeightsError("a compressed archive is not a PyTorch file", where=str(file))
    if _holds_program(member.filename for member in members):
        raise WeightsError(
            "this file holds a program (TorchScript or torch.export), not a state dict, and is not run",
            where=str(file),
            hint=ADVICE,
        )


def _holds_program(names: Iterable[str]) -> bool:
    for name in names:
        parts = name.split("/")
        if parts[-1] in ("constants.pkl", "archive_format", "serialized_exported_program.json") or "code" in parts[:-1]:
            return True
    return False


def _unpickle(stream: BinaryIO, file: Path) -> Any:
    """Read with torch's restricted unpickler. Raises `WeightsError` for whatever the unpickler raises."""
    try:
        with warnings.catch_warnings(action="ignore"):  # the user cannot change how the file was written
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"this is not a state dict of tensors alone: {type(error).__name__}: {_reason(error)}",
            where=str(file),
            hint=ADVICE,
        ) from error


def _reason(error: Exception) -> str:
    """Return the reason in torch's message, without its advice to switch the safety off."""
    text = str(error).strip()
    reason = re.search(r"WeightsUnpickler error: (.+?)(?: by default\b|\. |\n|$)", text)
    if reason:
        return reason[1]
    _, _, after = text.partition("from a trusted source.")  # where the advice ends
    return (after or text).strip().partition("\n")[0] or "no reason given"


def _flat(content: Any, file: Path) -> dict[str, Tensor]:
    """Return the tensors by name, from inside `state_dict` or `model` if there is one. Raises `WeightsError`."""
    while isinstance(content, Mapping):  # ends: no value of a checked pickle holds itself
        nest = next((name for name in NESTS if isinstance(content.get(name), Mapping)), None)
        if nest is None:
            break
        content = content[nest]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError("there is no state dict in this file", where=str(file))
    problems = [f"not a plain tensor: {name}" for name, value in content.items() if not _is_plain(value)]
    if problems:
        raise WeightsError("the state dict holds values that are not tensors", where=str(file), problems=problems)
    return {str(name): tensor.detach() for name, tensor in content.items()}


def _check_memory(state: Mapping[str, Tensor], size: int, file: Path) -> None:
    """Raise `WeightsError` for tensors that claim more memory than a file of `size` bytes holds.

    With a stride of 0, one stored number can stand for any number of channels.
    """
    problems = [
        f"larger than its data: {name}"
        for name, tensor in state.items()
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
    ]
    stored = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in state.values()}
    if problems or sum(stored.values()) > size:
        raise WeightsError("the tensors claim more numbers than the file holds", where=str(file), problems=problems)


def _is_plain(value: Any) -> bool:
    """Return whether it is a dense, real tensor in memory: pickles may hold sparse, complex or meta tensors."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _strip(name: str) -> str:
    """Return the name without leading wrappers, and without the `_orig_mod` of compiled submodules anywhere."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in WRAPPERS:
        del parts[0]
    return ".".join(part for part in parts if part != "_orig_mod")


def _known_as(name: str, expected: Mapping[str, Tensor]) -> str:
    """Return our name for a key: the key itself, or its first alias that the arch has. Keeps an unknown key."""
    alias = name
    for theirs, ours in ALIASES:
        if alias in expected:
            return alias
        alias = alias.replace(theirs, ours)
    return alias if alias in expected else name


def _is_shortcut(name: str) -> bool:
    return ".downsample." in name or ".shortcut." in name


def _advice(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, arch: Arch, classes: int, image: ImageSpec
) -> Sequence[Hint]:
    """Return hints on the likeliest mistake: the classes, the images, the block's arguments, else arch or block."""
    head = state.get("fc.weight")
    if head is not None and head.dim() and len(head) != classes:
        return [f"the file has {len(head)} outputs: give {len(head)} class names, not {classes}"]
    first = state.get("conv1.weight")
    if first is not None and first.dim() == 4 and first.shape[1] != image.channels:
        takes = counted(first.shape[1], "channel")
        return [
            f"the file takes images of {takes}, and those of the dataset have {image.channels}",
            Setting("classes", "FILE", note="one class name a line, in place of a dataset"),
        ]
    if hints := argument_hints(arch, state, expected=expected, classes=classes, image=image):
        return hints
    return [
        Call("plugins list", (), {"kind": "arch"}, note="lists other archs"),
        Setting("block", "NAME", note="names another block"),
        Call("plugins list", (), {"kind": "block"}, note="lists them"),
    ]


def _fitting(state: Mapping[str, Tensor], file: Path, *, classes: int, image: ImageSpec) -> Iterator[str]:
    """Yield the names of installed archs that have the parameters and the shapes of `read_state`."""
    for name in registry.names("arch"):
        with suppress(ResnetctlError):  # a broken plugin, or a head that this number of classes cannot have
            expected = expected_state(
                resolve(registry.get("arch", name), state, file=file), classes=classes, image=image
            )
            if shapes({_known_as(key, expected): tensor for key, tensor in state.items()}) == shapes(expected):
                yield name


def _first(state: Mapping[str, Tensor], file: Path) -> Tensor:
    tensor = state.get("conv1.weight")
    if tensor is None or tensor.dim() != 4:
        raise WeightsError(
            "the file has no first convolution of a ResNet",
            where=str(file),
            problems=[
                "missing: conv1.weight with 4 dimensions",
                *(f"the file has: {name} {tuple(value.shape)}" for name, value in islice(state.items(), EVERY)),
            ],
        )
    return tensor
