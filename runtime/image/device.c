#include "runtime/image/device.h"

#include <pthread.h>

#include "runtime/base/mem.h"

struct copy {
    struct copy *next;          /* of the channel */
    struct copy *newer, *older; /* of all */
    struct us_device_set *set;
    struct us_device_block block; /* data is NULL while somebody makes it */
    int pins;
    uint64_t last_use;
};

/* Of one channel; its address stays when channels move. */
struct us_device_set {
    struct copy *first;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct copy *newest;
static size_t limit = (size_t)8 << 30;
static uint64_t now;

static struct us_device_set *set_of(const struct us_channel *channel) {
    if (!channel->devices) {
        /* Copies are beside the pixels: a frozen image may gain them. */
        ((struct us_channel *)channel)->devices = us_calloc(1, sizeof *channel->devices);
    }
    return channel->devices;
}

static struct copy *find(const struct us_device_set *set, int device) {
    struct copy *copy = set ? set->first : NULL;
    while (copy && copy->block.device != device) {
        copy = copy->next;
    }
    return copy;
}

static struct copy *add(struct us_device_set *set, int device) {
    struct copy *copy = us_calloc(1, sizeof *copy);
    *copy = (struct copy){.next = set->first, .older = newest, .set = set};
    copy->block.device = device;
    set->first = copy;
    if (newest) {
        newest->newer = copy;
    }
    newest = copy;
    return copy;
}

static void drop(struct copy *copy) {
    struct copy **at = &copy->set->first;
    while (*at != copy) {
        at = &(*at)->next;
    }
    *at = copy->next;
    if (copy->newer) {
        copy->newer->older = copy->older;
    } else {
        newest = copy->older;
    }
    if (copy->older) {
        copy->older->newer = copy->newer;
    }
    if (copy->block.data) {
        copy->block.release(copy->block.device, copy->block.data, copy->block.bytes);
    }
    us_free(copy);
}

static size_t used(int device, struct copy **oldest) {
    size_t bytes = 0;
    *oldest = NULL;
    for (struct copy *copy = newest; copy; copy = copy->older) {
        if (copy->block.device == device && copy->block.data) {
            bytes += copy->block.bytes;
            if (!copy->pins && (!*oldest || copy->last_use < (*oldest)->last_use)) {
                *oldest = copy;
            }
        }
    }
    return bytes;
}

static void shrink(int device) {
    struct copy *oldest;
    while (used(device, &oldest) > limit && oldest) {
        drop(oldest);
    }
}

void *us_device_pin(const struct us_channel *channel, int device) {
    void *data = NULL;
    pthread_mutex_lock(&lock);
    struct us_device_set *set = set_of(channel);
    struct copy *copy = find(set, device);
    while (copy && !copy->block.data) {
        pthread_cond_wait(&changed, &lock);
        copy = find(set, device);
    }
    if (copy) {
        data = copy->block.data;
        copy->pins++;
        copy->last_use = ++now;
    } else {
        add(set, device)->pins = 1;
    }
    pthread_mutex_unlock(&lock);
    return data;
}

void us_device_unpin(const struct us_channel *channel, int device) {
    pthread_mutex_lock(&lock);
    struct copy *copy = find(channel->devices, device);
    if (!copy || copy->pins < 1) {
        US_BUG("channel '%s' is not pinned on device %d", channel->name, device);
    }
    copy->pins--;
    shrink(device);
    pthread_mutex_unlock(&lock);
}

void us_device_put(const struct us_channel *channel, const struct us_device_block *block) {
    pthread_mutex_lock(&lock);
    struct us_device_set *set = set_of(channel);
    struct copy *copy = find(set, block->device);
    if (copy && copy->block.data) {
        US_BUG("channel '%s' has a copy on device %d already", channel->name, block->device);
    }
    copy = copy ? copy : add(set, block->device);
    copy->block = *block;
    copy->last_use = ++now;
    shrink(block->device);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void us_device_give_up(const struct us_channel *channel, int device) {
    pthread_mutex_lock(&lock);
    struct copy *copy = find(channel->devices, device);
    if (copy && !copy->block.data) {
        drop(copy);
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void us_device_set_limit(size_t bytes) {
    pthread_mutex_lock(&lock);
    limit = bytes;
    pthread_mutex_unlock(&lock);
}

size_t us_device_used(int device) {
    struct copy *oldest;
    pthread_mutex_lock(&lock);
    size_t bytes = used(device, &oldest);
    pthread_mutex_unlock(&lock);
    return bytes;
}

void us_device_forget(struct us_channel *channel) {
    if (!channel->devices) {
        return;
    }
    pthread_mutex_lock(&lock);
    while (channel->devices->first) {
        drop(channel->devices->first);
    }
    pthread_mutex_unlock(&lock);
    us_free(channel->devices);
    channel->devices = NULL;
}
