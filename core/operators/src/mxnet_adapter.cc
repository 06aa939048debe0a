// Registers the kernels with MXNet, through the library interface whose header and source its wheel holds. Attributes and
// shapes are checked here, so that a kernel never sees what it cannot take.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels.h"
#include "mxnet/lib_api.h"

namespace {

using namespace mxnet::ext;
using Attributes = std::unordered_map<std::string, std::string>;
using Shape = std::vector<unsigned int>;
using Shapes = std::vector<Shape>;
using Tensors = std::vector<MXTensor>;

// An error that names the operator; use as `return Failure("prelu") << ...`.
class Failure {
 public:
  explicit Failure(const char* name) { text_ << name << ": "; }
  template <class T>
  Failure& operator<<(const T& value) {
    text_ << value;
    return *this;
  }
  operator MXReturnValue() const {
    static std::mutex mutex;
    const std::lock_guard<std::mutex> lock(mutex);
    static std::stringstream& message = MX_ERROR_MSG;  // MXNet shows all there ever were: there is only one
    message.str(text_.str());
    return MX_FAIL;
  }

 private:
  std::ostringstream text_;
};

std::string shown(const Shape& shape) {
  std::ostringstream text;
  text << "(";
  for (size_t i = 0; i < shape.size(); ++i) text << (i ? ", " : "") << shape[i];
  text << ")";
  return text.str();
}

float* floats(MXTensor& tensor) { return tensor.data<float>(); }

// Attribute `name` as a number in [low, high], or `otherwise` where it is missing; false if it is something else.
bool read_number(const Attributes& attributes, const char* name, double otherwise, double low, double high, double* value) {
  *value = otherwise;
  const auto found = attributes.find(name);
  if (found == attributes.end()) return true;
  char* end = nullptr;
  *value = std::strtod(found->second.c_str(), &end);
  return !found->second.empty() && !*end && *value >= low && *value <= high;
}

// The name of an attribute that is not one of `names`, nor MXNet's own, which begin with "__"; empty if there is none.
std::string unknown_attribute(const Attributes& attributes, const std::vector<std::string>& names) {
  for (const auto& item : attributes)
    if (item.first.compare(0, 2, "__") && std::find(names.begin(), names.end(), item.first) == names.end()) return item.first;
  return "";
}

// All inputs and outputs of all operators are float32. MXNet calls this with the name of no operator.
MXReturnValue infer_types(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  for (int& type : *in) {
    if (type < 0 || type == kUNSET) type = kFloat32;
    if (type != kFloat32) return Failure("the native operators of mtcnn-gluon") << "every input must be float32";
  }
  std::fill(out->begin(), out->end(), int(kFloat32));
  return MX_SUCCESS;
}

bool is_unknown(const Shape& shape) { return shape.empty() || std::count(shape.begin(), shape.end(), 0u); }

int64_t product(const std::vector<int64_t>& shape, size_t first) {
  int64_t result = 1;
  for (size_t i = first; i < shape.size(); ++i) result *= shape[i];
  return result;
}

// Takes a parameter's shape over if it is not known yet, else compares.
bool agree(Shape* shape, const Shape& expected) {
  if (is_unknown(*shape)) *shape = expected;
  return *shape == expected;
}

// ---- prelu(data (N, C, ...), alpha (C,)) -> like data

MXReturnValue prelu_attributes(const Attributes& attributes, int* inputs, int* outputs) {
  const std::string unknown = unknown_attribute(attributes, {});
  if (!unknown.empty()) return Failure("prelu") << "unknown attribute " << unknown;
  *inputs = 2, *outputs = 1;
  return MX_SUCCESS;
}

MXReturnValue prelu_shape(const Attributes&, Shapes* in, Shapes* out) {
  const Shape& data = (*in)[0];
  if (is_unknown(data)) return MX_SUCCESS;
  if (data.size() < 2) return Failure("prelu") << "data must be (N, C, ...), not " << shown(data);
  if (!agree(&(*in)[1], {data[1]}))
    return Failure("prelu") << "alpha must be (" << data[1] << ",) for data " << shown(data) << ", not " << shown((*in)[1]);
  (*out)[0] = data;
  return MX_SUCCESS;
}

MXReturnValue prelu_run_forward(const Attributes&, Tensors* in, Tensors* out, const OpResource&) {
  MXTensor& data = (*in)[0];
  if (!mtcnn_prelu_forward(floats(data), floats((*in)[1]), floats((*out)[0]), data.shape[0], data.shape[1], product(data.shape, 2)))
    return Failure("prelu") << "out of memory";
  return MX_SUCCESS;
}

MXReturnValue prelu_run_backward(const Attributes&, Tensors* in, Tensors* out, const OpResource&) {
  MXTensor& data = (*in)[1];  // inputs: gradient of the output, data, alpha, output
  if (!mtcnn_prelu_backward(floats((*in)[0]), floats(data), floats((*in)[2]), floats((*out)[0]), floats((*out)[1]), data.shape[0],
                            data.shape[1], product(data.shape, 2)))
    return Failure("prelu") << "out of memory";
  return MX_SUCCESS;
}

// ---- max_pool(data (N, C, H, W); kernel = 2 or 3) -> (N, C, ceil((H - kernel) / 2) + 1, ...)

MXReturnValue pool_attributes(const Attributes& attributes, int* inputs, int* outputs) {
  const std::string unknown = unknown_attribute(attributes, {"kernel"});
  if (!unknown.empty()) return Failure("max_pool") << "unknown attribute " << unknown << "; there is kernel";
  double kernel;
  if (!read_number(attributes, "kernel", 2, 2, 3, &kernel) || kernel != std::floor(kernel))
    return Failure("max_pool") << "kernel must be 2 or 3, not " << attributes.at("kernel");
  *inputs = 1, *outputs = 1;
  return MX_SUCCESS;
}

int64_t pool_kernel(const Attributes& attributes) {
  double kernel;
  read_number(attributes, "kernel", 2, 2, 3, &kernel);
  return int64_t(kernel);
}

MXReturnValue pool_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape& data = (*in)[0];
  if (is_unknown(data)) return MX_SUCCESS;
  if (data.size() != 4) return Failure("max_pool") << "data must be (N, C, H, W), not " << shown(data);
  const int64_t kernel = pool_kernel(attributes);
  (*out)[0] = {data[0], data[1], unsigned(mtcnn_pooled(data[2], kernel)), unsigned(mtcnn_pooled(data[3], kernel))};
  return MX_SUCCESS;
}

MXReturnValue pool_run_forward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  MXTensor& data = (*in)[0];
  if (!mtcnn_max_pool_forward(floats(data), floats((*out)[0]), data.shape[0] * data.shape[1], data.shape[2], data.shape[3],
                              pool_kernel(attributes)))
    return Failure("max_pool") << "out of memory";
  return MX_SUCCESS;
}

MXReturnValue pool_run_backward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  MXTensor& data = (*in)[1];
  if (!mtcnn_max_pool_backward(floats((*in)[0]), floats(data), floats((*out)[0]), data.shape[0] * data.shape[1], data.shape[2],
                               data.shape[3], pool_kernel(attributes)))
    return Failure("max_pool") << "out of memory";
  return MX_SUCCESS;
}

// ---- prelu_pool_conv(data, alpha, weight (O, C, k, k), bias (O,)) -> (N, H', W', O), the layer of kernels.h
// data is (N, H, W, C), or with first=1 the images (N, C, H, W), to which neither PReLU nor pooling apply: then there is no alpha,
// and no gradient of data, which is filled with NaN. bfloat16=1: products are of bfloat16. stride: 1 unless first=1.

struct LayerAttributes {
  bool first;
  int64_t pool, bfloat16, stride;  // bfloat16 is -1, stride 0 where the attribute is wrong
};

bool read_layer(const Attributes& attributes, LayerAttributes* layer) {
  double first, pool, bfloat16, stride;
  const bool is_right = read_number(attributes, "first", 0, 0, 1, &first) && read_number(attributes, "pool", 0, 0, 3, &pool);
  const bool is_known = read_number(attributes, "bfloat16", 0, 0, 1, &bfloat16);
  const bool is_stride = read_number(attributes, "stride", 1, 1, MTCNN_MAX_STRIDE, &stride) && stride == std::floor(stride);
  *layer = {first != 0, int64_t(pool), is_known && bfloat16 == std::floor(bfloat16) ? int64_t(bfloat16) : -1,
            is_stride ? int64_t(stride) : 0};
  return is_right && first == std::floor(first) && pool == std::floor(pool) && pool != 1 && !(layer->first && layer->pool);
}

MXReturnValue layer_attributes(const Attributes& attributes, int* inputs, int* outputs) {
  const std::string unknown = unknown_attribute(attributes, {"first", "pool", "bfloat16", "stride"});
  if (!unknown.empty())
    return Failure("prelu_pool_conv") << "unknown attribute " << unknown << "; there are first, pool, bfloat16 and stride";
  LayerAttributes layer;
  if (!read_layer(attributes, &layer)) return Failure("prelu_pool_conv") << "pool must be 0, 2 or 3, and 0 with first=1";
  if (layer.bfloat16 < 0) return Failure("prelu_pool_conv") << "bfloat16 must be 0 or 1, not " << attributes.at("bfloat16");
  if (!layer.stride)
    return Failure("prelu_pool_conv") << "stride must be a whole number from 1 to " << MTCNN_MAX_STRIDE << ", not "
                                      << attributes.at("stride");
  if (layer.stride > 1 && !layer.first) return Failure("prelu_pool_conv") << "stride must be 1 without first=1";
  if (layer.stride > 1 && layer.bfloat16) return Failure("prelu_pool_conv") << "stride must be 1 with bfloat16=1";
  if (layer.bfloat16 && !mtcnn_has_bfloat16()) return Failure("prelu_pool_conv") << "bfloat16 needs a processor with AMX, under Linux";
  *inputs = layer.first ? 3 : 4, *outputs = 1;
  return MX_SUCCESS;
}

MtcnnLayer layer_of(const Attributes& attributes, const std::vector<int64_t>& data, const std::vector<int64_t>& weight) {
  LayerAttributes layer;
  read_layer(attributes, &layer);
  if (layer.first) return {data[0], data[2], data[3], data[1], 0, weight[2], weight[0], 1, layer.bfloat16, layer.stride};
  return {data[0], data[1], data[2], data[3], layer.pool, weight[2], weight[0], 0, layer.bfloat16};
}

MXReturnValue layer_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  LayerAttributes layer;
  read_layer(attributes, &layer);
  const Shape &data = (*in)[0], &weight = (*in)[layer.first ? 1 : 2];
  if (is_unknown(data) || is_unknown(weight)) return MX_SUCCESS;
  if (data.size() != 4) return Failure("prelu_pool_conv") << "data must have 4 axes, not " << shown(data);
  const unsigned channels = data[layer.first ? 1 : 3];
  if (weight.size() != 4 || weight[1] != channels || weight[2] != weight[3])
    return Failure("prelu_pool_conv") << "weight must be (O, " << channels << ", k, k) for data " << shown(data) << ", not "
                                      << shown(weight);
  if (!layer.first && !agree(&(*in)[1], {channels}))
    return Failure("prelu_pool_conv") << "alpha must be (" << channels << ",), not " << shown((*in)[1]);
  if (!agree(&in->back(), {weight[0]}))
    return Failure("prelu_pool_conv") << "bias must be (" << weight[0] << ",), not " << shown(in->back());
  const MtcnnLayer sizes = layer_of(attributes, {data.begin(), data.end()}, {weight.begin(), weight.end()});
  int64_t height, width;
  if (!mtcnn_layer_output(&sizes, &height, &width))
    return Failure("prelu_pool_conv") << "data " << shown(data) << " is too small for weight " << shown(weight);
  (*out)[0] = {data[0], unsigned(height), unsigned(width), weight[0]};
  return MX_SUCCESS;
}

MXReturnValue layer_run_forward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  const size_t weight = in->size() - 2;  // inputs: data, alpha unless first, weight, bias
  const MtcnnLayer layer = layer_of(attributes, (*in)[0].shape, (*in)[weight].shape);
  if (!mtcnn_layer_forward(&layer, floats((*in)[0]), weight == 2 ? floats((*in)[1]) : nullptr, floats((*in)[weight]),
                           floats((*in)[weight + 1]), floats((*out)[0])))
    return Failure("prelu_pool_conv") << "out of memory";
  return MX_SUCCESS;
}

MXReturnValue layer_run_backward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  const size_t weight = out->size() - 2;  // outputs as the inputs of forward; inputs: gradient, those inputs, output
  const bool first = weight == 1;
  const MtcnnLayer layer = layer_of(attributes, (*in)[1].shape, (*in)[1 + weight].shape);
  if (first) std::fill_n(floats((*out)[0]), (*out)[0].size(), std::numeric_limits<float>::quiet_NaN());
  if (!mtcnn_layer_backward(&layer, floats((*in)[0]), floats((*in)[1]), first ? nullptr : floats((*in)[2]),
                            floats((*in)[1 + weight]), first ? nullptr : floats((*out)[0]), first ? nullptr : floats((*out)[1]),
                            floats((*out)[weight]), floats((*out)[weight + 1])))
    return Failure("prelu_pool_conv") << "out of memory";
  return MX_SUCCESS;
}

// ---- negativemining(logits (N, 2), label (N,); keep_ratio = 0.7) -> mask (N,), through which no gradient flows

bool read_keep_ratio(const Attributes& attributes, double* ratio) {
  return read_number(attributes, "keep_ratio", 0.7, 0, 1, ratio) && *ratio > 0;
}

MXReturnValue mining_attributes(const Attributes& attributes, int* inputs, int* outputs) {
  const std::string unknown = unknown_attribute(attributes, {"keep_ratio"});
  if (!unknown.empty()) return Failure("negativemining") << "unknown attribute " << unknown << "; there is keep_ratio";
  double ratio;
  if (!read_keep_ratio(attributes, &ratio))
    return Failure("negativemining") << "keep_ratio must be above 0 and at most 1, not " << attributes.at("keep_ratio");
  *inputs = 2, *outputs = 1;
  return MX_SUCCESS;
}

MXReturnValue mining_shape(const Attributes&, Shapes* in, Shapes* out) {
  const Shape& logits = (*in)[0];
  if (is_unknown(logits)) return MX_SUCCESS;
  if (logits.size() != 2 || logits[1] != 2) return Failure("negativemining") << "logits must be (N, 2), not " << shown(logits);
  if (!agree(&(*in)[1], {logits[0]}))
    return Failure("negativemining") << "label must be (" << logits[0] << ",), not " << shown((*in)[1]);
  (*out)[0] = {logits[0]};
  return MX_SUCCESS;
}

MXReturnValue mining_run_forward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  double ratio;
  read_keep_ratio(attributes, &ratio);
  if (!mtcnn_negative_mining(floats((*in)[0]), floats((*in)[1]), floats((*out)[0]), (*in)[0].shape[0], ratio))
    return Failure("negativemining") << "out of memory";
  return MX_SUCCESS;
}

MXReturnValue mining_run_backward(const Attributes&, Tensors*, Tensors* out, const OpResource&) {
  for (MXTensor& gradient : *out) std::fill_n(floats(gradient), gradient.size(), 0.f);
  return MX_SUCCESS;
}

}  // namespace

// Names begin with mtcnn_: Python gives the operators their public names (see mxnet_operators.py).
REGISTER_OP(mtcnn_prelu)
    .setForward(prelu_run_forward, "cpu")
    .setBackward(prelu_run_backward, "cpu")
    .setParseAttrs(prelu_attributes)
    .setInferType(infer_types)
    .setInferShape(prelu_shape);

REGISTER_OP(mtcnn_max_pool)
    .setForward(pool_run_forward, "cpu")
    .setBackward(pool_run_backward, "cpu")
    .setParseAttrs(pool_attributes)
    .setInferType(infer_types)
    .setInferShape(pool_shape);

REGISTER_OP(mtcnn_prelu_pool_conv)
    .setForward(layer_run_forward, "cpu")
    .setBackward(layer_run_backward, "cpu")
    .setParseAttrs(layer_attributes)
    .setInferType(infer_types)
    .setInferShape(layer_shape);

REGISTER_OP(mtcnn_negativemining)
    .setForward(mining_run_forward, "cpu")
    .setBackward(mining_run_backward, "cpu")
    .setParseAttrs(mining_attributes)
    .setInferType(infer_types)
    .setInferShape(mining_shape);

MXReturnValue initialize(int version) {
  if (version / 100 != 109) return Failure("mtcnn-gluon") << "the native operators need MXNet 1.9, not " << version;
  return MX_SUCCESS;
}
