//! Shells around what hears, thinks and speaks.

pub mod llm;
