#!/usr/bin/env python3
"""The training step of train_torch.py on a CUDA device, as PyTorch users run it.

  gpu_torch.py MODE RESOLUTION AE E D D_MASK BATCH STEPS   prints images a second

MODE: fp32 (eager, no TF32), shipped (eager as PyTorch comes: TF32 convolutions), compiled (torch.compile, bf16
autocast, channels_last, CUDA graphs). Batches lie in the device's memory; nothing is augmented."""
import functools
import sys
import time

import torch

import train_torch as reference

MODES = ("fp32", "shipped", "compiled")


@functools.cache
def on_device(width, sigma):
    return plain_gaussian(width, sigma).cuda()


plain_gaussian, reference.gaussian = reference.gaussian, on_device


def prepare(mode, sizes):
    if mode == "fp32":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = mode == "compiled"
    torch.manual_seed(0)
    net = reference.Net(*sizes).cuda()
    if mode != "compiled":
        return net, net, reference.loss_of
    net = net.to(memory_format=torch.channels_last)
    return (net, torch.compile(net, mode="reduce-overhead"),
            torch.compile(reference.loss_of, mode="reduce-overhead"))


def main():
    mode = sys.argv[1]
    resolution, ae, e, d, m, batch, steps = map(int, sys.argv[2:9])
    if mode not in MODES:
        sys.exit(f"the mode is {mode!r}, allowed: {', '.join(MODES)}")
    if not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return
    for width in (int(resolution / 11.6), int(resolution / 23.2)):
        on_device(width, 1.5)
    net, forward, loss_of = prepare(mode, (resolution, ae, e, d, m))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-5, fused=True)
    faces = torch.rand(2 * batch, 3, resolution, resolution, device="cuda")
    if mode == "compiled":
        faces = faces.contiguous(memory_format=torch.channels_last)
    targets = torch.rand(2, batch, 3, resolution, resolution, device="cuda")
    masks = torch.rand(2, batch, 1, resolution, resolution, device="cuda")
    seconds = []
    for i in range(-15, steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=mode == "compiled"):
            outputs = forward(faces)
        loss = loss_of(outputs, targets, masks)
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()
        if i >= 0:
            seconds.append(time.perf_counter() - start)
    seconds.sort()
    median, fastest = seconds[len(seconds) // 2], seconds[0]
    print(f"torch-{mode} {torch.__version__} median {median * 1e3:.3f} ms/step {2 * batch / median:.1f} images/s, "
          f"fastest {fastest * 1e3:.3f} ms {2 * batch / fastest:.1f} images/s, loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
