#include <openexr.h>
#include <string.h>

#include "nodes/io/exr_dwa.h"
#include "nodes/io/exr_pack.h"
#include "runtime/base/mem.h"

static const exr_pixel_type_t types[] = {
    [US_HALF] = EXR_PIXEL_HALF, [US_FLOAT] = EXR_PIXEL_FLOAT, [US_UINT] = EXR_PIXEL_UINT};

static void silent(exr_const_context_t context, exr_result_t code, const char *message) {
    (void)context;
    (void)code;
    (void)message;
}

static int64_t read_bytes(exr_const_context_t context, void *user, void *buffer, uint64_t size,
                          uint64_t offset, exr_stream_error_func_ptr_t report) {
    (void)context;
    (void)report;
    const struct us_str *file = user;
    if (offset > file->length) {
        return -1;
    }
    uint64_t left = file->length - offset;
    size = size < left ? size : left;
    memcpy(buffer, file->data + offset, size);
    return (int64_t)size;
}

static int64_t file_size(exr_const_context_t context, void *user) {
    (void)context;
    return (int64_t)((const struct us_str *)user)->length;
}

static int64_t drop_bytes(exr_const_context_t context, void *user, const void *buffer,
                          uint64_t size, uint64_t offset, exr_stream_error_func_ptr_t report) {
    (void)context;
    (void)user;
    (void)buffer;
    (void)offset;
    (void)report;
    return (int64_t)size;
}

static exr_context_initializer_t options_for(void *user) {
    exr_context_initializer_t options = EXR_DEFAULT_CONTEXT_INITIALIZER;
    options.error_handler_fn = silent;
    options.user_data = user;
    options.zip_level = 4;
    options.flags =
        EXR_CONTEXT_FLAG_SILENT_HEADER_PARSE | EXR_CONTEXT_FLAG_DISABLE_CHUNK_RECONSTRUCTION;
    return options;
}

/* The library unpacks into its own buffer; the rows are handed out by our own code. */
static exr_result_t hand_out(exr_decode_pipeline_t *pipeline) {
    const struct us_exr_block *block = pipeline->decoding_user_data;
    size_t bytes = us_exr_block_bytes(block);
    if (!pipeline->unpacked_buffer || pipeline->chunk.unpacked_size != bytes) {
        return EXR_ERR_CORRUPT_CHUNK;
    }
    us_exr_unpack_stored(block, pipeline->unpacked_buffer);
    return EXR_ERR_SUCCESS;
}

static exr_result_t run_decoding(exr_context_t context, const struct us_exr_block *block) {
    exr_chunk_info_t chunk;
    exr_decode_pipeline_t pipeline = {0};
    exr_result_t result =
        block->tiled ? exr_read_tile_chunk_info(context, 0, 0, 0, 0, 0, &chunk)
                     : exr_read_scanline_chunk_info(context, 0, block->window.y_min, &chunk);
    if (result != EXR_ERR_SUCCESS) {
        return result;
    }
    result = exr_decoding_initialize(context, 0, &chunk, &pipeline);
    if (result == EXR_ERR_SUCCESS) {
        result = exr_decoding_choose_default_routines(context, 0, &pipeline);
    }
    if (result == EXR_ERR_SUCCESS) {
        pipeline.decoding_user_data = (void *)(uintptr_t)block;
        pipeline.unpack_and_convert_fn = hand_out;
        result = exr_decoding_run(context, 0, &pipeline);
    }
    exr_decoding_destroy(context, &pipeline);
    return result;
}

static struct us_error *failure(exr_result_t result, const char *doing) {
    if (result == EXR_ERR_OUT_OF_MEMORY) {
        return us_fail(US_RETRY, "no memory to %s pixels", doing);
    }
    return us_fail(US_CORRUPT, "cannot %s its pixels (%s)", doing,
                   exr_get_error_code_as_string(result));
}

static struct us_error *unpack_core(const struct us_exr_block *block, struct us_str *file) {
    exr_context_t context;
    exr_context_initializer_t options = options_for(file);
    options.read_fn = read_bytes;
    options.size_fn = file_size;
    exr_result_t result = exr_start_read(&context, "chunk", &options);
    if (result == EXR_ERR_SUCCESS) {
        result = run_decoding(context, block);
        exr_finish(&context);
    }
    return result == EXR_ERR_SUCCESS ? NULL : failure(result, "unpack");
}

static struct us_dwa_plane *dwa_planes(const struct us_exr_block *block) {
    struct us_dwa_plane *planes = us_calloc(block->lane_count + 1, sizeof *planes);
    for (size_t i = 0; i < block->lane_count; i++) {
        const struct us_exr_lane *lane = &block->lanes[i];
        planes[i] = (struct us_dwa_plane){
            .name = lane->name,
            .type = types[lane->sample],
            .sample_bytes = (int)us_sample_size(lane->sample),
            .perceptual = lane->perceptual,
            .x_sampling = lane->x_sampling,
            .y_sampling = lane->y_sampling,
            .first_x = us_exr_first_sample(block->window.x_min, lane->x_sampling),
            .first_y = us_exr_first_sample(block->window.y_min, lane->y_sampling),
            .rows = (char *)lane->rows,
            .stride = lane->stride,
        };
    }
    return planes;
}

static struct us_dwa_image dwa_image(const struct us_exr_block *block,
                                     const struct us_dwa_plane *planes) {
    const struct us_window *w = &block->window;
    return (struct us_dwa_image){w->x_min,           w->y_min,     w->x_max,         w->y_max,
                                 block->compression, block->tiled, block->dwa_level, planes,
                                 block->lane_count};
}

static struct us_error *unpack_dwa(const struct us_exr_block *block, const struct us_str *file) {
    struct us_dwa_plane *planes = dwa_planes(block);
    const struct us_dwa_image image = dwa_image(block, planes);
    char message[200];
    int failed =
        us_dwa_read((const uint8_t *)file->data, file->length, &image, message, sizeof message);
    us_free(planes);
    return failed ? us_fail(US_CORRUPT, "cannot unpack its pixels (%s)", message) : NULL;
}

struct us_error *us_exr_core_unpack(const struct us_exr_block *block, const uint8_t *packed,
                                    size_t size) {
    struct us_str file = {0};
    us_exr_one_chunk_file(block, packed, size, &file);
    /* The C++ library's PIZ decoder is twice as fast as the C library's. */
    bool cpp = block->compression >= US_EXR_DWAA || block->compression == US_EXR_PIZ;
    struct us_error *error = cpp ? unpack_dwa(block, &file) : unpack_core(block, &file);
    us_str_finish(&file);
    return error;
}

static exr_result_t start_part(exr_context_t context, const struct us_exr_block *block) {
    const struct us_window *w = &block->window;
    exr_attr_box2i_t window = {
        .min.x = w->x_min, .min.y = w->y_min, .max.x = w->x_max, .max.y = w->y_max};
    exr_attr_v2f_t center = {.x = 0.0f, .y = 0.0f};
    int part;
    exr_result_t result = exr_add_part(
        context, "chunk", block->tiled ? EXR_STORAGE_TILED : EXR_STORAGE_SCANLINE, &part);
    if (result == EXR_ERR_SUCCESS) {
        result = exr_initialize_required_attr(context, part, &window, &window, 1.0f, &center, 1.0f,
                                              EXR_LINEORDER_INCREASING_Y,
                                              (exr_compression_t)block->compression);
    }
    if (result == EXR_ERR_SUCCESS && block->tiled) {
        result = exr_set_tile_descriptor(context, part, (uint32_t)us_window_width(w),
                                         (uint32_t)us_window_height(w), EXR_TILE_ONE_LEVEL,
                                         EXR_TILE_ROUND_DOWN);
    }
    for (size_t i = 0; i < block->lane_count && result == EXR_ERR_SUCCESS; i++) {
        const struct us_exr_lane *lane = &block->lanes[i];
        result = exr_add_channel(context, part, lane->name, types[lane->sample],
                                 lane->perceptual ? EXR_PERCEPTUALLY_LINEAR
                                                  : EXR_PERCEPTUALLY_LOGARITHMIC,
                                 lane->x_sampling, lane->y_sampling);
    }
    return result == EXR_ERR_SUCCESS ? exr_write_header(context) : result;
}

static exr_result_t keep_chunk(exr_encode_pipeline_t *pipeline) {
    us_str_append_bytes(pipeline->encoding_user_data, pipeline->compressed_buffer,
                        pipeline->compressed_bytes);
    return EXR_ERR_SUCCESS;
}

static exr_result_t run_encoding(exr_context_t context, const struct us_exr_block *block,
                                 struct us_str *out) {
    exr_chunk_info_t chunk;
    exr_encode_pipeline_t pipeline = {0};
    exr_result_t result =
        block->tiled ? exr_write_tile_chunk_info(context, 0, 0, 0, 0, 0, &chunk)
                     : exr_write_scanline_chunk_info(context, 0, block->window.y_min, &chunk);
    if (result == EXR_ERR_SUCCESS) {
        result = exr_encoding_initialize(context, 0, &chunk, &pipeline);
    }
    for (int c = 0; result == EXR_ERR_SUCCESS && c < pipeline.channel_count; c++) {
        const struct us_exr_lane *lane = &block->lanes[c];
        pipeline.channels[c].user_pixel_stride = (int32_t)us_sample_size(lane->sample);
        pipeline.channels[c].user_line_stride = (int32_t)lane->stride;
        pipeline.channels[c].encode_from_ptr = lane->rows;
    }
    if (result == EXR_ERR_SUCCESS) {
        result = exr_encoding_choose_default_routines(context, 0, &pipeline);
    }
    if (result == EXR_ERR_SUCCESS) {
        pipeline.encoding_user_data = out;
        pipeline.write_fn = keep_chunk;
        result = exr_encoding_run(context, 0, &pipeline);
    }
    exr_encoding_destroy(context, &pipeline);
    return result;
}

static struct us_error *pack_core(const struct us_exr_block *block, struct us_str *out) {
    exr_context_t context;
    exr_context_initializer_t options = options_for(NULL);
    options.write_fn = drop_bytes;
    exr_result_t result = exr_start_write(&context, "chunk", EXR_WRITE_FILE_DIRECTLY, &options);
    if (result == EXR_ERR_SUCCESS) {
        exr_set_longname_support(context, 1);
        result = start_part(context, block);
        if (result == EXR_ERR_SUCCESS) {
            result = run_encoding(context, block, out);
        }
        exr_finish(&context);
    }
    return result == EXR_ERR_SUCCESS ? NULL : failure(result, "pack");
}

static struct us_error *pack_dwa(const struct us_exr_block *block, struct us_str *out) {
    struct us_dwa_plane *planes = dwa_planes(block);
    const struct us_dwa_image image = dwa_image(block, planes);
    char message[200];
    uint8_t *bytes;
    size_t size;
    int failed = us_dwa_write(&image, &bytes, &size, message, sizeof message);
    us_free(planes);
    if (failed) {
        return us_fail(US_FAILED, "cannot pack pixels (%s)", message);
    }
    struct us_exr_file file;
    struct us_error *error = us_exr_file_parse(bytes, size, &file);
    if (!error) {
        uint64_t at = us_exr_chunk_offset(&file, &file.parts[0], 0) + (block->tiled ? 20 : 8);
        us_str_append_bytes(out, bytes + at, size - at);
    }
    us_exr_file_finish(&file);
    us_dwa_free(bytes);
    return error;
}

struct us_error *us_exr_core_pack(const struct us_exr_block *block, struct us_str *out) {
    return block->compression >= US_EXR_DWAA ? pack_dwa(block, out) : pack_core(block, out);
}
