//! What a simulated network does.

use offhook_sip::Transport;

/// What the network does to datagrams.
#[derive(Copy, Clone, Debug)]
pub struct Weather {
    pub transport: Transport,
    pub loss: f64,
    pub duplication: f64,
    pub delay_ms: (u64, u64),
}

pub const CALM: Weather = Weather {
    transport: Transport::Udp,
    loss: 0.0,
    duplication: 0.0,
    delay_ms: (5, 5),
};
pub const STORM: Weather = Weather {
    transport: Transport::Udp,
    loss: 0.25,
    duplication: 0.15,
    delay_ms: (1, 900),
};
pub const RAIN: Weather = Weather {
    transport: Transport::Udp,
    loss: 0.04,
    duplication: 0.05,
    delay_ms: (1, 300),
};
pub const STREAM: Weather = Weather {
    transport: Transport::Tcp,
    loss: 0.0,
    duplication: 0.0,
    delay_ms: (20, 20),
};
pub const DEAD: Weather = Weather {
    transport: Transport::Udp,
    loss: 1.0,
    duplication: 0.0,
    delay_ms: (5, 5),
};
