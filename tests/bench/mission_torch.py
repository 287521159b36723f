#!/usr/bin/env python3
"""The training of the mission benchmark in PyTorch: same net, losses, optimizer and variations.

  mission_torch.py SOURCE DESTINATION AE E D D_MASK BATCH THREADS LOSS STEPS [bf16] [cuda] [compiled]

SOURCE and DESTINATION are data sets that understudy wrote. Trains until the mean of the last 100
losses is below LOSS, or for STEPS steps; prints one JSON line. With `cuda` faces lie in the device's
memory and are varied there; `compiled` is torch.compile with CUDA graphs, which the time leaves out."""
import functools
import json
import math
import struct
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
import train_torch
from train_torch import Net, dssim, soft_mask

ROTATION, SCALE, SHIFT, WARP, LIGHT = math.radians(10), 0.05, 0.05, 0.1, 0.03
WINDOW = 100


def read_dataset(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header, at = json.loads(data[8:8 + length]), 8 + length
    types = {"F16": np.float16, "U8": np.uint8}

    def tensor(name):
        begin, end = header[name]["data_offsets"]
        kind = types[header[name]["dtype"]]
        return np.frombuffer(data[at + begin:at + end], kind).reshape(header[name]["shape"])

    trained = tensor("held_out") == 0
    images = torch.from_numpy(tensor("images")[trained].astype(np.float32)).permute(0, 3, 1, 2)
    masks = torch.from_numpy(tensor("masks")[trained].astype(np.float32)).unsqueeze(1)
    return torch.cat([images, masks], 1).contiguous(), header["__metadata__"]["encoding"]


def uniform(shape, reach):
    return (torch.rand(shape) * 2 - 1) * reach


def affine_grid(batch, size):
    angle, scale = uniform(batch, ROTATION), (1 + SCALE) ** uniform(batch, 1)
    c, s, t = angle.cos() * scale, angle.sin() * scale, uniform((2, batch), 2 * SHIFT)
    theta = torch.stack([torch.stack([c, -s, t[0]], 1), torch.stack([s, c, t[1]], 1)], 1)
    return F.affine_grid(theta, (batch, 1, size, size), align_corners=False)


def warp_grid(batch, size):
    """Nodes of 2, 4 or 8 cells a side, moved by the sum of three uniform numbers; cubic between."""
    moved = []
    for _ in range(batch):
        cells = 2 << int(torch.randint(3, ()))
        nodes = torch.zeros(1, 2, cells + 1, cells + 1)
        inner = (torch.rand(3, 2, cells - 1, cells - 1).sum(0) / 1.5 - 1) * WARP * 2 / cells
        nodes[0, :, 1:-1, 1:-1] = inner
        moved.append(F.interpolate(nodes, (size, size), mode="bicubic", align_corners=True))
    return torch.cat(moved).permute(0, 2, 3, 1)


def vary(faces, batch):
    size = faces.shape[-1]
    picked = faces[torch.randint(len(faces), (batch,))]
    grid = affine_grid(batch, size)
    target = F.grid_sample(picked, grid, mode="bicubic", padding_mode="border", align_corners=False)
    warped = F.grid_sample(picked[:, :3], grid + warp_grid(batch, size), mode="bicubic",
                           padding_mode="border", align_corners=False)
    light = uniform((batch, 1, 1, 1), LIGHT) + uniform((batch, 3, 1, 1), LIGHT / 4)
    return warped + light, target[:, :3] + light, target[:, 3:].clamp(0, 1)


def loss_of(outputs, batches, value_range):
    total = 0
    for (image, mask), (_, target, true_mask) in zip(outputs, batches):
        soft = soft_mask(true_mask)
        x, y = image * soft / value_range, target * soft / value_range
        size = target.shape[-1]
        widths = [int(size / 11.6)] + ([int(size / 23.2)] if size >= 256 else [])
        total = total + sum(10 / len(widths) * dssim(x, y, w) for w in widths)
        total = total + 10 * (x - y).square().mean() + 10 * (mask - true_mask).square().mean()
    return total


def step_of(net, optimizer, forward, measure, device, bf16, value_range):
    """A step of training as a function of the batches; returns the loss."""
    def step(batches):
        optimizer.zero_grad(set_to_none=True)
        faces = torch.cat([b[0] for b in batches])
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            outputs = forward(faces.contiguous(memory_format=torch.channels_last) if bf16 else faces)
        loss = measure(outputs, batches, value_range)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss.item()
    return step


def set_up(device, threads):
    torch.set_num_threads(threads)
    torch.set_default_device(device)
    gaussian = train_torch.gaussian
    train_torch.gaussian = functools.cache(lambda width, sigma: gaussian(width, sigma).to(device))
    torch.manual_seed(1)


def main():
    source, encoding = read_dataset(sys.argv[1])
    destination, _ = read_dataset(sys.argv[2])
    ae, e, d, m, batch, threads = map(int, sys.argv[3:9])
    wanted, steps, how = float(sys.argv[9]), int(sys.argv[10]), sys.argv[11:]
    bf16, device = "bf16" in how, "cuda" if "cuda" in how else "cpu"
    set_up(device, threads)
    source, destination = source.to(device), destination.to(device)
    net = Net(source.shape[-1], ae, e, d, m)
    if bf16:
        net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4, fused=device == "cuda")
    forward, measure = net, loss_of
    if "compiled" in how:
        forward = torch.compile(net, mode="reduce-overhead")
        measure = torch.compile(loss_of, mode="reduce-overhead")
    step = step_of(net, optimizer, forward, measure, device, bf16,
                   0.5 if encoding == "log" else 1.0)
    if "compiled" in how:
        saved = [p.detach().clone() for p in net.parameters()]
        for _ in range(3):
            step([vary(source, batch), vary(destination, batch)])
        with torch.no_grad():
            for parameter, before in zip(net.parameters(), saved):
                parameter.copy_(before)
        optimizer.state.clear()
    losses, begun = [], time.perf_counter()
    while len(losses) < steps:
        losses.append(step([vary(source, batch), vary(destination, batch)]))
        if len(losses) >= WINDOW and sum(losses[-WINDOW:]) / WINDOW < wanted:
            break
    seconds = time.perf_counter() - begun
    print(json.dumps({"torch": torch.__version__, "steps": len(losses), "seconds": seconds,
                      "loss": sum(losses[-WINDOW:]) / len(losses[-WINDOW:]),
                      "images_per_second": 2 * batch * len(losses) / seconds}))


if __name__ == "__main__":
    main()
