# The loadable CUDA module: libunderstudy_cuda.so beside the program, which itself links nothing of NVIDIA's.
# UNDERSTUDY_CUDA: AUTO builds it where the CUDA Toolkit, cuDNN and NCCL are, ON insists, OFF leaves it out.
# What the module shares with the program: none of these calls oneDNN.
file(GLOB us_cuda_arch CONFIGURE_DEPENDS kernels/nn/arch*.c)
set(us_cuda_shared memory.c op_call.c status.c plan.c graph.c layout.c discriminator.c)
list(TRANSFORM us_cuda_shared PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/kernels/nn/)
set(us_cuda_image blend blur colour encoding expose grain half morph polygon resample samples ssim nn/tflite_ops)
list(TRANSFORM us_cuda_image REPLACE "(.+)" "${CMAKE_CURRENT_SOURCE_DIR}/kernels/\\1.c")
list(APPEND us_cuda_shared ${us_cuda_arch} ${us_cuda_image})
# A module of another build is refused: program and module carry one number that the headers they share make.
file(GLOB_RECURSE us_shared_headers CONFIGURE_DEPENDS kernels/*.h)
list(FILTER us_shared_headers EXCLUDE REGEX "_internal\\.h$")
set(us_build_number ${CMAKE_BINARY_DIR}/generated/kernels/cuda/build_number.h)
add_custom_command(OUTPUT ${us_build_number} VERBATIM COMMENT "Number of this build's interface"
  COMMAND ${CMAKE_COMMAND} "-DHEADERS=${us_shared_headers}" -DOUT=${us_build_number}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cuda/build_number.cmake
  DEPENDS ${us_shared_headers} kernels/cuda/build_number.cmake)
add_custom_target(us_cuda_build_number DEPENDS ${us_build_number})
target_include_directories(us_options INTERFACE ${CMAKE_BINARY_DIR}/generated)

set(UNDERSTUDY_CUDA AUTO CACHE STRING "The CUDA module: AUTO, ON or OFF")
set_property(CACHE UNDERSTUDY_CUDA PROPERTY STRINGS AUTO ON OFF)
set(US_CUDA_FOUND FALSE)
if(NOT UNDERSTUDY_CUDA)
  message(STATUS "CUDA module: left out (UNDERSTUDY_CUDA is OFF)")
  return()
endif()
if(US_SANITIZE)
  message(STATUS "CUDA module: left out (its memory checks are not the host's)")
  return()
endif()

set(us_cuda_missing "")
find_package(CUDAToolkit 12.4 QUIET)
if(CUDAToolkit_FOUND)
  find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
  find_path(CUDNN_INCLUDE cudnn_backend.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  set(us_cudnn_version 0)
  if(CUDNN_LIBRARY AND CUDNN_INCLUDE)
    file(STRINGS ${CUDNN_INCLUDE}/cudnn_version.h us_cudnn_lines REGEX "#define CUDNN_(MAJOR|MINOR) ")
    string(REGEX REPLACE "^[^;]* ([0-9]+);[^;]* ([0-9]+)$" "\\1.\\2" us_cudnn_version "${us_cudnn_lines}")
  endif()
  if(us_cudnn_version VERSION_LESS 9.11) # the first that makes plans for a described device
    list(APPEND us_cuda_missing "cuDNN 9.11 or newer")
  endif()
  if(NOT NCCL_LIBRARY OR NOT NCCL_INCLUDE)
    list(APPEND us_cuda_missing "NCCL")
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    list(APPEND us_cuda_missing "nvcc")
  endif()
else()
  list(APPEND us_cuda_missing "CUDA Toolkit 12.4 or newer")
endif()
if(us_cuda_missing)
  list(JOIN us_cuda_missing ", " us_cuda_missing)
  if(UNDERSTUDY_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA module: left out (no ${us_cuda_missing}); the program computes on the CPU")
    return()
  endif()
  message(FATAL_ERROR "UNDERSTUDY_CUDA is ${UNDERSTUDY_CUDA}, but there is no ${us_cuda_missing}")
endif()

if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90) # code for sm_90, and PTX that newer devices compile
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
if(CMAKE_C_COMPILER_LAUNCHER AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_C_COMPILER_LAUNCHER})
endif()
enable_language(CUDA)
set(US_CUDA_FOUND TRUE)
message(STATUS "CUDA module: Toolkit ${CUDAToolkit_VERSION}, cuDNN ${us_cudnn_version} ${CUDNN_LIBRARY}, ${NCCL_LIBRARY}")

add_library(us_cuda_options INTERFACE)
target_include_directories(us_cuda_options SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS} ${CUDNN_INCLUDE} ${NCCL_INCLUDE})
target_compile_options(us_cuda_options INTERFACE
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-fno-math-errno,-fno-trapping-math,-ffp-contract=off>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${UNDERSTUDY_WERROR}>>:-Werror=all-warnings>)

file(GLOB us_cuda_c CONFIGURE_DEPENDS kernels/cuda/*.c)
list(FILTER us_cuda_c EXCLUDE REGEX "/load\\.c$")
file(GLOB_RECURSE us_cuda_cu CONFIGURE_DEPENDS kernels/*.cu)
# Image kernels give the processor's bits: like it, they do not contract to fused multiply-adds.
file(GLOB us_cuda_exact CONFIGURE_DEPENDS kernels/*.cu)
set_source_files_properties(${us_cuda_exact} kernels/nn/tflite_ops.cu PROPERTIES COMPILE_OPTIONS --fmad=false)
# One set of objects: the module, and a static library for tests of its insides.
add_library(us_cuda_parts OBJECT ${us_cuda_c} ${us_cuda_cu} ${us_cuda_shared})
target_link_libraries(us_cuda_parts PUBLIC us_options us_cuda_options CUDA::cudart_static ${CUDNN_LIBRARY} ${NCCL_LIBRARY}
  Threads::Threads m)
add_dependencies(us_cuda_parts us_cuda_build_number)
set_target_properties(us_cuda_parts PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden
  CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden)
add_library(us_cuda_static STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:us_cuda_parts>)
target_link_libraries(us_cuda_static PUBLIC us_options us_cuda_options CUDA::cudart_static ${CUDNN_LIBRARY} ${NCCL_LIBRARY}
  Threads::Threads m)
set_target_properties(us_cuda_static PROPERTIES LINKER_LANGUAGE CXX)
add_library(us_cuda SHARED $<TARGET_OBJECTS:us_cuda_parts>)
target_link_libraries(us_cuda PRIVATE us_options CUDA::cudart_static ${CUDNN_LIBRARY} ${NCCL_LIBRARY} Threads::Threads m)
target_link_options(us_cuda PRIVATE LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/kernels/cuda/module.map
  LINKER:--no-undefined LINKER:--as-needed)
set_target_properties(us_cuda PROPERTIES OUTPUT_NAME understudy_cuda LINKER_LANGUAGE CXX LIBRARY_OUTPUT_DIRECTORY
  ${CMAKE_BINARY_DIR} INSTALL_RPATH "$ORIGIN;${CUDAToolkit_LIBRARY_DIR}" BUILD_WITH_INSTALL_RPATH ON
  LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cuda/module.map)
install(TARGETS us_cuda LIBRARY DESTINATION lib)
