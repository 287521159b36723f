#include "runtime/exec/resources.h"

static int clamp(int threads, int slots) {
    return threads > slots ? slots : threads < 1 ? 1 : threads;
}

static uint64_t bit(uint32_t device) {
    return (uint64_t)1 << device;
}

static uint32_t count_bits(uint64_t bits) {
    return (uint32_t)__builtin_popcountll(bits);
}

static bool can_hold(const struct resources *r, const struct demand *demand, uint32_t device) {
    return demand->allowed & bit(device) && demand->device_bytes <= r->devices[device].memory;
}

/* Those of the allowed devices that are large enough; when too few are, the demand is cut to what
 * the largest have. */
static void cut_devices(const struct resources *r, struct demand *demand) {
    const uint32_t all = r->device_count;
    const uint64_t every = all == DEVICES_MOST ? UINT64_MAX : bit(all) - 1;
    demand->allowed &= every;
    const uint32_t most = count_bits(demand->allowed);
    demand->devices = demand->devices < most ? demand->devices : most;
    for (;;) {
        uint32_t fitting = 0;
        size_t largest = 0;
        for (uint32_t i = 0; i < all; i++) {
            const bool fits = can_hold(r, demand, i);
            const size_t memory = r->devices[i].memory;
            fitting += fits;
            largest = demand->allowed & bit(i) && !fits && memory > largest ? memory : largest;
        }
        if (fitting >= demand->devices) {
            return;
        }
        demand->device_bytes = largest;
    }
}

static uint32_t cpu_devices(const struct resources *r, uint64_t devices) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->device_count; i++) {
        count += devices & bit(i) && r->devices[i].cpu;
    }
    return count;
}

static int threads_with(const struct resources *r, const struct demand *demand, uint64_t devices) {
    const int count = (int)count_bits(devices), parts = (int)cpu_devices(r, devices);
    int threads = demand->threads;
    if (threads < 0) {
        threads = count ? r->slots * count / (int)r->device_count : r->slots;
    }
    const bool only_parts = parts && parts == count;
    if (only_parts || parts * r->share > threads) {
        threads = parts * r->share;
    }
    return clamp(threads, r->slots);
}

static size_t host_with(const struct resources *r, const struct demand *demand, uint64_t devices) {
    const size_t parts = cpu_devices(r, devices);
    size_t bytes = demand->host_bytes;
    if (parts && demand->device_bytes > (r->host - bytes) / parts) {
        return r->host;
    }
    return bytes + parts * demand->device_bytes;
}

struct demand resources_cut(const struct resources *r, struct demand demand) {
    demand.threads = demand.threads < 0 ? -1 : clamp(demand.threads, r->slots);
    demand.host_bytes = demand.host_bytes < r->host ? demand.host_bytes : r->host;
    if (demand.devices == 0 || r->device_count == 0 || !demand.allowed) {
        return (struct demand){.threads = demand.threads, .host_bytes = demand.host_bytes};
    }
    cut_devices(r, &demand);
    if (demand.devices > 1) {
        demand.shared = false;
    }
    return demand;
}

static bool is_open(const struct resources *r, const struct demand *demand, uint32_t device) {
    const struct device_state *d = &r->devices[device];
    if (!can_hold(r, demand, device)) {
        return false;
    }
    return demand->shared ? !d->whole && demand->device_bytes <= d->memory - d->used
                          : d->users == 0;
}

uint64_t resources_open(const struct resources *r, const struct demand *demand) {
    uint64_t open = 0;
    for (uint32_t i = 0; i < r->device_count; i++) {
        open |= is_open(r, demand, i) ? bit(i) : 0;
    }
    return open;
}

/* GPUs before parts of the CPU, then fewer users, then in order. */
static uint64_t pick(const struct resources *r, uint32_t count, uint64_t from) {
    uint64_t picked = 0;
    while (count-- > 0) {
        uint32_t best = DEVICES_MOST;
        for (uint32_t i = 0; i < r->device_count; i++) {
            const struct device_state *d = &r->devices[i];
            if (from & bit(i) &&
                (best == DEVICES_MOST || (r->devices[best].cpu && !d->cpu) ||
                 (r->devices[best].cpu == d->cpu && d->users < r->devices[best].users))) {
                best = i;
            }
        }
        if (best == DEVICES_MOST) {
            return 0;
        }
        picked |= bit(best);
        from &= ~bit(best);
    }
    return picked;
}

uint64_t resources_choose(const struct resources *r, const struct demand *demand) {
    const uint64_t open = resources_open(r, demand);
    uint64_t able = 0;
    for (uint32_t i = 0; i < r->device_count; i++) {
        able |= can_hold(r, demand, i) ? bit(i) : 0;
    }
    const uint32_t free = count_bits(open);
    if (free >= demand->devices) {
        return pick(r, demand->devices, open);
    }
    return open | pick(r, demand->devices - free, able & ~open);
}

bool resources_fit(const struct resources *r, const struct demand *demand, uint64_t open,
                   struct allotment *claim) {
    *claim = (struct allotment){.shared = demand->shared};
    if (demand->devices) {
        claim->devices = pick(r, demand->devices, open & resources_open(r, demand));
        claim->device_bytes = demand->device_bytes;
        if (!claim->devices) {
            return false;
        }
    }
    claim->threads = threads_with(r, demand, claim->devices);
    claim->host_bytes = host_with(r, demand, claim->devices);
    return claim->threads <= r->free_slots && claim->host_bytes <= r->free_host;
}

static void move(struct resources *r, const struct allotment *claim, bool give) {
    r->free_slots += give ? claim->threads : -claim->threads;
    r->free_host += give ? claim->host_bytes : -claim->host_bytes;
    for (uint32_t i = 0; i < r->device_count; i++) {
        struct device_state *d = &r->devices[i];
        if (claim->devices & bit(i)) {
            d->used += give ? -claim->device_bytes : claim->device_bytes;
            d->users += give ? -1u : 1u;
            d->whole = !give && !claim->shared;
        }
    }
}

void resources_take(struct resources *r, const struct allotment *claim) {
    move(r, claim, false);
}

void resources_give(struct resources *r, const struct allotment *claim) {
    move(r, claim, true);
}
