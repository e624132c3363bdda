// Opens the library's device, and notes what its callbacks report.
#include "wgpu/gpu_state.h"
#include "wgpu/quiet_stderr.h"

#include <string>
#include <vector>

namespace trine::wgpu {
namespace {

// The library's messages are drawings of several lines; this puts the words on one.
std::string one_line(const std::string& message) {
  std::string out;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const bool drawing = static_cast<unsigned char>(message[i]) == 0xe2 && i + 2 < message.size();
    if (drawing) i += 2;  // U+2500 and its neighbours
    const char c = drawing ? ' ' : message[i];
    if (c == '\n') {
      while (!out.empty() && out.back() == ' ') out.pop_back();
      if (!out.empty() && !out.ends_with(';') && !out.ends_with(':')) out += ';';
    }
    if (c != '\n' && c != ' ') {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == ';')) out.pop_back();
  constexpr std::string_view heading = "Validation Error; Caused by: ";
  return out.starts_with(heading) ? out.substr(heading.size()) : out;
}

void on_error(WGPUDevice const* /*device*/, WGPUErrorType type, WGPUStringView text, void* user, void*) {
  Report& report = *static_cast<Report*>(user);
  const std::string message = one_line(to_string(text));
  if (message.find("device is lost") != std::string::npos && !report.lost) {
    report.lost = true;
    report.lost_because = message;
  }
  if (report.error) return;
  // The library gives some of these another type.
  const bool no_memory =
      type == WGPUErrorType_OutOfMemory || message.find("Not enough memory") != std::string::npos;
  const ErrorCode code = no_memory ? ErrorCode::model_load : ErrorCode::inference;
  report.error = Error{.code = code, .actual = message};
}

void on_lost(WGPUDevice const* /*device*/, WGPUDeviceLostReason /*reason*/, WGPUStringView text, void* user,
             void*) {
  Report& report = *static_cast<Report*>(user);
  report.lost = true;
  if (report.lost_because.empty()) report.lost_because = one_line(to_string(text));
}

struct DeviceAnswer {
  WGPUDevice device = nullptr;
  std::string message;
};

void on_device(WGPURequestDeviceStatus status, WGPUDevice device, WGPUStringView text, void* user, void*) {
  DeviceAnswer& answer = *static_cast<DeviceAnswer*>(user);
  if (status == WGPURequestDeviceStatus_Success) answer.device = device;
  answer.message = one_line(to_string(text));
}

}  // namespace

Result<WGPUDevice> request_device(WGPUAdapter adapter, const Adapter& described,
                                  const AdapterFeatures& features, Report& report) {
  std::vector<WGPUFeatureName> wanted;
  const auto want = [&wanted](auto feature) { wanted.push_back(static_cast<WGPUFeatureName>(feature)); };
  if (features.subgroups) want(WGPUNativeFeature_Subgroup);
  if (features.f16) want(WGPUFeatureName_ShaderF16);
  if (features.timestamps) {
    want(WGPUFeatureName_TimestampQuery);
    want(WGPUNativeFeature_TimestampQueryInsideEncoders);
    want(WGPUNativeFeature_TimestampQueryInsidePasses);
  }
  WGPULimits limits = {};
  api().AdapterGetLimits(adapter, &limits);

  WGPUDeviceDescriptor descriptor = {};
  descriptor.label = to_view("trine");
  descriptor.requiredFeatureCount = wanted.size();
  descriptor.requiredFeatures = wanted.data();
  descriptor.requiredLimits = &limits;
  descriptor.deviceLostCallbackInfo = {nullptr, WGPUCallbackMode_AllowSpontaneous, on_lost, &report, nullptr};
  descriptor.uncapturedErrorCallbackInfo = {nullptr, on_error, &report, nullptr};
  DeviceAnswer answer;
  const QuietStderr quiet;
  const InLibrary inside;
  api().AdapterRequestDevice(adapter, &descriptor,
                             {nullptr, WGPUCallbackMode_AllowSpontaneous, on_device, &answer, nullptr});
  if (answer.device == nullptr) {
    return fail({.code = ErrorCode::backend_unavailable,
                 .what = "the device cannot be opened",
                 .where = described.name,
                 .actual = answer.message,
                 .hint = "'trine devices' lists what else is here"});
  }
  return answer.device;
}

}  // namespace trine::wgpu
