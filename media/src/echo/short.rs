//! Numbers that take little memory.

/// A float of 16 bits: what is compared by halves of a percent needs no more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Short(u16);

impl Short {
    /// The nearest one.
    #[inline(always)]
    pub(super) fn of(value: f32) -> Self {
        Self((value.to_bits().saturating_add(1 << 15) >> 16) as u16)
    }

    #[inline(always)]
    pub(super) fn float(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}
