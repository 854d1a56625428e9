//! The decoder's run over one window, token by token.

use std::borrow::Cow;

use ort::memory::Allocator;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor, TensorRef};

use super::Model;
use super::encoder::take;
use super::model_bin::half;
use crate::runtime::ModelError;

/// Names of the decoder's inputs and outputs, layer by layer, key then value.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) cross: Vec<String>,
    past: Vec<String>,
    present: Vec<String>,
}

impl Names {
    pub(super) fn new(layers: usize) -> Self {
        let both = |stem: &str| {
            let names = |layer| ["key", "value"].map(|which| format!("{stem}_{which}_{layer}"));
            (0..layers).flat_map(names).collect()
        };
        Self {
            cross: both("cross"),
            past: both("past"),
            present: both("present"),
        }
    }
}

/// A decoder at work: keys and values of the sound and of the tokens so far.
#[derive(Debug)]
pub(super) struct Decoding {
    cross: Vec<DynValue>,
    past: Vec<DynValue>,
    length: usize,
}

/// What the decoder says of the tokens after some rows.
#[derive(Debug)]
pub(super) struct Logits {
    values: DynValue,
    vocabulary: usize,
    log_sums: Vec<f32>,
}

impl Decoding {
    pub(super) fn new(model: &Model, cross: Vec<DynValue>) -> Result<Self, ModelError> {
        let none = [1, model.shape.heads, 0, model.shape.head()];
        let empty = |_: &String| Ok(Tensor::<f32>::new(&Allocator::default(), none)?.into_dyn());
        let past = model
            .names
            .past
            .iter()
            .map(empty)
            .collect::<Result<_, ModelError>>()?;
        Ok(Self {
            cross,
            past,
            length: 0,
        })
    }

    /// Feeds tokens and returns the logits after those that `rows` names.
    pub(super) fn feed(
        &mut self,
        model: &Model,
        tokens: &[u32],
        rows: &[i64],
    ) -> Result<Logits, ModelError> {
        let width = model.shape.width;
        let embedded = self.embed(model, tokens);
        let embedded = TensorRef::from_array_view(([1, tokens.len(), width], &*embedded))?;
        let rows = TensorRef::from_array_view(([rows.len()], rows))?;
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = vec![
            ("embedded".into(), embedded.into()),
            ("rows".into(), rows.into()),
        ];
        let names = model.names.cross.iter().chain(&model.names.past);
        for (name, value) in names.zip(self.cross.iter().chain(&self.past)) {
            inputs.push((name.as_str().into(), value.into()));
        }
        let mut session = model.decoder.session();
        let mut outputs = session.run(inputs)?;
        let present = model
            .names
            .present
            .iter()
            .map(|name| take(&mut outputs, name));
        self.past = present.collect::<Result<_, _>>()?;
        self.length += tokens.len();
        let log_sums = take(&mut outputs, "log_sum")?;
        let (_, log_sums) = log_sums.try_extract_tensor::<f32>()?;
        Ok(Logits {
            values: take(&mut outputs, "logits")?,
            vocabulary: model.shape.vocabulary,
            log_sums: log_sums.to_vec(),
        })
    }

    /// Tells how many more tokens fit.
    pub(super) fn room(&self, model: &Model) -> usize {
        model.shape.context.saturating_sub(self.length)
    }

    /// Sums the embeddings of tokens and of their positions.
    fn embed(&self, model: &Model, tokens: &[u32]) -> Vec<f32> {
        let width = model.shape.width;
        let mut embedded = Vec::with_capacity(tokens.len() * width);
        let places = model.positions.chunks_exact(width).skip(self.length);
        for (token, place) in tokens.iter().zip(places) {
            let row = model
                .embeddings
                .chunks_exact(width)
                .nth(*token as usize)
                .unwrap_or(&[]);
            embedded.extend(
                row.iter()
                    .zip(place)
                    .map(|(bits, place)| half(*bits) + place),
            );
        }
        embedded.resize(tokens.len() * width, 0.0);
        embedded
    }
}

impl Logits {
    /// Returns the natural logarithm of a token's probability after row `row`.
    pub(super) fn log_probability(&self, row: usize, token: u32) -> f32 {
        let logit = self
            .row(row)
            .get(token as usize)
            .copied()
            .unwrap_or(f32::NEG_INFINITY);
        logit - self.log_sums.get(row).copied().unwrap_or_default()
    }

    /// Returns the likeliest token after row `row` among those that `mask` and `allowed` leave.
    pub(super) fn best(&self, row: usize, mask: &[f32], allowed: impl Fn(u32) -> bool) -> u32 {
        let mut best = (f32::NEG_INFINITY, 0);
        for (token, (logit, mask)) in (0_u32..).zip(self.row(row).iter().zip(mask)) {
            let value = logit + mask;
            if value > best.0 && allowed(token) {
                best = (value, token);
            }
        }
        best.1
    }

    /// Returns the likeliest token of a range after row `row`.
    pub(super) fn best_in(&self, row: usize, range: std::ops::Range<u32>) -> Option<u32> {
        let logit = |token: &u32| self.log_probability(row, *token);
        range.max_by(|a, b| logit(a).total_cmp(&logit(b)))
    }

    fn row(&self, row: usize) -> &[f32] {
        let values = self.values.try_extract_tensor::<f32>();
        let values = values.map_or(&[][..], |(_, values)| values);
        let start = row * self.vocabulary;
        values
            .get(start..start + self.vocabulary)
            .unwrap_or_default()
    }
}
