# The mutations. What the gate must say of each stands in mutation_test.cpp.

# Rotary embedding with the theta of other models, whatever the file says.
trine_mutation(WrongRopeTheta FILE cpu/forward.cpp
  FROM "pass.rope.frequencies[i]"
  TO "std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half))")

# Of two equal router logits the higher id wins.
trine_mutation(TieToTheHigherId FILE cpu/router.cpp
  FROM "logits[expert] > logits[ids[at - 1]]"
  TO "logits[expert] >= logits[ids[at - 1]]")

# Weights are the softmax over all experts, and their sum is below 1.
trine_mutation(WeightsNotRenormalised FILE cpu/router.cpp
  FROM "for (std::int64_t i = 0; i < k; ++i) weights[i] /= sum;"
  TO "sum = 0; \
for (std::int64_t expert = 0; expert < n_experts; ++expert) sum += std::exp(logits[expert] - largest); \
for (std::int64_t i = 0; i < k; ++i) weights[i] /= sum;")

# Only q gets its head norm.
trine_mutation(KNormSkipped FILE cpu/attention.cpp
  FROM "rms_norm(pass.kernels, one, weight, c.head_dim, c.rms_norm_eps, one);"
  TO "if (head < c.n_heads) rms_norm(pass.kernels, one, weight, c.head_dim, c.rms_norm_eps, one);")

# A sub-block of Q6_K takes its neighbour's scale.
trine_mutation(Q6KScaleOffByOne FILE cpu/kernels/unpack.h COMPILE cpu/kernels/portable.cpp
  FROM "signed_byte_of<S, b>(packed[k])"
  TO "signed_byte_of<S, (b + 1) % 4>(packed[k])")

# The last row of W_q, W_k and W_v is never computed.
trine_mutation(LastRowDropped FILE cpu/projections.cpp
  FROM "std::min(end, first + matrix->rows())"
  TO "std::min(end, first + matrix->rows() - 1)")

# Every row attends to one position too many: the next token, or what the cache holds there.
trine_mutation(MaskOffByOne FILE cpu/attend.cpp
  FROM "std::min(position - first + 1, KvCache::page_size)"
  TO "std::min(position - first + 2, KvCache::page_size)")

# Dot products of activations keep what their running sums add up to in f16: 11 digits (Veltkamp's splitting), and
# nothing above 65504.
trine_mutation(F16Accumulation FILE cpu/kernels/portable_dot.cpp
  FROM "sum[k] += sum[k + half];"
  TO "{ const float v = sum[k] + sum[k + half], t = 8193.0f * v, r = t - (t - v); sum[k] = r > 65504.0f ? __builtin_inff() : r; }")

# The rows that chose an expert get the weights of the next one.
trine_mutation(ExpertIdOffByOne FILE cpu/router.cpp
  FROM "work.groups.push_back({expert, next[e], next[e + 1]});"
  TO "work.groups.push_back({(expert + 1) % pass.config.n_experts, next[e], next[e + 1]});")

# Beyond the first page, keys and values are read from the page before.
trine_mutation(StaleKvPage FILE cpu/attend.cpp
  FROM "pages[static_cast<std::size_t>(position / KvCache::page_size)];"
  TO "pages[static_cast<std::size_t>(std::max(position / KvCache::page_size - 1, 0))];")
