// The sums of depthwise.py. Tensors are bfloat16, channels last; channels come in sixteens.
#include <torch/extension.h>
#include <ATen/Parallel.h>
#include <immintrin.h>
typedef uint16_t half_t;
static inline __m512 load(const half_t* p) {  // sixteen bfloat16 as float32
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}
template <int K>
void weight_of(const half_t* x, const half_t* g, float* out, int64_t N, int64_t H, int64_t W, int64_t C,
               int64_t OH, int64_t OW, int64_t S, int64_t P) {
  at::parallel_for(0, C / 16, 1, [&](int64_t from, int64_t to) {
    for (int64_t b = from; b < to; b++) {
      __m512 acc[K * K];
      for (int t = 0; t < K * K; t++) acc[t] = _mm512_setzero_ps();
      for (int64_t n = 0; n < N; n++)
      for (int64_t oy = 0; oy < OH; oy++)
      for (int64_t ox = 0; ox < OW; ox++) {
        const __m512 grad = load(g + ((n * OH + oy) * OW + ox) * C + b * 16);
        const int64_t y = oy * S - P, z = ox * S - P;
        const half_t* corner = x + ((n * H + y) * W + z) * C + b * 16;
        if (y >= 0 && z >= 0 && y + K <= H && z + K <= W) {
#pragma GCC unroll 5
          for (int i = 0; i < K; i++)
#pragma GCC unroll 5
            for (int j = 0; j < K; j++)
              acc[i * K + j] = _mm512_fmadd_ps(grad, load(corner + (i * W + j) * C), acc[i * K + j]);
        } else {
#pragma GCC unroll 5
          for (int i = 0; i < K; i++)
#pragma GCC unroll 5
            for (int j = 0; j < K; j++)
              if (y + i >= 0 && y + i < H && z + j >= 0 && z + j < W)
                acc[i * K + j] = _mm512_fmadd_ps(grad, load(corner + (i * W + j) * C), acc[i * K + j]);
        }
      }
      float lane[16];
      for (int t = 0; t < K * K; t++) {
        _mm512_storeu_ps(lane, acc[t]);
        for (int c = 0; c < 16; c++) out[(b * 16 + c) * K * K + t] = lane[c];
      }
    }
  });
}
torch::Tensor grad_weight(torch::Tensor x, torch::Tensor g, int64_t k, int64_t s, int64_t p) {
  auto out = torch::empty({x.size(1), 1, k, k}, torch::kFloat);
  auto run = k == 5 ? weight_of<5> : weight_of<3>;
  run((half_t*)x.data_ptr(), (half_t*)g.data_ptr(), out.data_ptr<float>(), x.size(0), x.size(2), x.size(3),
      x.size(1), g.size(2), g.size(3), s, p);
  return out;
}
// w: float32 (k * k, C)
torch::Tensor grad_input(torch::Tensor g, torch::Tensor w, torch::Tensor like, int64_t k, int64_t s, int64_t p) {
  auto out = torch::empty_like(like);
  const int64_t N = like.size(0), C = like.size(1), H = like.size(2), W = like.size(3), OH = g.size(2), OW = g.size(3);
  half_t* o = (half_t*)out.data_ptr(); const half_t* gp = (half_t*)g.data_ptr(); const float* wp = w.data_ptr<float>();
  at::parallel_for(0, N * H, 1, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row++) {
      const int64_t n = row / H, y = row % H;
      for (int64_t z = 0; z < W; z++) for (int64_t c = 0; c < C; c += 16) {
        __m512 acc = _mm512_setzero_ps();
        for (int64_t i = (y + p) % s; i < k; i += s) {
          const int64_t oy = (y + p - i) / s;
          if (y + p < i || oy >= OH) continue;
          for (int64_t j = (z + p) % s; j < k; j += s) {
            const int64_t ox = (z + p - j) / s;
            if (z + p < j || ox >= OW) continue;
            acc = _mm512_fmadd_ps(load(gp + ((n * OH + oy) * OW + ox) * C + c), _mm512_loadu_ps(wp + (i * k + j) * C + c), acc);
          }
        }
        _mm256_storeu_si256((__m256i*)(o + ((n * H + y) * W + z) * C + c), (__m256i)_mm512_cvtneps_pbh(acc));
      }
    }
  });
  return out;
}
