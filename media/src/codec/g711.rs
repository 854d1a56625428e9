//! G.711: µ-law and A-law, bit-exact with the ITU-T software tool library (G.191).

/// Decodes µ-law into 16-bit linear sound; stops at the shorter slice and returns its length.
pub fn decode_ulaw(payload: &[u8], out: &mut [i16]) -> usize {
    decode(&ULAW_TO_LINEAR, payload, out)
}

/// Decodes A-law into 16-bit linear sound; stops at the shorter slice and returns its length.
pub fn decode_alaw(payload: &[u8], out: &mut [i16]) -> usize {
    decode(&ALAW_TO_LINEAR, payload, out)
}

/// Encodes 16-bit linear sound as µ-law; stops at the shorter slice and returns its length.
pub fn encode_ulaw(samples: &[i16], out: &mut [u8]) -> usize {
    for (to, &from) in out.iter_mut().zip(samples) {
        *to = linear_to_ulaw(from);
    }
    out.len().min(samples.len())
}

/// Encodes 16-bit linear sound as A-law; stops at the shorter slice and returns its length.
pub fn encode_alaw(samples: &[i16], out: &mut [u8]) -> usize {
    for (to, &from) in out.iter_mut().zip(samples) {
        *to = linear_to_alaw(from);
    }
    out.len().min(samples.len())
}

/// Encodes one sample as µ-law: 14 bits of magnitude, bias 33 (G.711 table 2).
#[inline]
#[must_use]
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    // A negative sample is taken in ones' complement, as G.191 does, so that both halves mirror.
    let magnitude = (if sample < 0 { !sample } else { sample }) as i32;
    let biased = (magnitude >> 2) + 33;
    let biased = if biased > 0x1FFF { 0x1FFF } else { biased };
    // As a float, its exponent is the segment and the first four bits behind that the step: what
    // many samples side by side have instructions for. Its top bit is at 5..=12.
    let segment_and_step = ((biased as f32).to_bits() >> 19) - ((127 + 5) << 4);
    let code = 0x7F - segment_and_step;
    code as u8 | if sample < 0 { 0 } else { 0x80 }
}

/// Encodes one sample as A-law: 12 bits of magnitude, even bits inverted (G.711 table 1).
#[inline]
#[must_use]
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let magnitude = ((if sample < 0 { !sample } else { sample }) as i32) >> 4;
    // As for µ-law, its top bit at 4..=10; below that there is one segment more, of equal steps.
    let segment_and_step = ((magnitude as f32).to_bits() >> 19).wrapping_sub((127 + 3) << 4);
    let code = if magnitude < 16 {
        magnitude as u32
    } else {
        segment_and_step
    };
    (code as u8 | if sample < 0 { 0 } else { 0x80 }) ^ 0x55
}

/// Decodes one µ-law code.
#[inline]
#[must_use]
pub const fn ulaw_to_linear(code: u8) -> i16 {
    ULAW_TO_LINEAR[code as usize]
}

/// Decodes one A-law code.
#[inline]
#[must_use]
pub const fn alaw_to_linear(code: u8) -> i16 {
    ALAW_TO_LINEAR[code as usize]
}

fn decode(table: &[i16; 256], payload: &[u8], out: &mut [i16]) -> usize {
    for (to, &from) in out.iter_mut().zip(payload) {
        *to = table[usize::from(from)];
    }
    out.len().min(payload.len())
}

static ULAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let inverted = !(code as u8);
        let exponent = (inverted >> 4) & 0x07;
        let step = (inverted & 0x0F) as i32;
        let magnitude = ((0x84 + (step << 3)) << exponent) - 0x84;
        table[code] = if code < 0x80 {
            -magnitude as i16
        } else {
            magnitude as i16
        };
        code += 1;
    }
    table
};

static ALAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let plain = (code as u8) ^ 0x55;
        let exponent = (plain >> 4) & 0x07;
        let mantissa = ((plain & 0x0F) as i32) << 4;
        let magnitude = match exponent {
            0 => mantissa + 8,
            _ => (mantissa + 0x108) << (exponent - 1),
        };
        table[code] = if plain < 0x80 {
            -magnitude as i16
        } else {
            magnitude as i16
        };
        code += 1;
    }
    table
};
