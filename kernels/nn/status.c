#include "kernels/nn/status.h"

const char *us_nn_status_text(enum us_nn_status status) {
    switch (status) {
    case US_NN_OK:
        return "done";
    case US_NN_NO_MEMORY:
        return "not enough memory";
    case US_NN_BAD_CONFIG:
        return "the network cannot be built from this configuration";
    case US_NN_UNSUPPORTED:
        return "this processor has no bfloat16 convolutions";
    case US_NN_NOT_FINITE:
        return "a loss or a gradient is not finite";
    case US_NN_FAILED:
        return "the compute library refused an operation";
    case US_NN_LOST:
        return "another rank of the training is gone";
    }
    return "unknown status";
}
