/* A CUDA driver on host memory that enforces the rules, so that code written for libcuda.so.1 runs without a GPU.
 *
 * - Work is deferred: a copy happens when something waits for it, in stream order, and no earlier than the rules demand.
 * - Device addresses and handles are numbers that are never used twice and cannot be dereferenced.
 * - Time is virtual: 1 us per operation and 1 ns per byte, so that elapsed times have a closed form.
 * - What the real driver refuses is refused with its code; an illegal access loses the device for good.
 * - The functions `fake_*` configure it, inject failures and count. Declarations of its own, because CUDA's header may
 *   not be there; the numbers and words of the errors are those of cuda.h 13.0.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS(X) \
    X(SUCCESS, 0, "no error") \
    X(ERROR_INVALID_VALUE, 1, "invalid argument") \
    X(ERROR_OUT_OF_MEMORY, 2, "out of memory") \
    X(ERROR_NOT_INITIALIZED, 3, "initialization error") \
    X(ERROR_DEVICE_UNAVAILABLE, 46, "CUDA-capable device(s) is/are busy or unavailable") \
    X(ERROR_NO_DEVICE, 100, "no CUDA-capable device is detected") \
    X(ERROR_INVALID_DEVICE, 101, "invalid device ordinal") \
    X(ERROR_INVALID_CONTEXT, 201, "invalid device context") \
    X(ERROR_ECC_UNCORRECTABLE, 214, "uncorrectable ECC error encountered") \
    X(ERROR_NVLINK_UNCORRECTABLE, 220, "uncorrectable NVLink error detected during the execution") \
    X(ERROR_CONTAINED, 226, "Invalid access of peer GPU memory over nvlink or a hardware error") \
    X(ERROR_INVALID_HANDLE, 400, "invalid resource handle") \
    X(ERROR_NOT_FOUND, 500, "named symbol not found") \
    X(ERROR_NOT_READY, 600, "device not ready") \
    X(ERROR_ILLEGAL_ADDRESS, 700, "an illegal memory access was encountered") \
    X(ERROR_LAUNCH_TIMEOUT, 702, "the launch timed out and was terminated") \
    X(ERROR_CONTEXT_IS_DESTROYED, 709, "context is destroyed") \
    X(ERROR_ASSERT, 710, "device-side assert triggered") \
    X(ERROR_HARDWARE_STACK_ERROR, 714, "hardware stack error") \
    X(ERROR_ILLEGAL_INSTRUCTION, 715, "an illegal instruction was encountered") \
    X(ERROR_MISALIGNED_ADDRESS, 716, "misaligned address") \
    X(ERROR_LAUNCH_FAILED, 719, "unspecified launch failure") \
    X(ERROR_NOT_SUPPORTED, 801, "operation not supported") \
    X(ERROR_SYSTEM_DRIVER_MISMATCH, 803, "system has unsupported display driver / cuda driver combination") \
    X(ERROR_STREAM_CAPTURE_UNSUPPORTED, 900, "operation not permitted when stream is capturing") \
    X(ERROR_STREAM_CAPTURE_INVALIDATED, 901, "operation failed due to a previous error during capture") \
    X(ERROR_STREAM_CAPTURE_UNMATCHED, 903, "the capture was not initiated in this stream") \
    X(ERROR_STREAM_CAPTURE_UNJOINED, 904, "capturing stream has unjoined work") \
    X(ERROR_STREAM_CAPTURE_ISOLATION, 905, "dependency created on uncaptured work in another stream") \
    X(ERROR_CAPTURED_EVENT, 907, "operation not permitted on an event last recorded in a capturing stream") \
    X(ERROR_STREAM_CAPTURE_WRONG_THREAD, 908, "attempt to terminate a thread-local capture sequence from another thread") \
    X(ERROR_UNKNOWN, 999, "unknown error")

#define AS_ENUM(name, code, text) CUDA_##name = code,
enum { ERRORS(AS_ENUM) };

enum Kind { DEVICE_MEMORY, PINNED_MEMORY, STREAM, EVENT, GRAPH, EXECUTABLE_GRAPH, KINDS };
enum { MAX_DEVICES = 8, MAX_DEPTH = 32, ALIGNMENT = 512, VERSION = 13010 };
enum { NON_BLOCKING = 1, DISABLE_TIMING = 2, GLOBAL = 0, RELAXED = 2 };

typedef struct Context {
    int references, lost;
    size_t used;
} Context;

typedef struct Object Object;

/* One recording of an event. Never freed, since any queue may still name it. */
typedef struct Ticket {
    Object *stream;
    int done;
    double time;
} Ticket;

typedef struct Op {
    enum { TO_DEVICE, TO_HOST, RECORD, WAIT, REPLAY } type;
    void *host;
    uint64_t device;
    size_t size;
    double earliest;
    Ticket *ticket;
    Object *graph;
    struct Op *next;
} Op;

typedef struct Queue {
    Op *head, **tail;
} Queue;

typedef struct Capture {
    Object *origin;
    pthread_t thread;
    int mode, invalid;
    Queue ops;
} Capture;

struct Object {
    enum Kind kind;
    uint64_t handle; /* or the address */
    Context *context;
    size_t size;
    unsigned flags;
    char *bytes;      /* of memory */
    Queue ops;        /* of streams and graphs */
    double clock;     /* of streams: when the last operation ended */
    Capture *capture; /* of streams: running; of events: in which it was recorded last */
    long captured;    /* of streams: operations captured; of events: how many there were when it was recorded */
    int unjoined;
    Ticket *ticket; /* of events */
    Object *on;     /* of events: stream of the last capture */
    Object *next, *previous;
};

static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static Context contexts[MAX_DEVICES];
static __thread Context *stack[MAX_DEPTH];
static __thread int depth;
static Object *objects;
static uint64_t next_handle = 0x10000, next_address = 0xdead00000000;
static double host_time;
static int initialized;

static int devices = 2, version = VERSION, init_result;
static size_t memory = 64 << 20, pinned_memory = 256 << 20, pinned_used;
static long live[KINDS], leaked, calls, pageable, blocking_streams, illegal, lose_after;
static int lose_code, fail_code;
static const char *fail_name;

static void unlock(int *unused) {
    (void)unused;
    pthread_mutex_unlock(&mutex);
}

static int entered(const char *name) {
    calls++;
    if (lose_after && --lose_after == 0)
        for (int i = 0; i < MAX_DEVICES; i++)
            contexts[i].lost = lose_code;
    if (fail_name && strcmp(name, fail_name) == 0) {
        fail_name = NULL;
        return fail_code;
    }
    return 0;
}

#define ENTER \
    __attribute__((cleanup(unlock))) int locked = pthread_mutex_lock(&mutex); \
    (void)locked; \
    int injected = entered(__func__); \
    if (injected) \
    return injected

#define ENTER_CONTEXT \
    ENTER; \
    if (!depth) \
        return CUDA_ERROR_INVALID_CONTEXT; \
    Context *context = stack[depth - 1]; \
    if (!context->references) \
        return CUDA_ERROR_CONTEXT_IS_DESTROYED; \
    if (context->lost) \
        return context->lost

#define FIND(variable, handle, kind) \
    Object *variable = found(context, (uint64_t)(handle), kind); \
    if (!variable) \
    return CUDA_ERROR_INVALID_HANDLE

/* --- objects --- */

static Object *found(Context *context, uint64_t handle, enum Kind kind) {
    for (Object *o = objects; o; o = o->next)
        if (o->handle == handle && o->kind == kind && o->context == context)
            return o;
    return NULL;
}

static Object *enclosing(Context *context, uint64_t address, size_t size, enum Kind kind) {
    for (Object *o = objects; o; o = o->next)
        if (o->kind == kind && o->context == context && address >= o->handle && address + size <= o->handle + o->size)
            return o;
    return NULL;
}

static Object *created(Context *context, enum Kind kind) {
    Object *o = calloc(1, sizeof *o);
    o->kind = kind;
    o->context = context;
    o->handle = next_handle += 16;
    o->ops.tail = &o->ops.head;
    if ((o->next = objects))
        objects->previous = o;
    objects = o;
    live[kind]++;
    return o;
}

static void clear(Queue *queue) {
    while (queue->head) {
        Op *op = queue->head;
        queue->head = op->next;
        free(op);
    }
    queue->tail = &queue->head;
}

static void destroy(Object *o) {
    live[o->kind]--;
    *(o->previous ? &o->previous->next : &objects) = o->next;
    if (o->next)
        o->next->previous = o->previous;
    if (o->kind == DEVICE_MEMORY)
        o->context->used -= o->size;
    if (o->kind == PINNED_MEMORY)
        pinned_used -= o->size;
    clear(&o->ops);
    free(o->bytes);
    free(o);
}

/* --- work --- */

static void append(Queue *queue, Op op) {
    Op *copy = malloc(sizeof *copy);
    *copy = op;
    copy->next = NULL;
    *queue->tail = copy;
    queue->tail = &copy->next;
}

static int enqueue(Object *stream, Op op) {
    Capture *capture = stream->capture;
    if (capture) {
        if (op.type == REPLAY) {
            capture->invalid = 1;
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        append(&capture->ops, op);
        stream->captured++;
        stream->unjoined = stream != capture->origin;
        return 0;
    }
    op.earliest = host_time;
    append(&stream->ops, op);
    return 0;
}

static void drain(Object *stream, Ticket *until);

static void execute(Object *stream, const Op *op) {
    Context *context = stream->context;
    if (context->lost)
        return;
    if (stream->clock < op->earliest)
        stream->clock = op->earliest;
    switch (op->type) {
    case TO_DEVICE:
    case TO_HOST: {
        Object *device = enclosing(context, op->device, op->size, DEVICE_MEMORY);
        Object *host = enclosing(context, (uint64_t)op->host, op->size, PINNED_MEMORY);
        if (!device || !host) { /* freed since; only a graph can outlive its memory, as freeing waits */
            illegal++;
            context->lost = CUDA_ERROR_ILLEGAL_ADDRESS;
            return;
        }
        char *bytes = device->bytes + (op->device - device->handle);
        if (op->type == TO_DEVICE)
            memcpy(bytes, op->host, op->size);
        else
            memcpy(op->host, bytes, op->size);
        stream->clock += 1e-3 + 1e-6 * op->size;
        return;
    }
    case RECORD:
        op->ticket->done = 1;
        op->ticket->time = stream->clock;
        return;
    case WAIT:
        if (!op->ticket->done)
            drain(op->ticket->stream, op->ticket);
        if (stream->clock < op->ticket->time)
            stream->clock = op->ticket->time;
        return;
    case REPLAY:
        for (Op *node = op->graph->ops.head; node; node = node->next)
            execute(stream, node);
    }
}

static void drain(Object *stream, Ticket *until) {
    while (stream->ops.head) {
        Op *op = stream->ops.head;
        if (!(stream->ops.head = op->next))
            stream->ops.tail = &stream->ops.head;
        execute(stream, op);
        int reached = until && op->type == RECORD && op->ticket == until;
        free(op);
        if (reached)
            break;
    }
}

static int waited(Object *stream, Ticket *until) {
    drain(stream, until);
    double time = until ? until->time : stream->clock;
    if (host_time < time)
        host_time = time;
    return stream->context->lost;
}

static void drain_all(Context *context) {
    for (Object *o = objects; o; o = o->next)
        if (o->kind == STREAM && o->context == context)
            waited(o, NULL);
}

/* Calls that wait for the device by themselves are refused while this thread captures. */
static int unsafe(Context *context) {
    int refused = 0;
    for (Object *o = objects; o; o = o->next) {
        Capture *capture = o->kind == STREAM && o->context == context ? o->capture : NULL;
        if (capture && (capture->mode == GLOBAL ||
                        (capture->mode != RELAXED && pthread_equal(capture->thread, pthread_self()))))
            refused = capture->invalid = 1;
    }
    return refused ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : 0;
}

/* --- errors, version, devices --- */

int cuGetErrorName(int code, const char **name) {
#define NAME(error, number, text) \
    case number: \
        *name = "CUDA_" #error; \
        return 0;
    switch (code) { ERRORS(NAME) }
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

int cuGetErrorString(int code, const char **words) {
#define TEXT(error, number, text) \
    case number: \
        *words = text; \
        return 0;
    switch (code) { ERRORS(TEXT) }
    *words = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

int cuInit(unsigned flags) {
    ENTER;
    initialized = !init_result && !flags;
    return init_result ? init_result : flags ? CUDA_ERROR_INVALID_VALUE : 0;
}

int cuDriverGetVersion(int *result) {
    ENTER;
    *result = version;
    return 0;
}

int cuDeviceGetCount(int *count) {
    ENTER;
    *count = devices;
    return initialized ? 0 : CUDA_ERROR_NOT_INITIALIZED;
}

int cuDeviceGet(int *device, int ordinal) {
    ENTER;
    if (!initialized)
        return CUDA_ERROR_NOT_INITIALIZED;
    *device = ordinal;
    return ordinal >= 0 && ordinal < devices ? 0 : CUDA_ERROR_INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int length, int device) {
    ENTER;
    strncpy(name, device == 0 ? "Fake GPU" : "Second Fake GPU", length);
    return 0;
}

int cuDeviceTotalMem_v2(size_t *size, int device) {
    ENTER;
    *size = memory;
    return device < devices ? 0 : CUDA_ERROR_INVALID_DEVICE;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTER;
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 - device : 0;
    return 0;
}

int cuDeviceComputeCapability(int *major, int *minor, int device) {
    ENTER;
    *major = 8;
    *minor = 7 - device;
    return 0;
}

/* --- contexts --- */

int cuDevicePrimaryCtxRetain(Context **context, int device) {
    ENTER;
    if (device < 0 || device >= devices)
        return CUDA_ERROR_INVALID_DEVICE;
    if (contexts[device].lost)
        return contexts[device].lost;
    *context = &contexts[device];
    (*context)->references++;
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER;
    Context *context = &contexts[device];
    if (!context->references)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (--context->references)
        return 0;
    for (Object *o = objects, *next; o; o = next) {
        next = o->next;
        if (o->context == context) {
            leaked++;
            destroy(o);
        }
    }
    return 0;
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    ENTER;
    *flags = 0;
    *active = contexts[device].references > 0;
    return 0;
}

int cuCtxPushCurrent_v2(Context *context) {
    ENTER;
    if (context < contexts || context >= contexts + MAX_DEVICES || depth == MAX_DEPTH)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->references)
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    stack[depth++] = context;
    return 0;
}

int cuCtxPopCurrent_v2(Context **context) {
    ENTER;
    if (!depth)
        return CUDA_ERROR_INVALID_CONTEXT;
    Context *popped = stack[--depth];
    if (context)
        *context = popped;
    return 0;
}

int cuCtxGetCurrent(Context **context) {
    ENTER;
    *context = depth ? stack[depth - 1] : NULL;
    return 0;
}

int cuCtxSetCurrent(Context *context) {
    ENTER;
    depth -= depth > 0;
    if (context)
        stack[depth++] = context;
    return 0;
}

int cuCtxGetDevice(int *device) {
    ENTER_CONTEXT;
    *device = context - contexts;
    return 0;
}

int cuCtxSynchronize(void) {
    ENTER_CONTEXT;
    for (Object *o = objects; o; o = o->next)
        if (o->kind == STREAM && o->context == context && o->capture) {
            o->capture->invalid = 1;
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    drain_all(context);
    return context->lost;
}

/* --- memory --- */

int cuMemGetInfo_v2(size_t *left, size_t *total) {
    ENTER_CONTEXT;
    *left = memory - context->used;
    *total = memory;
    return 0;
}

int cuMemAlloc_v2(uint64_t *pointer, size_t size) {
    ENTER_CONTEXT;
    int refused = unsafe(context);
    if (refused)
        return refused;
    if (!size)
        return CUDA_ERROR_INVALID_VALUE;
    if (size > memory - context->used)
        return CUDA_ERROR_OUT_OF_MEMORY;
    Object *o = created(context, DEVICE_MEMORY);
    o->size = size;
    o->bytes = malloc(size);
    memset(o->bytes, 0xA5, size);
    context->used += size;
    *pointer = o->handle = next_address;
    next_address += (size / ALIGNMENT + 2) * ALIGNMENT; /* a gap, so that no overrun meets a neighbour */
    return 0;
}

int cuMemFree_v2(uint64_t pointer) {
    ENTER_CONTEXT;
    int refused = unsafe(context);
    if (refused)
        return refused;
    Object *o = found(context, pointer, DEVICE_MEMORY);
    if (!o)
        return CUDA_ERROR_INVALID_VALUE;
    drain_all(context);
    destroy(o);
    return context->lost;
}

int cuMemHostAlloc(void **host, size_t size, unsigned flags) {
    ENTER_CONTEXT;
    int refused = unsafe(context);
    if (refused)
        return refused;
    if (!size)
        return CUDA_ERROR_INVALID_VALUE;
    if (size > pinned_memory - pinned_used)
        return CUDA_ERROR_OUT_OF_MEMORY;
    Object *o = created(context, PINNED_MEMORY);
    o->size = size;
    o->flags = flags;
    o->bytes = malloc(size);
    memset(o->bytes, 0x5A, size);
    pinned_used += size;
    o->handle = (uint64_t)o->bytes;
    *host = o->bytes;
    return 0;
}

int cuMemFreeHost(void *host) {
    ENTER_CONTEXT;
    int refused = unsafe(context);
    if (refused)
        return refused;
    Object *o = found(context, (uint64_t)host, PINNED_MEMORY);
    if (!o)
        return CUDA_ERROR_INVALID_VALUE;
    drain_all(context);
    destroy(o);
    return context->lost;
}

static int copy(Context *context, int type, uint64_t device, void *host, size_t size, uint64_t handle) {
    FIND(stream, handle, STREAM);
    if (!size)
        return 0;
    if (!enclosing(context, device, size, DEVICE_MEMORY))
        return CUDA_ERROR_INVALID_VALUE;
    if (!enclosing(context, (uint64_t)host, size, PINNED_MEMORY)) {
        pageable++;
        return CUDA_ERROR_NOT_SUPPORTED; /* CUDA would copy, but not asynchronously */
    }
    return enqueue(stream, (Op){.type = type, .host = host, .device = device, .size = size});
}

int cuMemcpyHtoDAsync_v2(uint64_t device, void *host, size_t size, uint64_t stream) {
    ENTER_CONTEXT;
    return copy(context, TO_DEVICE, device, host, size, stream);
}

int cuMemcpyDtoHAsync_v2(void *host, uint64_t device, size_t size, uint64_t stream) {
    ENTER_CONTEXT;
    return copy(context, TO_HOST, device, host, size, stream);
}

/* --- streams and events --- */

int cuStreamCreate(uint64_t *stream, unsigned flags) {
    ENTER_CONTEXT;
    Object *o = created(context, STREAM);
    o->flags = flags;
    blocking_streams += !(flags & NON_BLOCKING);
    *stream = o->handle;
    return 0;
}

int cuStreamDestroy_v2(uint64_t handle) {
    ENTER_CONTEXT;
    FIND(stream, handle, STREAM);
    drain(stream, NULL);
    destroy(stream);
    return 0;
}

int cuStreamSynchronize(uint64_t handle) {
    ENTER_CONTEXT;
    FIND(stream, handle, STREAM);
    if (stream->capture) {
        stream->capture->invalid = 1;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return waited(stream, NULL);
}

int cuEventCreate(uint64_t *event, unsigned flags) {
    ENTER_CONTEXT;
    Object *o = created(context, EVENT);
    o->flags = flags;
    *event = o->handle;
    return 0;
}

int cuEventDestroy_v2(uint64_t handle) {
    ENTER_CONTEXT;
    FIND(event, handle, EVENT);
    destroy(event);
    return 0;
}

int cuEventRecord(uint64_t handle, uint64_t stream_handle) {
    ENTER_CONTEXT;
    FIND(event, handle, EVENT);
    FIND(stream, stream_handle, STREAM);
    event->capture = stream->capture;
    if (stream->capture) {
        event->on = stream;
        event->captured = stream->captured;
        return 0;
    }
    event->ticket = calloc(1, sizeof(Ticket));
    event->ticket->stream = stream;
    return enqueue(stream, (Op){.type = RECORD, .ticket = event->ticket});
}

int cuStreamWaitEvent(uint64_t stream_handle, uint64_t handle, unsigned flags) {
    ENTER_CONTEXT;
    (void)flags;
    FIND(stream, stream_handle, STREAM);
    FIND(event, handle, EVENT);
    if (stream->capture && stream->capture != event->capture) {
        stream->capture->invalid = 1;
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (event->capture) {
        stream->capture = event->capture;
        stream->unjoined = stream != stream->capture->origin;
        if (event->on->captured == event->captured && event->on != stream)
            event->on->unjoined = 0;
        return 0;
    }
    return event->ticket ? enqueue(stream, (Op){.type = WAIT, .ticket = event->ticket}) : 0;
}

int cuEventSynchronize(uint64_t handle) {
    ENTER_CONTEXT;
    FIND(event, handle, EVENT);
    if (event->capture)
        return CUDA_ERROR_CAPTURED_EVENT;
    if (!event->ticket)
        return 0;
    if (event->ticket->done) {
        if (host_time < event->ticket->time)
            host_time = event->ticket->time;
        return 0;
    }
    return waited(event->ticket->stream, event->ticket);
}

int cuEventElapsedTime_v2(float *milliseconds, uint64_t first, uint64_t last) {
    ENTER_CONTEXT;
    FIND(start, first, EVENT);
    FIND(end, last, EVENT);
    if (!start->ticket || !end->ticket || ((start->flags | end->flags) & DISABLE_TIMING))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!start->ticket->done || !end->ticket->done)
        return CUDA_ERROR_NOT_READY;
    *milliseconds = end->ticket->time - start->ticket->time;
    return 0;
}

int cuEventElapsedTime(float *milliseconds, uint64_t first, uint64_t last) {
    return cuEventElapsedTime_v2(milliseconds, first, last);
}

/* --- graphs --- */

int cuStreamBeginCapture_v2(uint64_t handle, int mode) {
    ENTER_CONTEXT;
    FIND(stream, handle, STREAM);
    if (stream->capture)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    stream->capture = calloc(1, sizeof(Capture));
    *stream->capture = (Capture){.origin = stream, .thread = pthread_self(), .mode = mode};
    stream->capture->ops.tail = &stream->capture->ops.head;
    return 0;
}

int cuStreamEndCapture(uint64_t handle, uint64_t *result) {
    ENTER_CONTEXT;
    FIND(stream, handle, STREAM);
    Capture *capture = stream->capture;
    *result = 0;
    if (!capture || capture->origin != stream)
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    if (capture->mode != RELAXED && !pthread_equal(capture->thread, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    int unjoined = 0;
    for (Object *o = objects; o; o = o->next)
        if (o->kind == STREAM && o->capture == capture) {
            unjoined |= o->unjoined;
            o->capture = NULL;
            o->unjoined = 0;
        }
    if (capture->invalid || unjoined) {
        int code = capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
        clear(&capture->ops);
        return code;
    }
    Object *graph = created(context, GRAPH);
    for (Op *op = capture->ops.head; op; op = op->next)
        append(&graph->ops, *op);
    clear(&capture->ops); /* the capture itself stays: events may name it */
    *result = graph->handle;
    return 0;
}

int cuGraphInstantiateWithFlags(uint64_t *result, uint64_t handle, unsigned long long flags) {
    ENTER_CONTEXT;
    (void)flags;
    FIND(graph, handle, GRAPH);
    Object *executable = created(context, EXECUTABLE_GRAPH);
    for (Op *op = graph->ops.head; op; op = op->next)
        append(&executable->ops, *op);
    *result = executable->handle;
    return 0;
}

int cuGraphDestroy(uint64_t handle) {
    ENTER_CONTEXT;
    FIND(graph, handle, GRAPH);
    destroy(graph);
    return 0;
}

int cuGraphExecDestroy(uint64_t handle) {
    ENTER_CONTEXT;
    FIND(graph, handle, EXECUTABLE_GRAPH);
    drain_all(context);
    destroy(graph);
    return 0;
}

int cuGraphLaunch(uint64_t handle, uint64_t stream_handle) {
    ENTER_CONTEXT;
    FIND(graph, handle, EXECUTABLE_GRAPH);
    FIND(stream, stream_handle, STREAM);
    return enqueue(stream, (Op){.type = REPLAY, .graph = graph});
}

/* --- how callers find functions --- */

static const struct {
    const char *name;
    void *function;
    int since, before; /* CUDA versions to which this signature belongs */
} FUNCTIONS[] = {
#define ONE(name) {#name, name, 0, 1 << 30},
#define TWO(name) {#name, name##_v2, 0, 1 << 30},
    ONE(cuGetErrorName) ONE(cuGetErrorString) ONE(cuInit) ONE(cuDriverGetVersion) ONE(cuDeviceGetCount)
    ONE(cuDeviceGet) ONE(cuDeviceGetName) TWO(cuDeviceTotalMem) ONE(cuDeviceGetAttribute)
    ONE(cuDeviceComputeCapability) ONE(cuDevicePrimaryCtxRetain) TWO(cuDevicePrimaryCtxRelease)
    ONE(cuDevicePrimaryCtxGetState) TWO(cuCtxPushCurrent) TWO(cuCtxPopCurrent) ONE(cuCtxGetCurrent)
    ONE(cuCtxSetCurrent) ONE(cuCtxGetDevice) TWO(cuMemGetInfo) TWO(cuMemAlloc) TWO(cuMemFree) ONE(cuMemHostAlloc)
    ONE(cuMemFreeHost) TWO(cuMemcpyHtoDAsync) TWO(cuMemcpyDtoHAsync) ONE(cuStreamCreate) TWO(cuStreamDestroy)
    ONE(cuStreamSynchronize) ONE(cuStreamWaitEvent) ONE(cuEventCreate) TWO(cuEventDestroy) ONE(cuEventRecord)
    ONE(cuEventSynchronize) ONE(cuEventElapsedTime) TWO(cuStreamBeginCapture) ONE(cuStreamEndCapture)
    ONE(cuGraphInstantiateWithFlags) ONE(cuGraphDestroy) ONE(cuGraphExecDestroy) ONE(cuGraphLaunch)
    {"cuCtxSynchronize", cuCtxSynchronize, 0, 13000},
    {"cuGraphInstantiate", cuGraphInstantiateWithFlags, 12000, 1 << 30},
};

int cuGetProcAddress_v2(const char *name, void **function, int wanted, uint64_t flags, int *status);

int cuGetProcAddress(const char *name, void **function, int wanted, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, wanted, flags, NULL);
}

int cuGetProcAddress_v2(const char *name, void **function, int wanted, uint64_t flags, int *status) {
    (void)flags;
    *function = NULL;
    if (strncmp(name, "cuGetProcAddress", 16) == 0)
        *function = wanted >= 12000 ? (void *)cuGetProcAddress_v2 : (void *)cuGetProcAddress;
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        if (strcmp(name, FUNCTIONS[i].name) == 0 && wanted >= FUNCTIONS[i].since && wanted < FUNCTIONS[i].before &&
            wanted <= version)
            *function = FUNCTIONS[i].function;
    if (status)
        *status = *function ? 0 : 1;
    return *function ? 0 : CUDA_ERROR_NOT_FOUND;
}

/* --- the tests' own functions --- */

void fake_configure(int device_count, size_t device_memory, size_t host_memory, int driver_version, int result) {
    devices = device_count;
    memory = device_memory;
    pinned_memory = host_memory;
    version = driver_version;
    init_result = result;
}

/* The next call of a function, by its exported name, fails with this code. */
void fake_fail(const char *name, int code) {
    fail_name = strdup(name);
    fail_code = code;
}

/* The devices are lost at the n-th call from now on. */
void fake_lose(long after, int code) {
    lose_after = after;
    lose_code = code;
}

/* What a new process would find, once nothing holds a context any more. */
void fake_restart(void) {
    for (int i = 0; i < MAX_DEVICES; i++)
        contexts[i].lost = 0;
    leaked = lose_after = 0;
    fail_name = NULL;
}

int fake_references(int device) { return contexts[device].references; }

int fake_depth(void) { return depth; }

long fake_count(const char *what) {
    static const char *const names[KINDS] = {"device memory", "pinned memory", "streams", "events", "graphs",
                                             "executable graphs"};
    long all = 0;
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(what, names[i]) == 0)
            return live[i];
        all += live[i];
    }
    return strcmp(what, "live") == 0               ? all
           : strcmp(what, "leaked") == 0           ? leaked
           : strcmp(what, "calls") == 0            ? calls
           : strcmp(what, "pageable") == 0         ? pageable
           : strcmp(what, "illegal") == 0          ? illegal
           : strcmp(what, "blocking streams") == 0 ? blocking_streams
                                                   : -1;
}
