//! Ogg (RFC 3533), as far as one recording needs it: pages that hold whole packets of one stream.

mod opus;
mod page;

pub use opus::StereoOpusWriter;
