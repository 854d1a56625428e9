//! Models for Offhook.
