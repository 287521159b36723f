# Writes a header with a number that follows from the contents of the headers that program and CUDA module share.
# cmake -DHEADERS=... -DOUT=... -P build_number.cmake
set(all "")
foreach(header IN LISTS HEADERS)
  file(SHA256 ${header} one)
  string(APPEND all ${one})
endforeach()
string(SHA256 all "${all}")
string(SUBSTRING ${all} 0 16 number)
file(WRITE ${OUT} "#define US_CUDA_BUILD 0x${number}u\n")
