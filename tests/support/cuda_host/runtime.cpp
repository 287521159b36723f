#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "cuda_runtime.h"

using work = std::function<void()>;

struct CUgraph_st {
    std::vector<work> steps;
};

struct CUgraphExec_st {
    std::vector<work> steps;
};

struct CUstream_st {
    int unused;
};

struct capture {
    cudaStream_t origin;
    std::set<cudaStream_t> streams;
    std::set<cudaEvent_t> events;
    std::unique_ptr<CUgraph_st> graph;
    cudaStreamCaptureMode mode;
};

struct CUevent_st {
    std::chrono::steady_clock::time_point at;
};

namespace {

constexpr size_t USUAL_MEMORY = (size_t)4 << 30, ALIGN = 256;

std::mutex lock; /* of the three below */
std::map<uintptr_t, size_t> blocks;
size_t used, limit = USUAL_MEMORY;

thread_local std::unique_ptr<capture> capturing;
thread_local cudaError_t last;

cudaError_t answer(cudaError_t error) {
    last = error ? error : last;
    return error;
}

bool captured(cudaStream_t stream) {
    return capturing && capturing->streams.count(stream);
}

/* Calls that would wait for the device are refused while a capture is on. */
bool may_wait() {
    return !capturing || capturing->mode == cudaStreamCaptureModeRelaxed;
}

bool sides_fit(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    const bool to_device = us_emulation_is_device(to, bytes);
    const bool from_device = us_emulation_is_device(from, bytes);
    switch (kind) {
    case cudaMemcpyHostToDevice:
        return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
        return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
        return to_device && from_device;
    case cudaMemcpyHostToHost:
        return !to_device && !from_device;
    default:
        return true;
    }
}

} // namespace

void us_emulation_set_memory(size_t bytes) {
    const std::lock_guard<std::mutex> guard(lock);
    limit = bytes ? bytes : USUAL_MEMORY;
}

size_t us_emulation_used(void) {
    const std::lock_guard<std::mutex> guard(lock);
    return used;
}

bool us_emulation_is_device(const void *at, size_t bytes) {
    const std::lock_guard<std::mutex> guard(lock);
    auto after = blocks.upper_bound((uintptr_t)at);
    if (after == blocks.begin()) {
        return false;
    }
    --after;
    return (uintptr_t)at + bytes <= after->first + after->second && (uintptr_t)at >= after->first &&
           (bytes == 0 || (uintptr_t)at < after->first + after->second);
}

cudaError_t us_emulation::put(cudaStream_t stream, std::function<void()> job) {
    if (captured(stream)) {
        capturing->graph->steps.push_back(std::move(job));
    } else {
        job();
    }
    return cudaSuccess;
}

cudaError_t us_emulation_enqueue(cudaStream_t stream, void (*job)(const void *),
                                 const void *context, size_t bytes) {
    /* max_align_t units, so that the copy is aligned for whatever the context holds */
    std::vector<std::max_align_t> kept(bytes / sizeof(std::max_align_t) + 1);
    memcpy(kept.data(), context, bytes);
    return us_emulation::put(stream, [=] { job(kept.data()); });
}

cudaError_t cudaGetLastError(void) {
    const cudaError_t error = last;
    last = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void) {
    return last;
}

const char *cudaGetErrorName(cudaError_t error) {
    static thread_local char text[32];
    snprintf(text, sizeof text, "cudaError %d", (int)error);
    return text;
}

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    default:
        return "emulated error";
    }
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    return answer(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    if (device != 0) {
        return answer(cudaErrorInvalidDevice);
    }
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "emulated device");
    const std::lock_guard<std::mutex> guard(lock);
    properties->totalGlobalMem = limit;
    properties->sharedMemPerBlock = 48 << 10;
    properties->multiProcessorCount = 4;
    properties->major = 9;
    properties->l2CacheSize = 1 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) {
        return cudaErrorInvalidDevice;
    }
    *value = attribute == cudaDevAttrMultiProcessorCount      ? properties.multiProcessorCount
             : attribute == cudaDevAttrComputeCapabilityMajor ? properties.major
                                                              : properties.minor;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *text, int size, int device) {
    if (device != 0) {
        return answer(cudaErrorInvalidDevice);
    }
    snprintf(text, (size_t)size, "0000:00:00.0");
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void) {
    return answer(may_wait() ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    const std::lock_guard<std::mutex> guard(lock);
    *total = limit;
    *available = limit - used;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **block, size_t bytes) {
    if (!may_wait()) {
        return answer(cudaErrorStreamCaptureUnsupported);
    }
    const std::lock_guard<std::mutex> guard(lock);
    const size_t size = bytes ? bytes : 1;
    *block = nullptr;
    if (size > limit - used || posix_memalign(block, ALIGN, size) != 0) {
        *block = nullptr;
        return answer(cudaErrorMemoryAllocation);
    }
    memset(*block, 0xFF, size);
    blocks[(uintptr_t)*block] = size;
    used += size;
    return cudaSuccess;
}

cudaError_t cudaFree(void *block) {
    if (!block) {
        return cudaSuccess;
    }
    const std::lock_guard<std::mutex> guard(lock);
    const auto found = blocks.find((uintptr_t)block);
    if (found == blocks.end()) {
        return answer(cudaErrorInvalidValue);
    }
    used -= found->second;
    blocks.erase(found);
    free(block);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **block, size_t bytes, cudaStream_t) {
    return cudaMalloc(block, bytes);
}

cudaError_t cudaFreeAsync(void *block, cudaStream_t) {
    return cudaFree(block);
}

cudaError_t cudaMallocHost(void **block, size_t bytes) {
    return answer(posix_memalign(block, ALIGN, bytes ? bytes : 1) ? cudaErrorMemoryAllocation
                                                                  : cudaSuccess);
}

cudaError_t cudaHostAlloc(void **block, size_t bytes, unsigned) {
    return cudaMallocHost(block, bytes);
}

cudaError_t cudaFreeHost(void *block) {
    free(block);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (bytes && !sides_fit(to, from, bytes, kind)) {
        return answer(cudaErrorInvalidValue);
    }
    return us_emulation::put(stream, [=] {
        if (bytes) {
            memmove(to, from, bytes);
        }
    });
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    return may_wait() ? cudaMemcpyAsync(to, from, bytes, kind, nullptr)
                      : answer(cudaErrorStreamCaptureImplicit);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    if (!us_emulation_is_device(to, bytes)) {
        return answer(cudaErrorInvalidValue);
    }
    return us_emulation::put(stream, [=] { memset(to, value, bytes); });
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) {
    return may_wait() ? cudaMemsetAsync(to, value, bytes, nullptr)
                      : answer(cudaErrorStreamCaptureImplicit);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    *stream = new CUstream_st();
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
    return cudaStreamCreate(stream);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned, int) {
    return cudaStreamCreate(stream);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = *greatest = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return answer(captured(stream) ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return cudaStreamSynchronize(stream);
}

/* A stream that waits for an event of the capture becomes part of it. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    if (capturing && capturing->events.count(event)) {
        capturing->streams.insert(stream);
    }
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *context) {
    return us_emulation::put(stream, [=] { function(context); });
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    *event = new CUevent_st{std::chrono::steady_clock::now()};
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
    return cudaEventCreate(event);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    if (captured(stream)) {
        capturing->events.insert(event);
    } else if (capturing) {
        capturing->events.erase(event);
    }
    event->at = std::chrono::steady_clock::now();
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const bool part = capturing && capturing->events.count(event);
    return answer(part ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    return cudaEventSynchronize(event);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    *milliseconds = std::chrono::duration<float, std::milli>(end->at - begin->at).count();
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    if (capturing || !stream) {
        return answer(cudaErrorStreamCaptureUnsupported);
    }
    capturing.reset(new capture{stream, {stream}, {}, std::make_unique<CUgraph_st>(), mode});
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = nullptr;
    if (!capturing || capturing->origin != stream) {
        return answer(cudaErrorStreamCaptureUnmatched);
    }
    *graph = capturing->graph.release();
    capturing.reset();
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    *status = captured(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    *count = nodes ? 0 : graph->steps.size();
    return nodes ? answer(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
    *exec = new CUgraphExec_st{graph->steps};
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    if (captured(stream)) {
        return answer(cudaErrorStreamCaptureUnsupported);
    }
    for (const work &step : exec->steps) {
        step();
    }
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
