#include "nodes/io/exr_dwa_module.h"

#include <ImfChannelList.h>
#include <ImfFrameBuffer.h>
#include <ImfHeader.h>
#include <ImfIO.h>
#include <ImfInputFile.h>
#include <ImfOutputFile.h>
#include <ImfTiledOutputFile.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <vector>

namespace {

class MemoryReader : public Imf::IStream {
  public:
    MemoryReader(const uint8_t *bytes, size_t size)
        : Imf::IStream("memory"), bytes_(bytes), size_(size), at_(0) {
    }
    bool read(char c[], int n) override {
        if (n < 0 || static_cast<size_t>(n) > size_ - at_) {
            throw std::runtime_error("unexpected end");
        }
        std::memcpy(c, bytes_ + at_, static_cast<size_t>(n));
        at_ += static_cast<size_t>(n);
        return at_ < size_;
    }
    uint64_t tellg() override {
        return at_;
    }
    void seekg(uint64_t position) override {
        at_ = static_cast<size_t>(std::min<uint64_t>(position, size_));
    }

  private:
    const uint8_t *bytes_;
    size_t size_, at_;
};

class MemoryWriter : public Imf::OStream {
  public:
    explicit MemoryWriter(std::vector<uint8_t> &bytes)
        : Imf::OStream("memory"), bytes_(bytes), at_(0) {
    }
    void write(const char c[], int n) override {
        size_t count = static_cast<size_t>(n);
        if (bytes_.size() < at_ + count) {
            bytes_.resize(at_ + count);
        }
        std::memcpy(bytes_.data() + at_, c, count);
        at_ += count;
    }
    uint64_t tellp() override {
        return at_;
    }
    void seekp(uint64_t position) override {
        at_ = static_cast<size_t>(position);
    }

  private:
    std::vector<uint8_t> &bytes_;
    size_t at_;
};

Imf::FrameBuffer frame_buffer(const struct us_dwa_image *image) {
    Imf::FrameBuffer buffer;
    for (size_t i = 0; i < image->plane_count; i++) {
        const us_dwa_plane &p = image->planes[i];
        if (!p.rows) {
            continue;
        }
        /* The library adds (x / x_sampling) * x_stride + (y / y_sampling) * y_stride. */
        intptr_t base = reinterpret_cast<intptr_t>(p.rows) -
                        intptr_t{p.first_x / p.x_sampling} * p.sample_bytes -
                        intptr_t{p.first_y / p.y_sampling} * static_cast<intptr_t>(p.stride);
        buffer.insert(p.name, Imf::Slice(static_cast<Imf::PixelType>(p.type),
                                         reinterpret_cast<char *>(base),
                                         static_cast<size_t>(p.sample_bytes), p.stride,
                                         p.x_sampling, p.y_sampling));
    }
    return buffer;
}

Imf::Header header(const struct us_dwa_image *image) {
    Imath::Box2i window(Imath::V2i(image->x_min, image->y_min),
                        Imath::V2i(image->x_max, image->y_max));
    Imf::Header made(window, window, 1.0f, Imath::V2f(0, 0), 1.0f, Imf::INCREASING_Y,
                     static_cast<Imf::Compression>(image->compression));
    for (size_t i = 0; i < image->plane_count; i++) {
        const us_dwa_plane &p = image->planes[i];
        made.channels().insert(p.name, Imf::Channel(static_cast<Imf::PixelType>(p.type),
                                                    p.x_sampling, p.y_sampling, p.perceptual != 0));
    }
    made.dwaCompressionLevel() = image->level;
    return made;
}

template <typename Action> int guarded(char *message, size_t message_size, Action action) {
    try {
        action();
        return 0;
    } catch (const std::exception &error) {
        std::snprintf(message, message_size, "%s", error.what());
    } catch (...) {
        std::snprintf(message, message_size, "unknown error");
    }
    return -1;
}

int read_file(const uint8_t *file, size_t size, const struct us_dwa_image *image, char *message,
              size_t message_size) {
    return guarded(message, message_size, [&] {
        MemoryReader stream(file, size);
        Imf::InputFile input(stream, 0);
        input.setFrameBuffer(frame_buffer(image));
        input.readPixels(image->y_min, image->y_max);
    });
}

int write_file(const struct us_dwa_image *image, uint8_t **file, size_t *size, char *message,
               size_t message_size) {
    return guarded(message, message_size, [&] {
        std::vector<uint8_t> bytes;
        MemoryWriter stream(bytes);
        Imf::Header made = header(image);
        if (image->tiled) {
            made.setTileDescription(
                Imf::TileDescription(static_cast<unsigned>(image->x_max - image->x_min + 1),
                                     static_cast<unsigned>(image->y_max - image->y_min + 1)));
            Imf::TiledOutputFile output(stream, made, 0);
            output.setFrameBuffer(frame_buffer(image));
            output.writeTile(0, 0);
        } else {
            Imf::OutputFile output(stream, made, 0);
            output.setFrameBuffer(frame_buffer(image));
            output.writePixels(image->y_max - image->y_min + 1);
        }
        *file = new uint8_t[bytes.size()];
        *size = bytes.size();
        std::memcpy(*file, bytes.data(), bytes.size());
    });
}

void free_file(uint8_t *file) {
    delete[] file;
}

} // namespace

const struct us_dwa_module us_dwa_module = {US_DWA_NUMBER, read_file, write_file, free_file};
