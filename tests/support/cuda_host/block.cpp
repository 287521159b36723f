#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#ifndef __x86_64__
#error "threads of a block switch stacks with x86-64 instructions"
#endif

thread_local uint3 threadIdx, blockIdx;
thread_local dim3 blockDim, gridDim;

/* Keeps what a call must keep, stores the stack pointer and takes the other one. */
extern "C" void us_switch_stack(void **from, void *to);
asm(".text\n"
    ".type us_switch_stack,@function\n"
    "us_switch_stack:\n"
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    ".size us_switch_stack,.-us_switch_stack\n");

namespace {

constexpr size_t STACK = 256 << 10, GUARD = 4096;
constexpr int WARP = 32;

enum class state { unborn, ready, at_warp, at_block, done };

struct stack {
    char *memory;       /* NULL: the caller's own */
    void *pointer;      /* where it was left */
    void *fake, *fiber; /* what the sanitizers know of it */
};

struct thread {
    state now;
    stack *on;
    bool second_slot; /* which of the two exchange slots is next */
};

struct block {
    const std::function<void()> *kernel;
    int count, next; /* threads, the next unborn one in the order */
    std::vector<int> order;
    std::vector<uint3> indices;
    std::vector<thread> threads;
    std::vector<char> slots; /* [thread][2][8] */
    int current;
    stack *running, home;
};

/* Stacks outlive a launch. */
struct stacks {
    std::vector<stack *> idle;
    ~stacks();
};

thread_local block *now;
thread_local stacks pool;
#if defined(__SANITIZE_ADDRESS__)
thread_local const void *home_bottom;
thread_local size_t home_size;
#endif
us_emulation_order wanted_order;
bool order_chosen;

us_emulation_order order_in_use() {
    if (!order_chosen) {
        const char *text = getenv("US_CUDA_ORDER");
        wanted_order = !text                        ? US_ORDER_UP
                       : strcmp(text, "down") == 0  ? US_ORDER_DOWN
                       : strcmp(text, "mixed") == 0 ? US_ORDER_MIXED
                                                    : US_ORDER_UP;
        order_chosen = true;
    }
    return wanted_order;
}

[[noreturn]] void fail(const char *text) {
    fprintf(stderr, "emulated kernel: %s, block %u %u %u of %u %u %u, thread %d\n", text,
            blockIdx.x, blockIdx.y, blockIdx.z, gridDim.x, gridDim.y, gridDim.z,
            now ? now->current : -1);
    abort();
}

/* The i-th of `count` in the chosen order: `mixed` steps with a stride that shares no factor. */
uint64_t place(uint64_t i, uint64_t count) {
    const uint64_t prime = 7919;
    switch (order_in_use()) {
    case US_ORDER_DOWN:
        return count - 1 - i;
    case US_ORDER_MIXED:
        return count % prime ? (i * prime + count / 3) % count : count - 1 - i;
    default:
        return i;
    }
}

void change(stack *from, stack *to) {
    now->running = to;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from->fake, to->memory ? to->memory + GUARD : home_bottom,
                                   to->memory ? STACK - GUARD : home_size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    us_switch_stack(&from->pointer, to->pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#endif
}

void select(int index) {
    now->current = index;
    threadIdx = now->indices[(size_t)index];
}

/* What every stack runs: threads that are unborn, one after another, then back home. */
[[noreturn]] void live() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &home_bottom, &home_size);
#endif
    for (;;) {
        while (now->next < now->count) {
            const int index = now->order[(size_t)now->next++];
            thread &t = now->threads[(size_t)index];
            t.now = state::ready;
            t.on = now->running;
            select(index);
            (*now->kernel)();
            now->threads[(size_t)now->current].now = state::done;
        }
        pool.idle.push_back(now->running);
        change(now->running, &now->home);
    }
}

void prepare(stack *s) {
    void **top = (void **)(void *)(s->memory + STACK);
    *--top = nullptr;       /* live() never returns */
    *--top = (void *)&live; /* what the first switch returns to */
    top -= 6;               /* the registers it takes from the stack */
    memset(top, 0, 6 * sizeof *top);
    s->pointer = top;
}

stack *new_stack() {
    stack *s = new stack();
    s->memory = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->memory == MAP_FAILED || mprotect(s->memory, GUARD, PROT_NONE) != 0) {
        fail("no memory for stacks");
    }
#if defined(__SANITIZE_THREAD__)
    s->fiber = __tsan_create_fiber(0);
#endif
    prepare(s);
    return s;
}

void park(state why) {
    thread &t = now->threads[(size_t)now->current];
    t.now = why;
    change(t.on, &now->home);
}

/* Lets go the threads first to last - 1 if all that live wait for the same. */
bool release(int first, int last, state why) {
    int waiting = 0;
    for (int i = first; i < last; i++) {
        const state s = now->threads[(size_t)i].now;
        if (s != why && s != state::done) {
            return false;
        }
        waiting += s == why;
    }
    for (int i = first; waiting && i < last; i++) {
        thread &t = now->threads[(size_t)i];
        t.now = t.now == why ? state::ready : t.now;
    }
    return waiting > 0;
}

bool run_ready(int first, int last) {
    bool moved = false;
    for (int i = first; i < last; i++) {
        thread &t = now->threads[(size_t)now->order[(size_t)i]];
        if (t.now == state::ready) {
            select(now->order[(size_t)i]);
            change(&now->home, t.on);
            moved = true;
        }
    }
    return moved;
}

/* Each warp runs as far ahead of the others as the block's barriers let it: a missing one shows. */
bool advance() {
    bool moved = false;
    for (int first = 0; first < now->count;) {
        const int warp = now->order[(size_t)first] / WARP * WARP;
        const int size = now->count - warp < WARP ? now->count - warp : WARP;
        do {
            moved |= run_ready(first, first + size);
        } while (release(warp, warp + size, state::at_warp));
        first += size;
    }
    return release(0, now->count, state::at_block) || moved;
}

void run_block() {
    now->next = 0;
    for (thread &t : now->threads) {
        t = {state::unborn, nullptr, false};
    }
    while (now->next < now->count) {
        if (pool.idle.empty()) {
            pool.idle.push_back(new_stack());
        }
        stack *s = pool.idle.back();
        pool.idle.pop_back();
        change(&now->home, s);
    }
    while (advance()) {
    }
    for (int i = 0; i < now->count; i++) {
        if (now->threads[(size_t)i].now != state::done) {
            now->current = i;
            fail("a barrier that not all threads reach");
        }
    }
}

void set_up(block &b, dim3 threads) {
    b.count = (int)(threads.x * threads.y * threads.z);
    b.threads.resize((size_t)b.count);
    b.slots.resize((size_t)b.count * 16);
    b.order.resize((size_t)b.count);
    b.indices.resize((size_t)b.count);
    for (int i = 0; i < b.count; i++) {
        const unsigned t = (unsigned)i;
        b.indices[(size_t)i] = {t % threads.x, t / threads.x % threads.y,
                                t / (threads.x * threads.y)};
    }
    const uint64_t warps = ((uint64_t)b.count + WARP - 1) / WARP;
    for (uint64_t w = 0, at = 0; w < warps; w++) {
        const uint64_t first = place(w, warps) * WARP, left = (uint64_t)b.count - first;
        const uint64_t size = left < WARP ? left : WARP;
        for (uint64_t i = 0; i < size; i++) {
            b.order[at++] = (int)(first + place(i, size));
        }
    }
    b.home = {};
#if defined(__SANITIZE_THREAD__)
    b.home.fiber = __tsan_get_current_fiber();
#endif
}

stacks::~stacks() {
    for (stack *s : idle) {
#if defined(__SANITIZE_THREAD__)
        __tsan_destroy_fiber(s->fiber);
#endif
        munmap(s->memory, STACK);
        delete s;
    }
}

} // namespace

void us_emulation_set_order(us_emulation_order order) {
    wanted_order = order;
    order_chosen = true;
}

namespace us_emulation {

cudaError_t check(dim3 blocks, dim3 threads) {
    const uint64_t count = (uint64_t)threads.x * threads.y * threads.z;
    const bool fine = count >= 1 && count <= 1024 && threads.z <= 64 && blocks.x >= 1 &&
                      blocks.x <= 0x7FFFFFFF && blocks.y >= 1 && blocks.y <= 65535 &&
                      blocks.z >= 1 && blocks.z <= 65535;
    return fine ? cudaSuccess : cudaErrorInvalidConfiguration;
}

void run(dim3 blocks, dim3 threads, const std::function<void()> &kernel) {
    block b{};
    b.kernel = &kernel;
    set_up(b, threads);
    now = &b;
    gridDim = blocks;
    blockDim = threads;
    const uint64_t count = (uint64_t)blocks.x * blocks.y * blocks.z;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t at = place(i, count);
        blockIdx = {(unsigned)(at % blocks.x), (unsigned)(at / blocks.x % blocks.y),
                    (unsigned)(at / blocks.x / blocks.y)};
        run_block();
    }
    now = nullptr;
}

void block_barrier() {
    park(state::at_block);
}

void warp_barrier() {
    park(state::at_warp);
}

int lane() {
    return now->current % WARP;
}

/* Two slots take turns: who runs ahead writes into the other one. */
void exchange(const void *mine, void *theirs, size_t size, int from) {
    const int index = now->current, other = index / WARP * WARP + from;
    thread &t = now->threads[(size_t)index];
    const size_t slot = t.second_slot ? 8 : 0;
    t.second_slot = !t.second_slot;
    memcpy(&now->slots[(size_t)index * 16 + slot], mine, size);
    warp_barrier();
    if (other >= now->count) {
        fail("a shuffle from a lane that does not exist");
    }
    memcpy(theirs, &now->slots[(size_t)other * 16 + slot], size);
}

} // namespace us_emulation
