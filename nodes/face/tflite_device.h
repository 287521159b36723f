/* A TensorFlow Lite model on a device, many images at once. */
#ifndef US_NODES_FACE_TFLITE_DEVICE_H
#define US_NODES_FACE_TFLITE_DEVICE_H

#include "nodes/device/gpu.h"
#include "nodes/face/tflite.h"

/* The model on that GPU; it is sent there once and stays as long as the model. From
 * any thread. Running it gives, image by image, what us_tflite_run gives: an image's memory is
 * laid out alike, us_tflite_memory floats each. */
struct us_error *us_tflite_on_device(const struct us_tflite *model, struct us_gpu *gpu,
                                     const struct us_cuda_net **net) US_NODISCARD;

#endif
