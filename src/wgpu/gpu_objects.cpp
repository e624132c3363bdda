// Buffers, pipelines and bind groups.
#include "wgpu/gpu.h"
#include "wgpu/gpu_state.h"
#include "wgpu/library.h"
#include "wgpu/shader.h"

#include <fmt/format.h>
#include <memory>
#include <utility>

namespace trine::wgpu {
namespace {

WGPUBufferUsage usage_of(BufferUse use) {
  const WGPUBufferUsage copied = WGPUBufferUsage_CopySrc | WGPUBufferUsage_CopyDst;
  return copied | (use == BufferUse::uniform ? WGPUBufferUsage_Uniform : WGPUBufferUsage_Storage);
}

WGPUBufferBindingType binding_type(Binding binding) {
  switch (binding) {
    case Binding::uniform:
      return WGPUBufferBindingType_Uniform;
    case Binding::read:
      return WGPUBufferBindingType_ReadOnlyStorage;
    case Binding::read_write:
      return WGPUBufferBindingType_Storage;
  }
  return WGPUBufferBindingType_Undefined;
}

}  // namespace

Result<Buffer> Gpu::make_buffer(std::string_view label, std::uint64_t bytes, std::uint64_t usage) {
  TRINE_CHECK_OK(state_->alive());
  const std::uint64_t rounded = (bytes + 3) / 4 * 4;
  const std::uint64_t limit = limits().max_buffer_bytes;
  if (bytes == 0 || rounded < bytes || rounded > limit) {
    return fail({.code = ErrorCode::model_load,
                 .what = "a buffer of this size is not possible",
                 .where = std::string(label),
                 .expected = fmt::format("1 to {} bytes on {}", limit, adapter().name),
                 .actual = fmt::format("{} bytes", bytes)});
  }
  WGPUBufferDescriptor descriptor = {};
  descriptor.label = to_view(label);
  descriptor.usage = usage;
  descriptor.size = rounded;
  Buffer buffer;
  {
    const InLibrary inside;
    buffer.handle_.reset(api().DeviceCreateBuffer(state_->device, &descriptor));
  }
  buffer.bytes_ = rounded;
  buffer.label_ = label;
  const std::string what = fmt::format("no device memory for a buffer of {} bytes", rounded);
  if (Result<void> made = state_->outcome(what, label); !made) {
    TRINE_CHECK_OK(state_->alive());
    made.error().code = ErrorCode::model_load;  // the library reports some of these as mistakes
    return fail(std::move(made).error());
  }
  if (!buffer) return fail({.code = ErrorCode::model_load, .what = what, .where = std::string(label)});
  buffer.allocation_ = std::make_shared<const Allocation>(state_->held, rounded);
  return buffer;
}

Result<Buffer> Gpu::create_buffer(std::string_view label, std::uint64_t bytes, BufferUse use) {
  return make_buffer(label, bytes, usage_of(use));
}

Result<Readback> Gpu::create_readback(std::string_view label, std::uint64_t bytes) {
  Readback readback;
  TRINE_TRY(readback.buffer_, make_buffer(label, bytes, WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst));
  readback.gpu_ = this;
  readback.mapping_ = std::make_shared<Mapping>();
  return readback;
}

Result<Pipeline> Gpu::create_pipeline(std::string_view name, std::string_view wgsl,
                                      const std::vector<Binding>& bindings) {
  TRINE_CHECK_OK(state_->alive());
  const Library& lib = api();
  const InLibrary inside;
  std::vector<WGPUBindGroupLayoutEntry> entries(bindings.size());
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    entries[i] = {};
    entries[i].binding = static_cast<std::uint32_t>(i);
    entries[i].visibility = WGPUShaderStage_Compute;
    entries[i].buffer.type = binding_type(bindings[i]);
  }
  WGPUBindGroupLayoutDescriptor group = {};
  group.label = to_view(name);
  group.entryCount = entries.size();
  group.entries = entries.data();
  Pipeline pipeline;
  pipeline.name_ = name;
  pipeline.bindings_ = bindings;
  pipeline.layout_.reset(lib.DeviceCreateBindGroupLayout(state_->device, &group));
  TRINE_CHECK_OK(state_->outcome("a kernel's bindings are refused", name));

  WGPUShaderSourceWGSL source = {};
  source.chain.sType = WGPUSType_ShaderSourceWGSL;
  const std::string text = edited(std::string(wgsl), state_->shader_edits);
  source.code = to_view(text);
  WGPUShaderModuleDescriptor descriptor = {};
  descriptor.nextInChain = &source.chain;
  descriptor.label = to_view(name);
  const WGPUShaderModule module =
      state_->checked_shaders
          ? lib.DeviceCreateShaderModule(state_->device, &descriptor)
          : lib.DeviceCreateShaderModuleTrusted(state_->device, &descriptor, WGPUShaderRuntimeChecks_None);
  Result<void> outcome = state_->outcome("a kernel does not compile", name);

  WGPUBindGroupLayout layout = pipeline.layout_.get();
  WGPUPipelineLayoutDescriptor layouts = {};
  layouts.label = to_view(name);
  layouts.bindGroupLayoutCount = 1;
  layouts.bindGroupLayouts = &layout;
  if (outcome) {
    const WGPUPipelineLayout pipeline_layout = lib.DeviceCreatePipelineLayout(state_->device, &layouts);
    outcome = state_->outcome("a kernel's bindings are refused", name);
    if (outcome) {
      WGPUComputePipelineDescriptor compute = {};
      compute.label = to_view(name);
      compute.layout = pipeline_layout;
      compute.compute.module = module;
      compute.compute.entryPoint = to_view("main");
      pipeline.handle_.reset(lib.DeviceCreateComputePipeline(state_->device, &compute));
      outcome = state_->outcome("a kernel does not compile", name);
    }
    if (pipeline_layout != nullptr) lib.PipelineLayoutRelease(pipeline_layout);
  }
  if (module != nullptr) lib.ShaderModuleRelease(module);
  TRINE_CHECK_OK(outcome);
  return pipeline;
}

Result<BindGroup> Gpu::bind(const Pipeline& pipeline, const std::vector<Slice>& slices) {
  TRINE_CHECK_OK(state_->alive());
  if (slices.size() != pipeline.bindings().size()) {
    return fail({.code = ErrorCode::inference,
                 .what = "a kernel got the wrong number of buffers",
                 .where = pipeline.name(),
                 .expected = fmt::format("{}", pipeline.bindings().size()),
                 .actual = fmt::format("{}", slices.size())});
  }
  std::vector<WGPUBindGroupEntry> entries(slices.size());
  for (std::size_t i = 0; i < slices.size(); ++i) {
    entries[i] = {};
    entries[i].binding = static_cast<std::uint32_t>(i);
    entries[i].buffer = slices[i].buffer->handle_.get();
    entries[i].offset = slices[i].offset;
    entries[i].size = slices[i].bytes;
    if (entries[i].buffer == nullptr) {
      return fail({.code = ErrorCode::inference,
                   .what = "a kernel got an empty buffer",
                   .where = pipeline.name(),
                   .actual = fmt::format("binding {}", i)});
    }
  }
  WGPUBindGroupDescriptor descriptor = {};
  descriptor.label = to_view(pipeline.name());
  descriptor.layout = pipeline.layout_.get();
  descriptor.entryCount = entries.size();
  descriptor.entries = entries.data();
  BindGroup group;
  for (const Slice& slice : slices) group.allocations_.push_back(slice.buffer->allocation_);
  group.handle_.reset(api().DeviceCreateBindGroup(state_->device, &descriptor));
  TRINE_CHECK_OK(state_->outcome("a kernel's buffers are refused", pipeline.name()));
  return group;
}

void Release::operator()(WGPUBindGroupImpl* object) const noexcept {
  api().BindGroupRelease(object);
}
void Release::operator()(WGPUBindGroupLayoutImpl* object) const noexcept {
  api().BindGroupLayoutRelease(object);
}
void Release::operator()(WGPUBufferImpl* object) const noexcept {
  api().BufferRelease(object);
}
void Release::operator()(WGPUCommandEncoderImpl* object) const noexcept {
  api().CommandEncoderRelease(object);
}
void Release::operator()(WGPUComputePassEncoderImpl* object) const noexcept {
  api().ComputePassEncoderRelease(object);
}
void Release::operator()(WGPUComputePipelineImpl* object) const noexcept {
  api().ComputePipelineRelease(object);
}
void Release::operator()(WGPUQuerySetImpl* object) const noexcept {
  api().QuerySetRelease(object);
}

}  // namespace trine::wgpu
