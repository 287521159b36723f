/* Copies of channels in the memory of devices.
 *
 * A published image does not change, so what a device was given once is good for the image's life:
 * the tasks below find it there and the pixels cross the bus once. A copy belongs to its channel
 * and ends with it, or earlier, when a device's copies exceed their limit: then the one longest
 * unused goes, unless it is pinned. Who makes copies says how they end; this room knows no device.
 * Any thread may call. */
#ifndef US_RUNTIME_IMAGE_DEVICE_H
#define US_RUNTIME_IMAGE_DEVICE_H

#include "runtime/image/image.h"

/* Rows without padding in the channel's own sample type, as on the host. */
struct us_device_block {
    int device;
    void *data;
    size_t bytes;
    void (*release)(int device, void *data, size_t bytes);
};

/* The channel's copy, pinned: it stays until us_device_unpin. NULL: there is none, and the caller
 * must now make it and call us_device_put, or us_device_give_up; whoever asks meanwhile waits. */
void *us_device_pin(const struct us_channel *channel, int device);
void us_device_unpin(const struct us_channel *channel, int device);
/* Takes over the block, whose pixels must be there. Pinned if the caller asked for it before. */
void us_device_put(const struct us_channel *channel, const struct us_device_block *block);
void us_device_give_up(const struct us_channel *channel, int device);

/* Bytes of copies that a device may hold besides pinned ones; 8 GiB at first. */
void us_device_set_limit(size_t bytes);
size_t us_device_used(int device);

/* For runtime/image only: the channel ends. */
void us_device_forget(struct us_channel *channel);

#endif
