//! Digest authentication (RFC 7616, RFC 8760, and RFC 2617 for older peers).
//!
//! [`DigestClient`] answers challenges and keeps nonces for later requests; [`DigestServer`]
//! challenges without keeping state and verifies the answers.

mod algorithm;
mod challenge;
mod client;
mod fields;
mod hmac;
mod nonce;
mod response;
mod server;

pub use algorithm::{Algorithm, Qop};
pub use challenge::{Authorization, Challenge};
pub use client::{Attempts, ChallengeError, Credentials, DigestClient};
pub use response::{DigestInput, Ha1, digest_response};
pub use server::{DigestServer, ServerConfig, Users, Verdict};
