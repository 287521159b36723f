#!/usr/bin/env python3
"""The df-ud training step of kernels/nn in PyTorch: same layers, losses, optimizer, batch, size.

  train_torch.py RESOLUTION AE E D D_MASK BATCH THREADS STEPS [bf16]   prints images a second

Needs any PyTorch from 1.13 on. Module names are the slice names of kernels/nn/arch.h, so a model
file of understudy loads with load_state_dict."""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def same(x, kernel, stride):
    total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    return F.pad(x, (total // 2, total - total // 2) * 2) if total else x


def depth_to_space(x):
    n, c, h, w = x.shape
    x = x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // 4, 2 * h, 2 * w)


def upscale(conv, x):
    return depth_to_space(F.leaky_relu(conv(x), 0.1))


class Res(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = nn.Conv2d(c, c, 3, padding=1)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return F.leaky_relu(x + self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)


class Encoder(nn.Module):
    def __init__(self, e):
        super().__init__()
        for i, (a, b) in enumerate(((3, e), (e, 2 * e), (2 * e, 4 * e), (4 * e, 8 * e))):
            setattr(self, f"down{i}", nn.Conv2d(a, b, 5, stride=2))

    def forward(self, x):
        for conv in (self.down0, self.down1, self.down2, self.down3):
            x = F.leaky_relu(conv(same(x, 5, 2)), 0.1)
        x = x.flatten(1)
        norm = torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-6)
        return x * norm.to(x.dtype)


class Inter(nn.Module):
    def __init__(self, resolution, e, ae):
        super().__init__()
        self.size = resolution // 32
        self.dense1 = nn.Linear(8 * e * (resolution // 16) ** 2, ae)
        self.dense2 = nn.Linear(ae, ae * self.size**2)
        self.upscale = nn.Conv2d(ae, 4 * ae, 3, padding=1)

    def forward(self, x):
        x = self.dense2(self.dense1(x))
        return upscale(self.upscale, x.view(len(x), -1, self.size, self.size))


class Decoder(nn.Module):
    def __init__(self, ae, d, m):
        super().__init__()
        widths, masks = [ae, 8 * d, 4 * d, 2 * d], [ae, 8 * m, 4 * m, 2 * m, m]
        for i in range(3):
            setattr(self, f"upscale{i}", nn.Conv2d(widths[i], 4 * widths[i + 1], 3, padding=1))
            setattr(self, f"res{i}", Res(widths[i + 1]))
        for i in range(4):
            k = 3 if i else 1
            setattr(self, f"out_conv{i}", nn.Conv2d(2 * d, 3, k, padding=k // 2))
            setattr(self, f"mask_upscale{i}", nn.Conv2d(masks[i], 4 * masks[i + 1], 3, padding=1))
        self.mask_out = nn.Conv2d(m, 1, 1)

    def forward(self, code):
        x, mask = code, code
        for i in range(3):
            x = getattr(self, f"res{i}")(upscale(getattr(self, f"upscale{i}"), x))
        outs = [getattr(self, f"out_conv{i}")(x) for i in range(4)]
        for i in range(4):
            mask = upscale(getattr(self, f"mask_upscale{i}"), mask)
        image = torch.sigmoid(depth_to_space(torch.cat(outs, 1)).float())
        return image, torch.sigmoid(self.mask_out(mask).float())


class Net(nn.Module):
    def __init__(self, resolution, ae, e, d, m):
        super().__init__()
        self.encoder, self.inter = Encoder(e), Inter(resolution, e, ae)
        self.decoder_src, self.decoder_dst = Decoder(ae, d, m), Decoder(ae, d, m)

    def forward(self, faces):
        src, dst = self.inter(self.encoder(faces)).chunk(2)
        return self.decoder_src(src), self.decoder_dst(dst)


def gaussian(width, sigma):
    t = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    g = torch.exp(-(t**2) / (2 * sigma**2))
    return (g / g.sum()).float()


def blur(x, taps):
    c, n = x.shape[1], len(taps)
    x = F.conv2d(x, taps.view(1, 1, n, 1).expand(c, 1, n, 1), groups=c)
    return F.conv2d(x, taps.view(1, 1, 1, n).expand(c, 1, 1, n), groups=c)


def dssim(x, y, width):
    maps = blur(torch.cat([x, y, x * x + y * y, x * y]), gaussian(width, 1.5))
    mx, my, squares, product = maps.chunk(4)
    both, energy = 2 * mx * my, mx * mx + my * my
    ssim = (both + 1e-4) / (energy + 1e-4)
    ssim = ssim * (2 * product - both + 9e-4) / (squares - energy + 9e-4)
    return ((1 - ssim) / 2).mean()


def soft_mask(mask):
    sigma = max(1.0, mask.shape[-1] / 32)
    radius = int(-(-3 * sigma // 1))
    taps = gaussian(2 * radius + 1, sigma)
    return 2 * blur(F.pad(mask, (radius,) * 4, mode="replicate"), taps).clamp(0, 0.5)


def loss_of(outputs, targets, masks):
    total = 0
    resolution = targets[0].shape[-1]
    for (image, mask), target, true_mask in zip(outputs, targets, masks):
        soft = soft_mask(true_mask)
        x, y = image * soft, target * soft
        widths = [int(resolution / 11.6)] + ([int(resolution / 23.2)] if resolution >= 256 else [])
        total = total + sum(10 / len(widths) * dssim(x, y, w) for w in widths)
        total = total + 10 * (x - y).square().mean() + 10 * (mask - true_mask).square().mean()
    return total


def main():
    resolution, ae, e, d, m, batch, threads, steps = map(int, sys.argv[1:9])
    bf16 = sys.argv[9:] == ["bf16"]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = Net(resolution, ae, e, d, m)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-5)
    faces = torch.rand(2 * batch, 3, resolution, resolution)
    if bf16:
        net = net.to(memory_format=torch.channels_last)
        faces = faces.contiguous(memory_format=torch.channels_last)
    targets = torch.rand(2, batch, 3, resolution, resolution)
    masks = torch.rand(2, batch, 1, resolution, resolution)
    seconds = []
    for i in range(-2, steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            outputs = net(faces)
        loss = loss_of(outputs, targets, masks)
        loss.backward()
        optimizer.step()
        if i >= 0:
            seconds.append(time.perf_counter() - start)
    seconds.sort()
    median, fastest = seconds[len(seconds) // 2], seconds[0]
    print(f"torch {torch.__version__} median {median * 1e3:.2f} ms/step {2 * batch / median:.2f} "
          f"images/s, fastest {fastest * 1e3:.2f} ms {2 * batch / fastest:.2f} images/s, "
          f"loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
