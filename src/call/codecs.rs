//! Which codecs a call may have, and how keys go in it.

use offhook_media::Codec;

use crate::config::{self, Config, Keys, TrunkConfig};

/// What is offered, and what is taken of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codecs {
    offered: Vec<Codec>,
    accepted: Vec<Codec>,
    in_order: bool,
    keys: Keys,
    tell_silence: bool,
}

impl Default for Codecs {
    /// G.711 is offered, which every carrier has and which costs next to nothing; what the other
    /// side likes best is taken, if it is known here.
    fn default() -> Self {
        Self {
            offered: vec![Codec::Pcmu, Codec::Pcma],
            accepted: vec![Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus],
            in_order: false,
            keys: Keys::default(),
            tell_silence: false,
        }
    }
}

impl Codecs {
    /// Offers these, best first, and takes the first of them that is offered. One that is named
    /// again counts once.
    #[must_use]
    pub fn in_order(named: impl IntoIterator<Item = Codec>) -> Self {
        let mut codecs = Vec::new();
        for codec in named {
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        Self {
            offered: codecs.clone(),
            accepted: codecs,
            in_order: true,
            keys: Keys::default(),
            tell_silence: false,
        }
    }

    /// What is configured for a trunk's calls, else for all calls.
    #[must_use]
    pub fn configured(config: &Config, trunk: Option<&TrunkConfig>) -> Self {
        let own = trunk.and_then(|trunk| trunk.codecs.as_ref());
        match own.or(config.media.codecs.as_ref()) {
            Some(codecs) => Self::in_order(codecs.iter().copied().map(media_codec)),
            None => Self::default(),
        }
        .with_keys(trunk.map(|trunk| trunk.dtmf).unwrap_or_default())
        .telling_silence(trunk.is_some_and(|trunk| trunk.comfort_noise))
    }

    /// Has our silence told by comfort noise (RFC 3389) where the other side takes it, or not.
    #[must_use]
    pub fn telling_silence(self, tell_silence: bool) -> Self {
        Self {
            tell_silence,
            ..self
        }
    }

    /// Whether comfort noise stands for our silence where the other side takes it.
    #[must_use]
    pub fn tell_silence(&self) -> bool {
        self.tell_silence
    }

    /// Has keys go in this way.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// How keys go.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.keys
    }

    /// Offers of what may be offered or taken these first, in their order, and then the rest; all of
    /// it may be taken.
    #[must_use]
    pub fn preferring(&self, first: impl IntoIterator<Item = Codec>) -> Self {
        let taken = |codec: &Codec| self.accepted.contains(codec);
        let first = first.into_iter().filter(taken);
        let offered = Self::in_order(first.chain(self.offered.iter().copied())).offered;
        Self {
            offered,
            accepted: self.accepted.clone(),
            in_order: self.in_order,
            keys: self.keys,
            tell_silence: self.tell_silence,
        }
    }

    /// What is offered, best first.
    #[must_use]
    pub fn offered(&self) -> &[Codec] {
        &self.offered
    }

    /// What is taken of an offer.
    #[must_use]
    pub fn accepted(&self) -> &[Codec] {
        &self.accepted
    }

    /// Whether our order counts, rather than the offer's.
    #[must_use]
    pub fn count_in_order(&self) -> bool {
        self.in_order
    }

    /// The rate at which a call that is offered these will most likely sound, in hertz.
    #[must_use]
    pub fn likely_rate_hz(&self) -> u32 {
        self.offered
            .first()
            .map_or(8_000, |codec| codec.sample_rate_hz())
    }
}

/// The media crate's name of a configured codec.
#[must_use]
pub fn media_codec(codec: config::Codec) -> Codec {
    match codec {
        config::Codec::Pcmu => Codec::Pcmu,
        config::Codec::Pcma => Codec::Pcma,
        config::Codec::G722 => Codec::G722,
        config::Codec::Opus => Codec::Opus,
        config::Codec::L16 => Codec::L16,
    }
}
