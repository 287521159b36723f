/* What a machine has for tasks, what a task asks for, and what it is given. Pure arithmetic: no
 * threads, no locks, no clock.
 *
 * A demand that was cut (resources_cut) can be met when everything is free, so whoever waits for
 * one waits for running tasks only; a claim is taken whole or not at all. From these two follows
 * that nothing waits for ever. */
#ifndef US_RUNTIME_EXEC_RESOURCES_H
#define US_RUNTIME_EXEC_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEVICES_MOST = 64 };

struct demand {
    int threads; /* CPU slots; -1: all, or a device's share of them */
    size_t host_bytes;
    size_t device_bytes; /* on each device */
    uint32_t devices;    /* so many at once; 0: none */
    bool shared;         /* others that share may use the device meanwhile, as far as bytes fit */
    uint64_t allowed;    /* a bit for each device that will do */
};

struct device_state {
    bool cpu;      /* a part of the CPU: its threads are slots, its memory is the host's */
    size_t memory; /* that tasks may take; SIZE_MAX: not known */
    size_t used;
    uint32_t users;
    bool whole; /* its user has it for itself */
};

struct resources {
    int slots, free_slots;
    int share; /* slots of a CPU device */
    size_t host, free_host;
    struct device_state devices[DEVICES_MOST];
    uint32_t device_count;
};

/* What a task has while it runs: its claim. */
struct allotment {
    int threads;
    size_t host_bytes, device_bytes;
    uint64_t devices; /* a bit each */
    bool shared;
};

/* Cuts a demand down to what there is. */
struct demand resources_cut(const struct resources *resources, struct demand demand);
/* True when a cut demand can be met now with devices out of `open` (a bit each): the claim. Free
 * GPUs come before parts of the CPU, devices with fewer users before others, then in order. */
bool resources_fit(const struct resources *resources, const struct demand *demand, uint64_t open,
                   struct allotment *claim);
/* The devices to keep for a demand that waits: free ones, then those with few users. */
uint64_t resources_choose(const struct resources *resources, const struct demand *demand);
/* Of those devices, the ones that a task with this demand could have now. */
uint64_t resources_open(const struct resources *resources, const struct demand *demand);
void resources_take(struct resources *resources, const struct allotment *claim);
void resources_give(struct resources *resources, const struct allotment *claim);

#endif
