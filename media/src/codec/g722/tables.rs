//! The tables of ITU-T G.722 §3.6.

/// Every second one of the quadrature mirror filters' 24 coefficients (table 11); the others are
/// the same in reverse.
pub(super) const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// Decision levels of the lower band's quantizer (table 14), without the 0 at its start.
pub(super) const LOW_LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];

/// Codes of the intervals between those levels, for differences below 0 and from 0 on (table 14).
pub(super) const LOW_CODE_MINUS: [u8; 30] = [
    63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10,
    9, 8, 7, 6, 5, 4,
];
pub(super) const LOW_CODE_PLUS: [u8; 30] = [
    61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38,
    37, 36, 35, 34, 33, 32,
];

/// Output of the lower band's inverse quantizer for all six bits (table 17).
pub(super) const LOW_INVERSE_6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];

/// … and for its upper four bits, by which both sides adapt (table 15).
pub(super) const LOW_INVERSE_4: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];

/// By how much those four bits move the logarithm of the lower band's scale (tables 18 and 19).
pub(super) const LOW_LOG_STEP: [i32; 16] = [
    -60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60,
];

/// The decision level of the upper band's quantizer (table 20).
pub(super) const HIGH_THRESHOLD: i32 = 564;

/// Output of the upper band's inverse quantizer (table 21).
pub(super) const HIGH_INVERSE: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

/// By how much the two bits move the logarithm of the upper band's scale (tables 21 and 22).
pub(super) const HIGH_LOG_STEP: [i32; 4] = [798, -214, 798, -214];

/// 2¹¹ · 2^(n/32): the inverse logarithm (block 3L's table).
pub(super) const INVERSE_LOG: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];
