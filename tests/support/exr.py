"""Uncompressed float EXR files, one part of scan lines: enough for tests that compare numbers."""
import struct


def write(path, planes):
    """planes: {channel: rows of numpy float32}, all of one size."""
    import numpy
    names = sorted(planes, key=lambda name: name.encode())
    height, width = planes[names[0]].shape

    def attribute(name, kind, data):
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(data)) + data

    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = b"".join(n.encode() + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for n in names) + b"\0"
    header = struct.pack("<iI", 20000630, 2) + attribute("channels", "chlist", channels) + attribute("compression", "compression", b"\0")
    header += attribute("dataWindow", "box2i", box) + attribute("displayWindow", "box2i", box) + attribute("lineOrder", "lineOrder", b"\0")
    header += attribute("pixelAspectRatio", "float", struct.pack("<f", 1)) + attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0))
    header += attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + b"\0"
    row = 4 * width * len(names)
    first = len(header) + 8 * height
    with open(path, "wb") as file:
        file.write(header)
        file.write(b"".join(struct.pack("<Q", first + y * (row + 8)) for y in range(height)))
        for y in range(height):
            file.write(struct.pack("<ii", y, row))
            for name in names:
                file.write(numpy.ascontiguousarray(planes[name][y], "<f4").tobytes())


def read(path):
    """{channel: rows}; half and float samples, no compression."""
    import numpy
    data = open(path, "rb").read()
    at, attributes = 8, {}

    def text():
        nonlocal at
        end = data.index(b"\0", at)
        found = data[at:end].decode()
        at = end + 1
        return found

    while name := text():
        kind = text()
        size = struct.unpack_from("<i", data, at)[0]
        attributes[name] = data[at + 4:at + 4 + size]
        at += 4 + size
    assert attributes["compression"] == b"\0", "the file is compressed"
    x0, y0, x1, y1 = struct.unpack("<4i", attributes["dataWindow"])
    width, height = x1 - x0 + 1, y1 - y0 + 1
    channels, rest = [], attributes["channels"]
    while rest[0]:
        end = rest.index(b"\0")
        channels.append((rest[:end].decode(), {1: "<f2", 2: "<f4"}[struct.unpack_from("<i", rest, end + 1)[0]]))
        rest = rest[end + 17:]
    planes = {name: numpy.zeros((height, width), "f4") for name, _ in channels}
    for offset in struct.unpack_from(f"<{height}Q", data, at):
        y = struct.unpack_from("<i", data, offset)[0] - y0
        offset += 8
        for name, kind in channels:
            planes[name][y] = numpy.frombuffer(data, kind, width, offset)
            offset += width * numpy.dtype(kind).itemsize
    return planes
