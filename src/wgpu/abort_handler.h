#pragma once

namespace trine::wgpu {

// From now on, an abort inside the WebGPU library prints the library's last message on one line of stderr and
// ends the process with ErrorCode::inference instead of SIGABRT. For the command line only.
void install_abort_handler();

}  // namespace trine::wgpu
