//! Reads CTranslate2's `model.bin`, version 6: named tensors one after the other, then aliases.
//!
//! Layout, little-endian: u32 version; name of the specification; u32 revision; u32 count; per
//! variable its name, u8 rank, u32 dimensions, u8 type (0 f32, 1 i8, 2 i16, 3 i32, 4 f16), u32
//! length in bytes, data; u32 count of aliases, each a pair of names. A name is a u16 length that
//! counts its closing zero, then bytes.

use std::collections::HashMap;
use std::ops::Range;

use crate::runtime::ModelError;

const VERSION: u32 = 6;
/// No Whisper model has more variables; the bound keeps a broken file from asking for memory.
const MOST_VARIABLES: u32 = 10_000;

/// A model file in memory.
#[derive(Debug)]
pub(super) struct ModelBin {
    bytes: Vec<u8>,
    variables: HashMap<String, Variable>,
}

#[derive(Clone, Debug)]
struct Variable {
    dims: Vec<usize>,
    kind: Kind,
    data: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F32,
    I8,
    I16,
    I32,
    F16,
}

/// A tensor of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) dims: &'a [usize],
    kind: Kind,
    data: &'a [u8],
}

impl ModelBin {
    /// Reads the table of variables.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, ModelError> {
        let mut reader = Reader {
            bytes: &bytes,
            at: 0,
        };
        let version = reader.u32()?;
        if version != VERSION {
            return Err(malformed(format!("version {version}, not {VERSION}")));
        }
        let spec = reader.name()?;
        if spec != "WhisperSpec" {
            return Err(malformed(format!("it holds a {spec}, not a WhisperSpec")));
        }
        let _revision = reader.u32()?;
        let mut variables = HashMap::new();
        for _ in 0..reader.count()? {
            let (name, variable) = reader.variable()?;
            variables.insert(name, variable);
        }
        for _ in 0..reader.count()? {
            let (alias, name) = (reader.name()?, reader.name()?);
            let target = variables.get(&name).cloned();
            variables.insert(
                alias,
                target.ok_or_else(|| malformed(format!("no {name}")))?,
            );
        }
        Ok(Self { bytes, variables })
    }

    /// Looks a tensor up.
    pub(super) fn view(&self, name: &str) -> Result<View<'_>, ModelError> {
        let variable = self
            .variables
            .get(name)
            .ok_or_else(|| malformed(format!("no {name}")))?;
        let data = self.bytes.get(variable.data.clone()).unwrap_or_default();
        Ok(View {
            dims: &variable.dims,
            kind: variable.kind,
            data,
        })
    }

    /// Counts the layers below `prefix` (`encoder`, `decoder`).
    pub(super) fn layers(&self, prefix: &str) -> usize {
        let has = |layer: &usize| {
            let name = format!("{prefix}/layer_{layer}/ffn/linear_0/weight");
            self.variables.contains_key(&name)
        };
        (0..).take_while(has).count()
    }
}

impl View<'_> {
    /// Returns the elements as floats.
    pub(super) fn floats(&self) -> Result<Vec<f32>, ModelError> {
        match self.kind {
            Kind::F32 => Ok(elements(self.data, f32::from_le_bytes).collect()),
            Kind::F16 => Ok(elements(self.data, |b| half(u16::from_le_bytes(b))).collect()),
            other => Err(malformed(format!("{other:?} where floats belong"))),
        }
    }

    /// Returns the bits of half-precision elements.
    pub(super) fn halves(&self) -> Result<Vec<u16>, ModelError> {
        match self.kind {
            Kind::F16 => Ok(elements(self.data, u16::from_le_bytes).collect()),
            other => Err(malformed(format!("{other:?} where half precision belongs"))),
        }
    }

    /// Returns the only element as an integer.
    pub(super) fn integer(&self) -> Result<i64, ModelError> {
        let first = match self.kind {
            Kind::I8 => elements(self.data, i8::from_le_bytes).next().map(i64::from),
            Kind::I16 => elements(self.data, i16::from_le_bytes)
                .next()
                .map(i64::from),
            Kind::I32 => elements(self.data, i32::from_le_bytes)
                .next()
                .map(i64::from),
            Kind::F32 | Kind::F16 => None,
        };
        first.ok_or_else(|| malformed("no integer where one belongs"))
    }

    /// Returns rows × columns of a matrix.
    pub(super) fn matrix(&self) -> Result<(usize, usize), ModelError> {
        match self.dims {
            [rows, columns] => Ok((*rows, *columns)),
            other => Err(malformed(format!("shape {other:?} where a matrix belongs"))),
        }
    }
}

fn elements<T, const N: usize>(
    data: &[u8],
    convert: impl Fn([u8; N]) -> T,
) -> impl Iterator<Item = T> {
    let (whole, _) = data.as_chunks::<N>();
    whole.iter().map(move |chunk| convert(*chunk))
}

/// Converts IEEE 754 half precision, subnormals and infinities included.
pub(super) fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    let float = if magnitude >= 0x7c00 {
        f32::from_bits(0x7f80_0000 | (magnitude & 0x03ff) << 13)
    } else {
        // Shifted into place the exponent is too small by 112: a product sets it right and
        // normalises what was subnormal.
        f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000)
    };
    f32::from_bits(float.to_bits() | sign)
}

fn malformed(reason: impl std::fmt::Display) -> ModelError {
    ModelError::malformed("model.bin", reason)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ModelError> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| malformed("it ends too early"))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        self.take(N)?
            .try_into()
            .map_err(|_| malformed("it ends too early"))
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<u32, ModelError> {
        let count = self.u32()?;
        if count > MOST_VARIABLES {
            return Err(malformed(format!("{count} variables")));
        }
        Ok(count)
    }

    fn name(&mut self) -> Result<String, ModelError> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let bytes = self.take(length)?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        String::from_utf8(bytes.to_vec()).map_err(malformed)
    }

    fn variable(&mut self) -> Result<(String, Variable), ModelError> {
        let name = self.name()?;
        let [rank] = self.array()?;
        let dims = (0..rank).map(|_| Ok(self.u32()? as usize));
        let dims = dims.collect::<Result<Vec<_>, ModelError>>()?;
        let [kind] = self.array()?;
        let (kind, size) = match kind {
            0 => (Kind::F32, 4),
            1 => (Kind::I8, 1),
            2 => (Kind::I16, 2),
            3 => (Kind::I32, 4),
            4 => (Kind::F16, 2),
            other => return Err(malformed(format!("{name} is of unknown type {other}"))),
        };
        let length = self.u32()? as usize;
        let expected = dims
            .iter()
            .try_fold(size, |product: usize, dim| product.checked_mul(*dim));
        if expected != Some(length) {
            return Err(malformed(format!(
                "{name} has {length} bytes for shape {dims:?}"
            )));
        }
        let start = self.at;
        self.take(length)?;
        Ok((
            name,
            Variable {
                dims,
                kind,
                data: start..start + length,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u8> {
        let mut bytes = u16::try_from(text.len() + 1)
            .unwrap()
            .to_le_bytes()
            .to_vec();
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes
    }

    fn file() -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        bytes.extend(name("WhisperSpec"));
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend(name("weight"));
        bytes.push(2);
        bytes.extend([1_u32, 2].iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.push(4);
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend(
            [0x3c00_u16, 0xc000]
                .iter()
                .flat_map(|half| half.to_le_bytes()),
        );
        bytes.extend(name("heads"));
        bytes.push(0);
        bytes.push(2);
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend(6_i16.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(name("projection"));
        bytes.extend(name("weight"));
        bytes
    }

    #[test]
    fn variables_and_aliases_are_read() {
        let model = ModelBin::parse(file()).unwrap();
        assert_eq!(
            model.view("projection").unwrap().floats().unwrap(),
            [1.0, -2.0]
        );
        assert_eq!(model.view("weight").unwrap().matrix().unwrap(), (1, 2));
        assert_eq!(model.view("heads").unwrap().integer().unwrap(), 6);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = file();
        for length in 0..whole.len() {
            assert!(
                ModelBin::parse(whole[..length].to_vec()).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn halves_convert_at_the_edges() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x0001, 2.0_f32.powi(-24)),
            (0x03ff, 1023.0 * 2.0_f32.powi(-24)),
            (0x0400, 2.0_f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
