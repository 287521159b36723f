/* ONNX models made ready to run, shared by the frames of a process: a small table by the model's
 * digest and the binding. */
#ifndef US_NODES_LEARN_ONNX_SESSION_H
#define US_NODES_LEARN_ONNX_SESSION_H

#include "nodes/learn/onnx/net.h"
#include "runtime/api/value.h"

/* What to bind the input to. Sizes that the model fixes win over these. */
struct us_onnx_wish {
    int32_t channels, height, width;
    bool channels_last;
    size_t memory;
    int threads;
};

struct us_onnx_session;

/* Gives a session for one thread at a time: an idle one, or a new one, which keeps the value. Any
 * thread may call. The table keeps idle sessions, up to 2 GiB of them. */
struct us_error *us_onnx_session_get(struct us_value *model, const struct us_onnx_wish *wish,
                                     struct us_onnx_session **session) US_NODISCARD;
void us_onnx_session_release(struct us_onnx_session *session);

struct us_onnx_net *us_onnx_session_net(const struct us_onnx_session *session);
const struct us_onnx_file *us_onnx_session_file(const struct us_onnx_session *session);
/* Of the input as it was bound. */
int32_t us_onnx_session_height(const struct us_onnx_session *session);
int32_t us_onnx_session_width(const struct us_onnx_session *session);

#endif
